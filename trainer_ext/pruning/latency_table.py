"""Latency table: measure what heads and neurons cost on this machine, and correct the table for a structure.

Whole models of several shapes are timed, because a layer alone finds its weights in the cache. All shapes are timed in
turn, so that a slow moment of the machine affects all of them. The table is calibrated twice: after it
is measured, on a structure chosen with random scores, and when training freezes the structure chosen with learned scores.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from ..benchmark.busy import Watch, undisturbed
from ..benchmark.latency import accelerator_name, measure_latency, processor_name
from ..models.architectures import architecture_of, config_of, find_encoder, is_stock, layers_of, prunable_weights
from ..models.layers import EncoderLayer, rows_by_linear
from ..utils.files import write_json
from . import masks
from .config import PruningSpec, spec_of
from .latency_target import LatencyTable
from .scores import METHODS
from .selection import OutOfReach, Structure
from .shrinking import compact_outline
from .structure import select_structure

if TYPE_CHECKING:
    from transformers import TrainingArguments

HEAD_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75)
NEURON_SHARES = (0.0, 0.03, 0.125, 0.25, 0.5, 0.75)
# Timed rounds of the table and of each structure that is compared with the target, and the number of these structures.
ROUNDS, CHECK_ROUNDS, WARMUP, CORRECTIONS = 9, 25, 2, 4
LARGEST_CORRECTION = 1.15  # per step, so that one outlier cannot make the target unreachable
SECONDS = 120.0  # no further round starts after this time
CLOSE_ENOUGH = 0.01  # relative distance to the target speed-up at which a structure is accepted
CORRECTION_FILE = "latency_correction.json"


def shaped(model, heads: list[int], neurons: list[int], *, width: str | None = None):
    """Return a model like `model` with random weights and so many heads and neurons per layer.

    Args:
        model: a transformers model whose architecture is in `ARCHITECTURES`.
        heads: number of heads, per layer.
        neurons: number of neurons, per layer.
        width: config field of the feed-forward width, to make a stock model with all heads instead of a compact one.
    """
    model = timed_part(model)
    layers = layers_of(model)
    if width is not None:
        config = copy.deepcopy(model.config)
        setattr(config, width, neurons[0])
        return type(model)(config)
    sizes: dict[str, list[int]] = {}
    chosen: dict[str, list[int]] = {}
    for layer, kept_heads, kept_neurons in zip(layers, heads, neurons, strict=True):
        sizes |= _sizes(layer, kept_heads * layer.head_size, kept_neurons)
        if layer.attention:
            chosen[layer.attention] = list(range(kept_heads))
    return compact_outline(model, sizes, chosen)


def timed_part(model):
    """Return what is timed: the model, or its encoder if the model is of the user's own class."""
    return model if is_stock(model) else find_encoder(model)[1]


def _sizes(layer: EncoderLayer, rows: int, neurons: int) -> dict[str, list[int]]:
    by_head, by_neuron = rows_by_linear(layer.head_rows), rows_by_linear(layer.neuron_rows)
    return {
        **{path: [rows * len(parts), parts[0].in_features] for path, parts in by_head.items()},
        layer.attention_output.path: [layer.attention_output.out_features, rows],
        **{path: [neurons * len(parts), parts[0].in_features] for path, parts in by_neuron.items()},
        layer.ffn_out.path: [layer.ffn_out.out_features, neurons],
    }


def machine(model, *, device: str, dtype: str, batch_size: int, sequence_length: int) -> dict[str, Any]:
    """Return a description of what a table measures. A table can be reused where this is the same.

    Args:
        model: the model to be pruned.
        device: where it runs.
        dtype: name of its dtype.
        batch_size: rows of a batch.
        sequence_length: tokens of a row.
    """
    place = torch.device(device)
    layers = layers_of(model)
    return {
        "model": [
            config_of(timed_part(model)).model_type,
            *((layer.heads, layer.neurons, layer.uses) for layer in layers),
        ],
        "device": place.type,
        "processor": processor_name() if place.type == "cpu" else accelerator_name(place),
        "threads": torch.get_num_threads() if place.type == "cpu" else None,
        "torch": str(torch.__version__),
        "attention": config_of(timed_part(model))._attn_implementation,
        "dtype": dtype,
        "batch_size": batch_size,
        "sequence_length": sequence_length,
    }


