"""Count the parameters of both models by part and by layer, to show which were removed.

Attention and feed-forward are the weights and biases of the matrices that pruning knows
(`trainer_ext.models.architectures`); normalisation, pooler and head are "other".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from core.models import Pair
from trainer_ext.benchmark.size import count_parameters
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.layers import EncoderLayer
from trainer_ext.pruning.layer_dropping import middle_layers
from trainer_ext.report.schema import CompressionReport


@dataclass(frozen=True)
class Change:
    """Number of parameters of one part before and after."""

    before: int
    after: int


@dataclass(frozen=True)
class Anatomy:
    """The parameters of both models.

    Attributes:
        total: All parameters.
        parts: The parts that add up to the total: embeddings, attention, ffn, other; for an unknown architecture
            embeddings, encoder, head.
        layers: Attention and ffn of each layer of the baseline; empty if it is not known which of them were kept.
        tokens: Number of tokens of the baseline, if it is counted with those that were trimmed before its training.
    """

    total: Change
    parts: dict[str, Change]
    layers: list[dict[str, Change]]
    tokens: int | None = None


def anatomy(pair: Pair) -> Anatomy:
    """Count the parameters of both models."""
    before, after = (count_parameters(side.model) for side in pair.sides.values())
    before, tokens = (pair.whole.parameters, pair.whole.tokens) if pair.whole else (before, None)
    total = Change(before.total, after.total)
    try:
        old, new = ([_of_layer(layer) for layer in layers_of(side.model)] for side in pair.sides.values())
    except ValueError:  # the architecture is not known
        names = ("embeddings", "encoder", "head")
        return Anatomy(
            total, {name: Change(getattr(before, name), getattr(after, name)) for name in names}, [], tokens
        )
    parts = {"embeddings": Change(before.embeddings, after.embeddings)}
    for name in ("attention", "ffn"):
        parts[name] = Change(sum(layer[name] for layer in old), sum(layer[name] for layer in new))
    counted = parts.values()
    parts["other"] = Change(
        total.before - sum(part.before for part in counted), total.after - sum(part.after for part in counted)
    )
    kept = kept_layers(len(old), len(new), pair.report)
    new_of_old = dict(zip(kept, new, strict=True)) if kept else {}
    removed = dict.fromkeys(("attention", "ffn"), 0)
    layers = [
        {name: Change(count, new_of_old.get(index, removed)[name]) for name, count in layer.items()}
        for index, layer in enumerate(old)
    ]
    return Anatomy(total, parts, layers if kept else [], tokens)


def kept_layers(before: int, after: int, report: CompressionReport | None) -> list[int]:
    """Return which layers of the baseline the compressed model has, counted from 0; empty if that is not known.

    Args:
        before: Number of layers of the baseline.
        after: Number of layers of the compressed model.
        report: The report, whose recipe says which layers were dropped.
    """
    if before == after:
        return list(range(before))
    recipe = report.recipe if report is not None else {}
    count = recipe.get("prune_layers") or 0
    dropped = recipe.get("prune_layer_ids") or (middle_layers(before, count) if 0 < count < before else [])
    kept = [index for index in range(before) if index not in dropped]
    return kept if len(kept) == after else []


def _of_layer(layer: EncoderLayer) -> dict[str, int]:
    """Count the parameters of the attention and the ffn of a layer; a shared matrix counts once."""
    attention = (*layer.head_rows, layer.attention_output)
    ffn = (*layer.neuron_rows, layer.ffn_out)
    return {
        name: _count({matrix.path: matrix.linear for matrix in matrices}.values())
        for name, matrices in (("attention", attention), ("ffn", ffn))
    }


def _count(linears: Iterable[nn.Linear]) -> int:
    return sum(weight.numel() for linear in linears for weight in linear.parameters())
