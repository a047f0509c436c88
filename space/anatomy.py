"""Anatomy: where the parameters lie in both models, so where they went: embeddings, attention and feed-forward.

Weights and biases of the matrices that pruning knows (`trainer_ext.models.architectures`); norms, pooler and head are "other".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models import Pair
from torch import nn

from trainer_ext.benchmark.size import count_parameters
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.layers import EncoderLayer
from trainer_ext.pruning.layer_dropping import middle_layers
from trainer_ext.report.schema import CompressionReport


@dataclass(frozen=True)
class Change:
    """Parameters of one part before and after."""

    before: int
    after: int


@dataclass(frozen=True)
class Anatomy:
    """Both models in parts.

    Attributes:
        total: all parameters.
        parts: what they add up to, by name: embeddings, attention, ffn, other; where the architecture is not known,
            embeddings, encoder, head.
        layers: attention and ffn of every layer of the baseline, first layer first; empty where it is not known which
            layer became which.
    """

    total: Change
    parts: dict[str, Change]
    layers: list[dict[str, Change]]


def anatomy(pair: Pair) -> Anatomy:
    """Count both models in parts."""
    before, after = (count_parameters(side.model) for side in pair.sides.values())
    total = Change(before.total, after.total)
    try:
        old, new = ([_of_layer(layer) for layer in layers_of(side.model)] for side in pair.sides.values())
    except ValueError:  # an architecture without a layout
        names = ("embeddings", "encoder", "head")
        return Anatomy(total, {name: Change(getattr(before, name), getattr(after, name)) for name in names}, [])
    parts = {"embeddings": Change(before.embeddings, after.embeddings)}
    for name in ("attention", "ffn"):
        parts[name] = Change(sum(layer[name] for layer in old), sum(layer[name] for layer in new))
    counted = parts.values()
    parts["other"] = Change(
        total.before - sum(part.before for part in counted), total.after - sum(part.after for part in counted)
    )
    kept = kept_layers(len(old), len(new), pair.report)
    place = {index: new[position] for position, index in enumerate(kept)}
    nothing = dict.fromkeys(("attention", "ffn"), 0)
    layers = [
        {name: Change(count, place.get(index, nothing)[name]) for name, count in layer.items()}
        for index, layer in enumerate(old)
    ]
    return Anatomy(total, parts, layers if kept else [])


def kept_layers(before: int, after: int, report: CompressionReport | None) -> list[int]:
    """Which layers of the baseline the compressed model's are, counted from 0; none where that is not known.

    Args:
        before: layers of the baseline.
        after: layers of the compressed model.
        report: its recipe says which layers were dropped.
    """
    if before == after:
        return list(range(before))
    recipe = report.recipe if report is not None else {}
    count = recipe.get("prune_layers") or 0
    dropped = recipe.get("prune_layer_ids") or (middle_layers(before, count) if 0 < count < before else [])
    kept = [index for index in range(before) if index not in dropped]
    return kept if len(kept) == after else []


def _of_layer(layer: EncoderLayer) -> dict[str, int]:
    attention = (*layer.head_rows, layer.attention_output)
    ffn = (*layer.neuron_rows, layer.ffn_out)
    return {
        name: _count({matrix.path: matrix.linear for matrix in matrices}.values())
        for name, matrices in (("attention", attention), ("ffn", ffn))
    }


def _count(linears: Iterable[nn.Linear]) -> int:
    return sum(weight.numel() for linear in linears for weight in linear.parameters())
