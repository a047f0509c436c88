"""Masks: attach scores to plain Linears, close their units step by step, and merge back into plain weights.

Block movement pruning (Lagunas et al. 2021, arXiv 2109.04838, section 3), with the ranking over the whole model and a
final structure of whole heads and neurons, because only what is physically gone makes a model faster.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..models.architectures import layers_of, prunable_weights
from ..models.compact import modeling_compact
from ..models.layers import EncoderLayer
from . import selection
from .scores import Pruning, UnitScores
from .selection import check_scores
from .structure import check_spec, select_structure
from .units import (
    MaskPlace,
    PruningSpec,
    attention_units,
    head_scores,
    mask_places,
    one_hot,
    open_units,
    refresh_magnitudes,
)


class Masked(nn.Module):
    """Parametrization of one weight: `weight * mask`, blocks spread over their rows and columns by broadcasting."""

    def __init__(self, pruning: Pruning, place: MaskPlace):
        super().__init__()
        object.__setattr__(self, "pruning", pruning)  # not registered: the scores must appear once in the state dict
        self.place = place

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Mask `weight [out, in]` with `grid = (row groups, column groups)` of equal blocks."""
        place = self.place
        rows, columns = place.grid
        mask = self.pruning.mask(place.group)[place.units].to(weight.dtype)
        mask = mask.repeat(place.repeat) if place.repeat > 1 else mask
        mask = mask.view(1, 1, columns, 1) if place.by_column else mask.view(rows, 1, -1, 1)
        blocks = weight.view(rows, weight.shape[0] // rows, columns, weight.shape[1] // columns)
        return (blocks * mask).view_as(weight)


def attach(model, spec: PruningSpec):
    """Give a model scores and masks; it computes the same function until the sparsity rises. Idempotent.

    Args:
        model: a transformers model of a known family; changed in place.
        spec: what to prune.

    Returns:
        The model.

    Raises:
        ValueError: unknown architecture, a block size that does not divide the head size, a target out of reach, or
            masks of another spec already in place.
    """
    if hasattr(model, "pruning"):
        if model.config.pruning != asdict(spec):
            raise ValueError(f"The model already has masks for {model.config.pruning}, asked for {asdict(spec)}.")
        return model
    layers = layers_of(model)
    check_spec(model, spec, layers)
    kind = {
        "learned": spec.method != "magnitude",
        "soft": spec.method == "soft_movement",
        "uniform": spec.structure == "plain",
        "device": model.device,
    }
    attention = ffn = None
    if spec.attention != "none":
        attention = UnitScores([n for layer in layers for n in attention_units(layer, spec)], **kind)
    if spec.ffn != "none":
        ffn = UnitScores([layer.neurons for layer in layers], **kind)
    model.pruning = Pruning(attention, ffn)
    model.config.pruning = asdict(spec)

    block_at = neuron_at = 0
    for layer in layers:
        for place in mask_places(layer, spec, block_at=block_at, neuron_at=neuron_at):
            parametrize.register_parametrization(layer.linears[place.path], "weight", Masked(model.pruning, place))
        block_at += sum(attention_units(layer, spec)) if attention is not None else 0
        neuron_at += layer.neurons
    model.register_forward_pre_hook(_begin_forward)
    model.register_forward_hook(_end_forward, always_call=True)
    return model


def set_sparsity(model, sparsity: float) -> None:
    """Close this fraction of every group of units by rank, without fixing anything yet.

    Args:
        model: a model with masks.
        sparsity: fraction of prunable weights gone in all, dropped layers included, in [0, 1).
    """
    layers, pruning, spec = layers_of(model), _pruning_of(model), PruningSpec(**model.config.pruning)
    refresh_magnitudes(model, layers)
    weights = prunable_weights(layers)
    share = spec.sparsity_of(weights, sparsity) * weights / _prunable_here(layers, pruning)
    for group in pruning.groups.values():
        group.close_fraction(share, progress=sparsity / spec.sparsity if spec.sparsity else 1.0)


def freeze_structure(model) -> selection.Structure:
    """Fix the final structure: close whole heads and neurons to the exact target, reopen the blocks of what stays.

    Block movement pruning leaves holes in heads that stay; nn_pruning fills them in a second run ("hybrid-filled").
    Here they reopen with the weights they had, and the rest of the run trains them.
    """
    layers, pruning, spec = layers_of(model), _pruning_of(model), PruningSpec(**model.config.pruning)
    structure = select_structure(layers, spec, *final_scores(model))
    if pruning.attention:
        pruning.attention.freeze(
            torch.cat([open_units(*pair, spec) for pair in zip(layers, structure.heads, strict=True)])
        )
    if pruning.ffn:
        pruning.ffn.freeze(
            torch.cat([one_hot(n, ids) for n, ids in zip(pruning.ffn.sizes, structure.neurons, strict=True)])
        )
    return structure


def final_scores(model) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The scores that the final structure is chosen by: `[heads]` and `[neurons]`, per layer.

    Raises:
        Diverged: there are scores that nothing can be chosen by.
    """
    layers, pruning, spec = layers_of(model), _pruning_of(model), PruningSpec(**model.config.pruning)
    refresh_magnitudes(model, layers)
    neurons = [torch.zeros(layer.neurons) for layer in layers]
    if pruning.ffn:
        neurons = list(pruning.ffn.scores.detach().split(pruning.ffn.sizes))
    heads = head_scores(layers, spec, pruning.attention)
    check_scores(heads, "heads")
    check_scores(neurons, "neurons")
    return heads, neurons


def current_sparsity(model) -> float:
    """Fraction of the prunable weights that are dropped or closed by masks now; no device is read but by the soft method."""
    layers, pruning, spec = layers_of(model), _pruning_of(model), PruningSpec(**model.config.pruning)
    weights = prunable_weights(layers)
    closed = pruning.attention.sparsity * sum(x.heads * x.head_cost for x in layers) if pruning.attention else 0.0
    closed += pruning.ffn.sparsity * sum(x.neurons * x.neuron_cost for x in layers) if pruning.ffn else 0.0
    return 1.0 - (weights - closed) / max(spec.dense_weights, weights)


def merge(model):
    """Write the masks into the weights and remove scores, masks and spec: a plain full-size model with zeros."""
    with torch.no_grad():
        _pruning_of(model).begin_forward()
        for layer in layers_of(model):
            for linear in layer.linears.values():
                if parametrize.is_parametrized(linear, "weight"):
                    # A deep copy shares this class, and torch removes the weight from the class: use one of our own.
                    shared = type(linear)
                    linear.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
                    parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
    for hooks, ours in ((model._forward_pre_hooks, _begin_forward), (model._forward_hooks, _end_forward)):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
            model._forward_hooks_always_called.pop(key, None)
    del model.pruning, model.config.pruning
    return model


def load_masked(folder: str | Path):
    """Open a checkpoint of a run with masks: the full-size model with the scores and masks it had.

    `from_pretrained` must not be used for it: the masked weights have other names, so it would start them at random.

    Args:
        folder: a `checkpoint-N` folder.

    Raises:
        ValueError: if the checkpoint has no masks.
    """
    import transformers
    from safetensors.torch import load_file

    config = transformers.AutoConfig.from_pretrained(folder)
    if not getattr(config, "pruning", None):
        raise ValueError(f"{folder} holds no masks (its config has no 'pruning'); open it with from_pretrained.")
    spec = PruningSpec(**config.pruning)
    name = config.architectures[0]
    home = modeling_compact if name.startswith(modeling_compact.PREFIX) else transformers
    model = getattr(home, name)(config)
    for parameter in model.parameters():  # and no buffers, as from_pretrained: rotary frequencies stay fp32
        parameter.data = parameter.data.to(config.dtype or torch.float32)
    del model.config.pruning
    state = load_file(Path(folder) / "model.safetensors")
    # A checkpoint of a distilled model may hold a map to the teacher's width, which is no part of the model.
    state = {name: value for name, value in state.items() if not name.startswith("distillation.")}
    attach(model, spec).load_state_dict(state)
    return model.eval()


def _pruning_of(model) -> Pruning:
    if not hasattr(model, "pruning"):
        raise ValueError(
            f"This {type(model).__name__} has no masks; give it some with trainer_ext.attach(model, spec)."
        )
    return model.pruning


def _prunable_here(layers: list[EncoderLayer], pruning: Pruning) -> int:
    attention = sum(layer.heads * layer.head_cost for layer in layers) if pruning.attention else 0
    return attention + (sum(layer.neurons * layer.neuron_cost for layer in layers) if pruning.ffn else 0)


def _begin_forward(model, args) -> None:
    model.pruning.begin_forward()


def _end_forward(model, args, output) -> None:
    model.pruning.end_forward()
