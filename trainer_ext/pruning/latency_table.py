"""Layer timing: what heads and neurons cost on this machine, measured on whole models of several shapes.

Whole models and not single layers, because a layer alone finds its weights in the cache. All shapes are timed in turn,
so that a busy moment meets all of them.

Speed closing: where the target is a speed, the structure that training found is timed before it is fixed.

The latency table was corrected on a structure by random scores. Learned ones spread otherwise over the layers, and what
the parts take, alone, does not quite add up: so the correction is found again for the structure that is at hand.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from ..benchmark.latency import accelerator_name, measure_latency, processor_name
from ..models.architectures import architecture_of, layers_of, prunable_weights
from ..models.layers import EncoderLayer, rows_by_linear
from ..utils.files import write_json
from . import masks
from .latency_target import LatencyTable
from .selection import Structure
from .shrinking import compact_outline
from .structure import select_structure
from .units import PruningSpec

HEAD_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75)
NEURON_SHARES = (0.0, 0.03, 0.125, 0.25, 0.5, 0.75)
# Timed rounds of the table and of each structure that is compared with the target, and how many of those.
ROUNDS, CHECK_ROUNDS, WARMUP, CORRECTIONS = 9, 25, 2, 4
LARGEST_CORRECTION = 1.15  # of one round: a disturbed moment must not put the target out of reach
SECONDS = 120.0  # no further round starts after it
CLOSE_ENOUGH = 0.01  # a structure that is this near to the speed-up asked for is taken


def shaped(model, heads: list[int], neurons: list[int], *, width: str | None = None):
    """A model like `model` with random weights and so many heads and neurons per layer.

    Args:
        model: a transformers model of a known family.
        heads: how many, per layer.
        neurons: how many, per layer.
        width: the config field of the feed-forward width: a stock model is made, with all heads.
    """
    layers = layers_of(model)
    if width is not None:
        config = copy.deepcopy(model.config)
        setattr(config, width, neurons[0])
        return type(model)(config)
    sizes, chosen = {}, {}
    for layer, kept_heads, kept_neurons in zip(layers, heads, neurons, strict=True):
        sizes |= _sizes(layer, kept_heads * layer.head_size, kept_neurons)
        if layer.attention:
            chosen[layer.attention] = list(range(kept_heads))
    return compact_outline(model, sizes, chosen)


def _sizes(layer: EncoderLayer, rows: int, neurons: int) -> dict[str, list[int]]:
    by_head, by_neuron = rows_by_linear(layer.head_rows), rows_by_linear(layer.neuron_rows)
    return {
        **{path: [rows * len(parts), parts[0].in_features] for path, parts in by_head.items()},
        layer.attention_output.path: [layer.attention_output.out_features, rows],
        **{path: [neurons * len(parts), parts[0].in_features] for path, parts in by_neuron.items()},
        layer.ffn_out.path: [layer.ffn_out.out_features, neurons],
    }


def machine(model, *, device: str, dtype: str, batch_size: int, sequence_length: int) -> dict:
    """What a table is of: two tables with the same machine may stand for each other."""
    place = torch.device(device)
    layers = layers_of(model)
    return {
        "model": [model.config.model_type, *((layer.heads, layer.neurons, layer.uses) for layer in layers)],
        "device": place.type,
        "processor": processor_name() if place.type == "cpu" else accelerator_name(place),
        "threads": torch.get_num_threads() if place.type == "cpu" else None,
        "torch": str(torch.__version__),
        "attention": model.config._attn_implementation,
        "dtype": dtype,
        "batch_size": batch_size,
        "sequence_length": sequence_length,
    }


def measure_latency_table(
    dense, model, spec, place: dict, *, on_step: Callable[[int, int], None] = lambda done, total: None
):
    """Measure a latency table and what a budget must be corrected by, so that the speed-up asked for comes out.

    Args:
        dense: the model that the speed-up is counted from.
        model: the one to be pruned: the same, or with layers dropped.
        spec: what to prune, with the speed-up.
        place: from `machine`.
        on_step: called with the number of timed rounds done and their number.

    Returns:
        The value of `PruningSpec.latency`: `{"table": ..., "dense_ms": ...}`, plain JSON.

    Raises:
        ValueError: if the speed-up cannot be reached.
    """
    layers = layers_of(model)
    heads, neurons = _whole(layers)
    steps = iter(range(1, 1_000_000))
    total = ROUNDS + WARMUP + CORRECTIONS * (CHECK_ROUNDS + WARMUP)

    def tick() -> None:
        on_step(next(steps), total)

    whole = {"dense": type(dense)(copy.deepcopy(dense.config)), "whole": shaped(model, heads, neurons)}
    whole["empty"] = shaped(model, [0] * len(layers), [0] * len(layers))
    by_heads = {f"heads {x}": shaped(model, [int(x * h) for h in heads], neurons) for x in HEAD_SHARES}
    by_neurons = {f"neurons {x}": shaped(model, heads, [int(x * n) for n in neurons]) for x in NEURON_SHARES}
    measured = _median_ms({**whole, **by_heads, **by_neurons}, place, ROUNDS, tick)
    if not spec.dense_weights:  # no layer was dropped: the two are the same model
        measured["dense"] = measured["whole"] = (measured["dense"] + measured["whole"]) / 2
    uses = sum(layer.uses for layer in layers)
    table = _table(measured, heads[0], neurons[0], uses, place)

    def speedup_of(found: Structure) -> float:
        again = _median_ms({"dense": whole["dense"], "found": _built(model, spec, found)}, place, CHECK_ROUNDS, tick)
        return again["dense"] / again["found"]

    found = partial(_solve, layers, spec, dense_ms=measured["dense"])
    return {"table": asdict(_corrected(table, spec.speedup, found, speedup_of)), "dense_ms": measured["dense"]}


def correct_for(model, spec: PruningSpec, heads, neurons) -> float:
    """The correction for a structure by these scores, which may be spread otherwise than those of `measure_latency_table`.

    Args:
        model: the one to be pruned.
        spec: what to prune, with its latency table.
        heads: scores per layer `[heads]`.
        neurons: scores per layer `[neurons]`.
    """
    table, dense_ms, layers = LatencyTable(**spec.latency["table"]), spec.latency["dense_ms"], layers_of(model)
    whole = shaped(model, *_whole(layers))
    # The dense model is not here any more, but how much slower than this one it is was measured beside it.
    dense_over_whole = dense_ms / table.total_ms(*_whole(layers), [layer.uses for layer in layers])

    def speedup_of(found: Structure) -> float:
        pair = {"whole": whole, "found": _built(model, spec, found)}
        again = _median_ms(pair, table.machine, CHECK_ROUNDS, lambda: None)
        return dense_over_whole * again["whole"] / again["found"]

    def found(table: LatencyTable) -> Structure:
        return select_structure(layers, _priced(spec, table, dense_ms), heads, neurons)

    return _corrected(table, spec.speedup, found, speedup_of).correction


def _corrected(table: LatencyTable, wanted: float, find, speedup_of) -> LatencyTable:
    """The table with the correction whose structure came nearest to the speed-up that is wanted."""
    tried: list[tuple[float, LatencyTable]] = []
    for _ in range(CORRECTIONS):
        off = wanted / speedup_of(find(table))
        tried.append((abs(off - 1), table))
        if abs(off - 1) < CLOSE_ENOUGH:
            break
        step = min(max(off, 1 / LARGEST_CORRECTION), LARGEST_CORRECTION)
        table = replace(table, correction=table.correction * step)
    return min(tried, key=lambda pair: pair[0])[1]


def _whole(layers: list[EncoderLayer]) -> tuple[list[int], list[int]]:
    """Heads and neurons of every layer; of a compact model the layer with most stands for all."""
    return [max(x.heads for x in layers)] * len(layers), [max(x.neurons for x in layers)] * len(layers)


def _built(model, spec: PruningSpec, found: Structure):
    kept = [[len(ids) for ids in found.heads], [len(ids) for ids in found.neurons]]
    return shaped(model, *kept, width=architecture_of(model.config).width if spec.structure == "plain" else None)


def _median_ms(shapes: dict, place: dict, rounds: int, on_step: Callable[[], None]) -> dict[str, float]:
    """Milliseconds of each model, all timed in turn."""
    stats = measure_latency(
        {name: _placed(shape, place) for name, shape in shapes.items()},
        batch_size=place["batch_size"],
        sequence_length=place["sequence_length"],
        repeats=rounds,
        warmup=WARMUP,
        seconds_limit=SECONDS,
        on_step=on_step,
    )
    return {name: row.median_ms for name, row in stats.items()}


def _table(measured: dict[str, float], heads: int, neurons: int, uses: int, place: dict) -> LatencyTable:
    def curve(shares, name, size):
        counts = [int(share * size) for share in shares]
        times = [measured[f"{name} {share}"] for share in shares]
        points = dict(zip([*counts, size], [*times, measured["whole"]], strict=True))  # small sizes may fall together
        rising = np.maximum.accumulate(list(points.values()))
        return list(points), [float(value) for value in (rising - rising[0]) / uses]

    points, widths = curve(HEAD_SHARES, "heads", heads), curve(NEURON_SHARES, "neurons", neurons)
    # What each part takes, alone, does not quite add up: shared out so that the whole and the empty model are right.
    parts = uses * (points[1][-1] + widths[1][-1])
    scale = max(measured["whole"] - measured["empty"], 0.0) / parts if parts else 0.0
    (counts, attention_ms), (sizes, ffn_ms) = (
        (found, [scale * ms for ms in times]) for found, times in (points, widths)
    )
    return LatencyTable(counts, attention_ms, sizes, ffn_ms, fixed_ms=measured["empty"], correction=1.0, machine=place)


def _solve(layers: list[EncoderLayer], spec: PruningSpec, table: LatencyTable, *, dense_ms: float) -> Structure:
    """A structure as training would find it: random scores spread over all layers, the same on every machine."""
    generator = torch.Generator().manual_seed(0)
    heads = [torch.rand(layer.heads, generator=generator) for layer in layers]
    neurons = [torch.rand(layer.neurons, generator=generator) for layer in layers]
    return select_structure(layers, _priced(spec, table, dense_ms), heads, neurons)


def _priced(spec: PruningSpec, table: LatencyTable, dense_ms: float) -> PruningSpec:
    return replace(spec, latency={"table": asdict(table), "dense_ms": dense_ms})


def expected_sparsity(model, spec) -> float:
    """Fraction of the prunable weights that the table's structure removes, where all scores are alike."""
    layers = layers_of(model)
    found = _solve(layers, spec, LatencyTable(**spec.latency["table"]), dense_ms=spec.latency["dense_ms"])
    kept = sum(
        len(h) * layer.head_cost + len(n) * layer.neuron_cost
        for layer, h, n in zip(layers, found.heads, found.neurons, strict=True)
    )
    return 1.0 - kept / max(spec.dense_weights, prunable_weights(layers))


