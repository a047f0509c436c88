"""Depth: whole encoder layers taken out of a model, the baseline that every finer pruning must beat.

Of all ways to choose by hand, dropping the middle layers is the best known: arXiv 2501.00733 finds it for Marathi
encoders.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

import torch

from ..models.architectures import architecture_of
from .shrinking import filled


def middle_layers(layers: int, count: int) -> list[int]:
    """Ids of the `count` middle ones of so many layers.

    Raises:
        ValueError: if none would be left.
    """
    if not 0 <= count < layers:
        raise ValueError(f"prune_layers={count} is out of range: this model has {layers} layers and one must stay.")
    first = (layers - count + 1) // 2
    return list(range(first, first + count))


@torch.no_grad()
def drop_layers(model, count: int, ids: Sequence[int] | None = None):
    """A copy of a model with fewer encoder layers, everything else as it was.

    Args:
        model: a transformers model of a known family, without masks; not changed.
        count: how many layers to take out; the middle ones unless `ids` says which.
        ids: the layers to take out, counted from 0; their number is `count`, or `count` is 0.

    Raises:
        ValueError: ids that are not there or may not go, or layers that share their weights.
    """
    family, config = architecture_of(model.config), copy.deepcopy(model.config)
    layers = config.num_hidden_layers
    dropped = sorted(set(ids)) if ids else middle_layers(layers, count)
    if ids and (len(dropped) != len(ids) or (count and count != len(ids))):
        raise ValueError(f"prune_layer_ids={list(ids)} must name each layer once, as many as prune_layers={count}.")
    if family.droppable_from is None:
        return _fewer_runs(model, config, dropped, ids)
    wrong = [index for index in dropped if not family.droppable_from <= index < layers]
    if wrong or len(dropped) >= layers:
        raise ValueError(
            f"prune_layer_ids={dropped}: layers {family.droppable_from} to {layers - 1} of this model may be dropped, "
            "and one must stay."
        )
    kept = [index for index in range(layers) if index not in dropped]
    config.num_hidden_layers = len(kept)
    for name in family.per_layer:
        setattr(config, name, [getattr(config, name)[index] for index in kept])
    for name in ("compact_linears", "compact_heads"):  # of a model that was compressed before
        if getattr(config, name, None):
            setattr(config, name, _renumber(getattr(config, name), family.layers, kept))
    config._attn_implementation = model.config._attn_implementation
    prefix = f"{model.base_model_prefix}." if model.base_model is not model else ""
    return filled(type(model)(config), model, _renumber(model.state_dict(), prefix + family.layers, kept))


def _fewer_runs(model, config, dropped: list[int], ids):
    """Layers that share weights cannot be told apart: the same weights run fewer times."""
    groups = config.num_hidden_groups
    left = config.num_hidden_layers - len(dropped)
    if ids or left % groups:
        raise ValueError(
            f"The layers of this model share their weights in {groups} group(s): give prune_layers, without "
            f"prune_layer_ids, so that a multiple of {groups} stays."
        )
    config.num_hidden_layers = left
    config._attn_implementation = model.config._attn_implementation
    return filled(type(model)(config), model, model.state_dict())


def _renumber(values: dict, pattern: str, kept: list[int]) -> dict:
    """Entries of layers that stay under their new number, all others as they are, dropped ones not at all."""
    number = re.compile(rf"^({re.escape(pattern.removesuffix('*'))})(\d+)(?=\.)")
    place = {old: new for new, old in enumerate(kept)}
    found = {}
    for name, value in values.items():
        match = number.match(name)
        if match is None:
            found[name] = value
        elif int(match[2]) in place:
            found[number.sub(rf"\g<1>{place[int(match[2])]}", name)] = value
    return found
