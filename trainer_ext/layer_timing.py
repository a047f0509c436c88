"""Layer timing: what heads and neurons cost on this machine, measured on whole models of several shapes.

Whole models and not single layers, because a layer alone finds its weights in the cache. All shapes are timed in turn,
so that a busy moment meets all of them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from .families import family_of, layers_of
from .latency import accelerator_name, measure_latency, processor_name
from .matrices import Layer, rows_by_linear
from .shrink import compact_outline
from .speed_budget import LatencyTable, fastest_structure

HEAD_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75)
NEURON_SHARES = (0.0, 0.03, 0.125, 0.25, 0.5, 0.75)
ROUNDS, WARMUP, CORRECTIONS = 9, 2, 3
LARGEST_CORRECTION = 1.15  # of one round: a disturbed moment must not put the target out of reach
SECONDS = 120.0  # no further round of the table starts after it


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


def _sizes(layer: Layer, rows: int, neurons: int) -> dict[str, list[int]]:
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


def measure_table(dense, model, spec, place: dict, *, on_step: Callable[[int, int], None] = lambda done, total: None):
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
    # Of a compact model the layer with most stands for all, so that no layer lies beyond the table.
    heads, neurons = ([max(sizes)] * len(layers) for sizes in ([x.heads for x in layers], [x.neurons for x in layers]))
    steps = iter(range(1, 1_000_000))
    total = (1 + CORRECTIONS) * (ROUNDS + WARMUP)

    def times(shapes: dict) -> dict[str, float]:
        models = {name: _placed(shape, place) for name, shape in shapes.items()}
        stats = measure_latency(
            models,
            batch_size=place["batch_size"],
            sequence_length=place["sequence_length"],
            repeats=ROUNDS,
            warmup=WARMUP,
            seconds_limit=SECONDS,
            on_step=lambda: on_step(next(steps), total),
        )
        return {name: row.median_ms for name, row in stats.items()}

    whole = {"dense": type(dense)(copy.deepcopy(dense.config)), "whole": shaped(model, heads, neurons)}
    whole["empty"] = shaped(model, [0] * len(layers), [0] * len(layers))
    by_heads = {f"heads {x}": shaped(model, [int(x * h) for h in heads], neurons) for x in HEAD_SHARES}
    by_neurons = {f"neurons {x}": shaped(model, heads, [int(x * n) for n in neurons]) for x in NEURON_SHARES}
    measured = times({**whole, **by_heads, **by_neurons})
    uses = sum(layer.uses for layer in layers)
    table = _table(measured, heads[0], neurons[0], uses, place)
    dense_ms = measured["dense"]
    for _ in range(CORRECTIONS):
        found = _solve(layers, spec, table, dense_ms)
        width = family_of(model.config).width if spec.structure == "plain" else None
        kept = [[len(ids) for ids in found.heads], [len(ids) for ids in found.neurons]]
        again = times({"dense": whole["dense"], "found": shaped(model, *kept, width=width)})
        off = spec.speedup * again["found"] / again["dense"]
        step = min(max(off, 1 / LARGEST_CORRECTION), LARGEST_CORRECTION)
        table = LatencyTable(**{**asdict(table), "correction": table.correction * step})
        if abs(off - 1) < 0.01:
            break
    return {"table": asdict(table), "dense_ms": dense_ms}


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


def _solve(layers: list[Layer], spec, table: LatencyTable, dense_ms: float):
    """A structure as training would find it: random scores spread over all layers, the same on every machine."""
    generator = torch.Generator().manual_seed(0)
    return fastest_structure(
        [torch.rand(layer.heads, generator=generator) for layer in layers],
        [torch.rand(layer.neurons, generator=generator) for layer in layers],
        head_costs=[layer.head_cost for layer in layers],
        neuron_costs=[layer.neuron_cost for layer in layers],
        uses=[layer.uses for layer in layers],
        table=table,
        dense_ms=dense_ms,
        speedup=spec.speedup,
        prune_heads=spec.attention != "none",
        prune_neurons=spec.ffn != "none",
        equal=spec.structure == "plain",
    )


def expected_sparsity(model, spec) -> float:
    """Fraction of the prunable weights that the table's structure removes, where all scores are alike."""
    layers = layers_of(model)
    found = _solve(layers, spec, LatencyTable(**spec.latency["table"]), spec.latency["dense_ms"])
    kept = sum(
        len(h) * layer.head_cost + len(n) * layer.neuron_cost
        for layer, h, n in zip(layers, found.heads, found.neurons, strict=True)
    )
    whole = sum(layer.heads * layer.head_cost + layer.neurons * layer.neuron_cost for layer in layers)
    return 1.0 - kept / max(spec.dense_weights, whole)


def cached(file: Path, place: dict) -> dict | None:
    """The latency of an earlier measurement of the same model on the same machine, from a file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if found["table"]["machine"] == json.loads(json.dumps(place)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _placed(model, place: dict):
    return model.to(device=place["device"], dtype=getattr(torch, place["dtype"])).eval()