def cached(file: Path, place: dict) -> dict | None:
    """The latency of an earlier measurement of the same model on the same machine, from a file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if found["table"]["machine"] == json.loads(json.dumps(place)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _placed(model, place: dict):
    return model.to(device=place["device"], dtype=getattr(torch, place["dtype"])).eval()


FILE_NAME = "latency_correction.json"


def recalibrate_and_freeze(model, args) -> None:
    """Fix the final structure of a model with masks; where its target is a speed, after timing it.

    Args:
        model: on the device it is trained on.
        args: a `TrainingArguments`. What was measured is kept in `output_dir`, so that a run that is killed here and
            resumed finds the same structure; the main process measures for all.
    """
    spec = PruningSpec(**model.config.pruning)
    if spec.latency is not None:
        scores = masks.final_scores(model)
        structure = select_structure(layers_of(model), spec, *scores)
        key = hashlib.sha256(json.dumps([spec.latency, structure.heads, structure.neurons]).encode()).hexdigest()
        found = [None]
        if args.process_index == 0:
            file = Path(args.output_dir) / FILE_NAME
            found = [_kept(file, key)]
            if found[0] is None:
                with torch.random.fork_rng():  # a resumed run that need not measure draws the same numbers afterwards
                    found = [correct_for(model, spec, *scores)]
                write_json(file, {"key": key, "correction": found[0]})
        model.config.pruning["latency"]["table"]["correction"] = broadcast_object_list(found)[0]
    masks.freeze_structure(model)


def _kept(file: Path, key: str) -> float | None:
    """The correction that was found for this very structure before."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return float(found["correction"]) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
