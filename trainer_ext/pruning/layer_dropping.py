"""Layer dropping: remove whole encoder layers, the baseline for every finer pruning method.

By default the middle layers go, which arXiv 2501.00733 found to be best for Marathi encoders.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

import torch

from ..models.architectures import architecture_of, is_stock
from .preflight import check_class
from .shrinking import filled


def middle_layers(layers: int, count: int) -> list[int]:
    """Return the ids of the `count` middle layers.

    Args:
        layers: number of layers of the model.
        count: number of layers to drop.

    Raises:
        ValueError: If no layer would be left.
    """
    if not 0 <= count < layers:
        raise ValueError(f"prune_layers={count} is out of range: this model has {layers} layers and one must stay.")
    first = (layers - count + 1) // 2
    return list(range(first, first + count))


@torch.no_grad()
def drop_layers(model, count: int, ids: Sequence[int] | None = None):
    """Return a copy of a model with fewer encoder layers.

    Args:
        model: a transformers model whose architecture is in `ARCHITECTURES`, without masks; not changed.
        count: number of layers to drop, the middle ones unless `ids` is given.
        ids: the layers to drop, counted from 0; `count` must be their number, or 0.

    Raises:
        ValueError: If a layer does not exist or cannot be dropped, if layers that share their weights do not fit, or if the
            model has masks or a part that its class does not build.
    """
    if not is_stock(model):
        raise ValueError(
            f"prune_layers drops layers of models of transformers, and {type(model).__name__} is a class of its own: drop "
            "them before you build it (trainer_ext.drop_layers on the encoder), or use prune_sparsity."
        )
    if hasattr(model, "pruning"):
        raise ValueError(
            "The model has masks; drop layers before they are attached, or call trainer_ext.merge(model) first."
        )
    architecture, config = architecture_of(model.config), copy.deepcopy(model.config)
    check_class(model)
    layers = config.num_hidden_layers
    dropped = sorted(set(ids)) if ids else middle_layers(layers, count)
    if ids and (len(dropped) != len(ids) or (count and count != len(ids))):
        raise ValueError(f"prune_layer_ids={list(ids)} must name each layer once, as many as prune_layers={count}.")
    if architecture.droppable_from is None:
        return _fewer_runs(model, config, dropped, ids)
    wrong = [index for index in dropped if not architecture.droppable_from <= index < layers]
    if wrong or len(dropped) >= layers:
        raise ValueError(
            f"prune_layer_ids={dropped}: layers {architecture.droppable_from} to {layers - 1} of this model may be dropped, "
            "and one must stay."
        )
    kept = [index for index in range(layers) if index not in dropped]
    config.num_hidden_layers = len(kept)
    for name in architecture.per_layer:
        setattr(config, name, [getattr(config, name)[index] for index in kept])
    for name in ("compact_linears", "compact_heads"):  # of a model that is already compact
        if getattr(config, name, None):
            setattr(config, name, _renumber(getattr(config, name), architecture.layers, kept))
    config._attn_implementation = model.config._attn_implementation
    prefix = f"{model.base_model_prefix}." if model.base_model is not model else ""
    return filled(type(model)(config), model, _renumber(model.state_dict(), prefix + architecture.layers, kept))


def _fewer_runs(model, config, dropped: list[int], ids):
    """Run layers that share their weights fewer times; they cannot be dropped one by one."""
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
    """Return the entries of the layers that stay under their new number, and all entries of other modules."""
    number = re.compile(rf"^({re.escape(pattern.removesuffix('*'))})(\d+)(?=\.)")
    new_number = {old: new for new, old in enumerate(kept)}
    found = {}
    for name, value in values.items():
        match = number.match(name)
        if match is None:
            found[name] = value
        elif int(match[2]) in new_number:
            found[number.sub(rf"\g<1>{new_number[int(match[2])]}", name)] = value
    return found