def measure_latency_table(
    dense,
    model,
    spec: PruningSpec,
    place: dict[str, Any],
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure a latency table, and correct it so that the target speed-up is reached (with `obs`: see `corrected_structure`).

    Args:
        dense: the model that the speed-up is relative to.
        model: the model to be pruned: the same, or with layers dropped.
        spec: what to prune, with the speed-up.
        place: what to measure, from `machine`.
        on_step: called with the number of timed rounds done and their total.

    Returns:
        The value of `PruningSpec.latency`: `{"table": ..., "dense_ms": ...}`, plain JSON; with `"busy": true` if other work
        disturbed the timing, also when it was repeated.

    Raises:
        ValueError: If the speed-up cannot be reached.
    """
    dense, layers = timed_part(dense), layers_of(model)
    heads, neurons = _largest_sizes(layers)
    steps = itertools.count(1)
    at_once = METHODS[spec.method].second_order  # it is corrected when the structure is chosen, which is soon
    total = ROUNDS + WARMUP + (0 if at_once else CORRECTIONS * (CHECK_ROUNDS + WARMUP))

    def tick() -> None:
        on_step(next(steps), total)

    shapes = {"dense": type(dense)(copy.deepcopy(dense.config)), "whole": shaped(model, heads, neurons)}
    shapes["empty"] = shaped(model, [0] * len(layers), [0] * len(layers))
    shapes |= {f"heads {x}": shaped(model, [int(x * h) for h in heads], neurons) for x in HEAD_SHARES}
    shapes |= {f"neurons {x}": shaped(model, heads, [int(x * n) for n in neurons]) for x in NEURON_SHARES}
    on_cpu = place["device"] == "cpu"
    measured, watch = undisturbed(
        lambda watch, again: _median_ms(shapes, place, ROUNDS, (lambda: None) if again else tick, watch),
        patient=on_cpu,
    )
    busy = on_cpu and watch.is_busy
    if not spec.dense_weights:  # no layer was dropped: the two are the same model
        measured["dense"] = measured["whole"] = (measured["dense"] + measured["whole"]) / 2
    dense_ms = measured["dense"]

    def speedup_of(found: Structure) -> float:
        pair = {"dense": shapes["dense"], "found": _built(model, spec, found)}
        again = _median_ms(pair, place, CHECK_ROUNDS, tick)
        return again["dense"] / again["found"]

    def find(table: LatencyTable) -> Structure:
        return _structure_by_random_scores(layers, _with_table(spec, table, dense_ms))

    table = _table(measured, heads[0], neurons[0], sum(layer.uses for layer in layers), place)
    if not at_once:
        table = _corrected(table, spec.speedup or 1.0, find, speedup_of)
    return {"table": asdict(table), "dense_ms": dense_ms} | ({"busy": True} if busy else {})


def _correction_for(model, spec: PruningSpec, select: Callable[[PruningSpec], Structure]) -> float:
    """Return the correction for the structure that `select` chooses."""
    layers = layers_of(model)
    table, dense_ms = _table_of(spec)
    whole = shaped(model, *_largest_sizes(layers))
    # The dense model is gone; its time relative to the unpruned student was measured with the table.
    dense_over_whole = dense_ms / table.total_ms(*_largest_sizes(layers), [layer.uses for layer in layers])

    def speedup_of(found: Structure) -> float:
        pair = {"whole": whole, "found": _built(model, spec, found)}
        again = _median_ms(pair, table.machine, CHECK_ROUNDS, lambda: None)
        return dense_over_whole * again["whole"] / again["found"]

    def find(table: LatencyTable) -> Structure:
        return select(_with_table(spec, table, dense_ms))

    return _corrected(table, spec.speedup or 1.0, find, speedup_of).correction


def _table_of(spec: PruningSpec) -> tuple[LatencyTable, float]:
    """Return the latency table of a spec and the time of the dense model."""
    latency = spec.latency or {}
    return LatencyTable(**latency["table"]), latency["dense_ms"]


def _corrected(
    table: LatencyTable,
    target: float,
    find: Callable[[LatencyTable], Structure],
    speedup_of: Callable[[Structure], float],
) -> LatencyTable:
    """Return the table with the correction whose structure came nearest to the target speed-up.

    Raises:
        OutOfReach: If the target is out of reach with the table as it is. If only a correction puts it there, the
            structures that were found before count.
    """
    tried: list[tuple[float, LatencyTable]] = []
    for _ in range(CORRECTIONS):
        try:
            found = find(table)
        except OutOfReach:
            if not tried:
                raise
            break
        off = target / speedup_of(found)
        tried.append((abs(off - 1), table))
        if abs(off - 1) < CLOSE_ENOUGH:
            break
        step = min(max(off, 1 / LARGEST_CORRECTION), LARGEST_CORRECTION)
        table = replace(table, correction=table.correction * step)
    return min(tried, key=lambda pair: pair[0])[1]


def _largest_sizes(layers: list[EncoderLayer]) -> tuple[list[int], list[int]]:
    """Return the heads and neurons of every layer; in a compact model those of the largest layer, for all."""
    return [max(x.heads for x in layers)] * len(layers), [max(x.neurons for x in layers)] * len(layers)


def _built(model, spec: PruningSpec, found: Structure):
    heads, neurons = [len(ids) for ids in found.heads], [len(ids) for ids in found.neurons]
    width = architecture_of(config_of(timed_part(model))).width if spec.structure == "plain" else None
    return shaped(model, heads, neurons, width=width)


def _median_ms(
    shapes: dict[str, Any],
    place: dict[str, Any],
    rounds: int,
    on_step: Callable[[], None],
    watch: Watch | None = None,
) -> dict[str, float]:
    """Return the milliseconds of each model, all timed in turn."""
    dtype = getattr(torch, place["dtype"])
    stats = measure_latency(
        {name: shape.to(device=place["device"], dtype=dtype).eval() for name, shape in shapes.items()},
        batch_size=place["batch_size"],
        sequence_length=place["sequence_length"],
        repeats=rounds,
        warmup=WARMUP,
        seconds_limit=SECONDS,
        on_step=on_step,
        watch=watch,
    )
    return {name: row.median_ms for name, row in stats.items()}


def _table(measured: dict[str, float], heads: int, neurons: int, uses: int, place: dict[str, Any]) -> LatencyTable:
    def curve(shares: Sequence[float], name: str, size: int) -> tuple[list[int], list[float]]:
        counts = [int(share * size) for share in shares]
        times = [measured[f"{name} {share}"] for share in shares]
        points = dict(zip([*counts, size], [*times, measured["whole"]], strict=True))  # small sizes may coincide
        rising = np.maximum.accumulate(list(points.values()))
        return list(points), [float(value) for value in (rising - rising[0]) / uses]

    points, widths = curve(HEAD_SHARES, "heads", heads), curve(NEURON_SHARES, "neurons", neurons)
    # The times of the parts do not exactly add up: scale them so that the whole and the empty model are right.
    parts = uses * (points[1][-1] + widths[1][-1])
    scale = max(measured["whole"] - measured["empty"], 0.0) / parts if parts else 0.0
    (counts, attention_ms), (sizes, ffn_ms) = (
        (found, [scale * ms for ms in times]) for found, times in (points, widths)
    )
    return LatencyTable(counts, attention_ms, sizes, ffn_ms, fixed_ms=measured["empty"], correction=1.0, machine=place)


def _structure_by_random_scores(layers: list[EncoderLayer], spec: PruningSpec) -> Structure:
    """Choose a structure as training would: random scores spread over all layers, the same on every machine."""
    generator = torch.Generator().manual_seed(0)
    heads = [torch.rand(layer.heads, generator=generator) for layer in layers]
    neurons = [torch.rand(layer.neurons, generator=generator) for layer in layers]
    return select_structure(layers, spec, heads, neurons)


def _with_table(spec: PruningSpec, table: LatencyTable, dense_ms: float) -> PruningSpec:
    return replace(spec, latency={"table": asdict(table), "dense_ms": dense_ms})


def expected_sparsity(model, spec: PruningSpec) -> float:
    """Return the fraction of the prunable weights that the latency table of a spec removes, with random scores.

    Args:
        model: the model to be pruned.
        spec: what to prune, with its latency table.
    """
    layers = layers_of(model)
    found = _structure_by_random_scores(layers, spec)
    kept = sum(
        len(h) * layer.head_cost + len(n) * layer.neuron_cost
        for layer, h, n in zip(layers, found.heads, found.neurons, strict=True)
    )
    return 1.0 - kept / max(spec.dense_weights, prunable_weights(layers))


def cached(file: Path, place: dict[str, Any]) -> dict[str, Any] | None:
    """Return the latency that was measured earlier for the same model on the same machine, if a file holds it.

    Args:
        file: written by an earlier run.
        place: what to measure, from `machine`.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if found["table"]["machine"] == json.loads(json.dumps(place)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def corrected_structure(
    model, select: Callable[[PruningSpec], Structure], *, folder: str | Path, is_main: bool
) -> Structure:
    """Return the structure for a model with masks; if the target is a speed-up, after correcting the latency table.

    Args:
        model: a model with masks, on the device that it is trained on. The correction goes into its config.
        select: returns the structure for a spec.
        folder: where the correction is kept, so that a run that is interrupted here and resumed finds the same structure.
        is_main: whether this is the main process, which measures for all.
    """
    spec = spec_of(model)
    structure = select(spec)
    if spec.latency is None:
        return structure
    key = hashlib.sha256(json.dumps([spec.latency, structure.heads, structure.neurons]).encode()).hexdigest()
    found: list[float | None] = [None]
    if is_main:
        file = Path(folder) / CORRECTION_FILE
        found = [_earlier_correction(file, key)]
        if found[0] is None:
            with torch.random.fork_rng():  # a resumed run that does not measure must draw the same numbers
                found = [_correction_for(model, spec, select)]
            write_json(file, {"key": key, "correction": found[0]})
    config_of(model).pruning["latency"]["table"]["correction"] = broadcast_object_list(found)[0]
    return select(spec_of(model))


def recalibrate_and_freeze(model, args: TrainingArguments) -> None:
    """Freeze the structure of a model with masks by its scores; if the target is a speed-up, after correcting the table.

    Args:
        model: a model with masks, on the device that it is trained on.
        args: training arguments; the correction is kept in `output_dir`.
    """
    if spec_of(model).latency is None:
        masks.freeze_structure(model)
        return
    layers, scores = layers_of(model), masks.final_scores(model)
    folder, is_main = str(args.output_dir), args.process_index == 0
    structure = corrected_structure(
        model, lambda spec: select_structure(layers, spec, *scores), folder=folder, is_main=is_main
    )
    masks.freeze(model, structure)


def _earlier_correction(file: Path, key: str) -> float | None:
    """Return the correction that was measured before for the same structure."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return float(found["correction"]) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
