"""Masks: attach scores to plain Linears, close units step by step, freeze the structure, merge into plain weights.

Block movement pruning (Lagunas et al. 2021, arXiv 2109.04838, section 3), with one ranking for the whole model and a
final structure of whole heads and neurons, because only removed rows and columns make a model faster.
"""

from __future__ import annotations

import copy
import functools
import logging
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..distillation import hidden_states
from ..models.architectures import config_of, find_encoder, layers_of, prunable_weights
from ..models.compact import modeling_compact
from ..models.layers import EncoderLayer
from ..utils.checkpoints import stored_elsewhere
from . import selection
from .config import PruningSpec, spec_of
from .scores import METHODS, Pruning, UnitScores, head_scores, refresh_scores
from .structure import check_spec, select_structure
from .units import MaskPlace, attention_units, ids_to_mask, mask_places, units_of_heads

logger = logging.getLogger(__name__)


class Masked(nn.Module):
    """Parametrization of one weight: `weight * mask`, each unit broadcast over its block of rows and columns."""

    pruning: Pruning

    def __init__(self, pruning: Pruning, place: MaskPlace):
        super().__init__()
        object.__setattr__(self, "pruning", pruning)  # not registered: the scores must appear once in the state dict
        self.place = place

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the masked weight.

        Args:
            weight: `[out, in]`.
        """
        place = self.place
        rows, columns = place.grid
        mask = self.pruning.mask(place.group)[place.units].to(weight.dtype)
        mask = mask.repeat(place.repeat) if place.repeat > 1 else mask
        mask = mask.view(1, 1, columns, 1) if place.by_column else mask.view(rows, 1, -1, 1)
        blocks = weight.view(rows, weight.shape[0] // rows, columns, weight.shape[1] // columns)
        return (blocks * mask).view_as(weight)


def attach(model, spec: PruningSpec):
    """Add scores and masks to a model. It computes the same function until its sparsity rises.

    A model that already has masks for the same spec is returned as it is.

    Args:
        model: a model with one encoder whose architecture is in `ARCHITECTURES`; changed in place.
        spec: what to prune.

    Returns:
        The model.

    Raises:
        ValueError: If the architecture is unknown, the block size does not divide the head size, the target is out of
            reach, or the model has masks for another spec.
    """
    if hasattr(model, "pruning"):
        before, asked = config_of(model).pruning, asdict(spec)
        if other := [name for name in asked if before.get(name) != asked[name]]:
            raise ValueError(
                f"The model already has masks, attached with another {' and '.join(other)}: give the same arguments again, or "
                "take them off with trainer_ext.merge(model) first."
            )
        return model
    layers = layers_of(model)
    check_spec(model, spec, layers)
    method, device = METHODS[spec.method], find_encoder(model)[1].device

    def new_scores(sizes: list[int]) -> UnitScores:
        uniform = spec.structure == "plain"
        return UnitScores(sizes, learned=method.learned, device=device, soft=method.soft, uniform=uniform)

    attention = ffn = None
    if spec.attention != "none":
        attention = new_scores([n for layer in layers for n in attention_units(layer, spec)])
    if spec.ffn != "none":
        ffn = new_scores([layer.neurons for layer in layers])
    model.pruning = Pruning(attention, ffn)
    config_of(model).pruning = asdict(spec)

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
    """Close the same fraction of every group of units, without freezing the structure.

    Args:
        model: a model with masks.
        sparsity: fraction of the prunable weights to close, dropped layers included, in [0, 1).
    """
    layers, pruning, spec = layers_of(model), _pruning_of(model), spec_of(model)
    refresh_scores(model, layers)
    weights = prunable_weights(layers)
    share = spec.sparsity_of(weights, sparsity) * weights / sum(_group_weights(layers, pruning).values())
    for group in pruning.groups.values():
        group.close_fraction(share, progress=sparsity / spec.sparsity if spec.sparsity else 1.0)


def freeze_structure(model) -> selection.Structure:
    """Freeze the structure: close whole heads and neurons to reach the target exactly, reopen the blocks that stay.

    Block movement pruning leaves holes in the heads that stay; nn_pruning fills them in a second run ("hybrid-filled").
    Here they reopen with the weights they had, and the rest of the run trains them.

    Returns:
        The ids of the heads and neurons that stay.

    Raises:
        Diverged: If scores are NaN or infinite.
    """
    heads, neurons = final_scores(model)
    structure = select_structure(layers_of(model), spec_of(model), heads, neurons)
    freeze(model, structure)
    return structure


def freeze(model, structure: selection.Structure) -> None:
    """Make a structure final: its heads and neurons are open, all others closed.

    Args:
        model: a model with masks.
        structure: the heads and neurons that stay.
    """
    layers, pruning, spec = layers_of(model), _pruning_of(model), spec_of(model)
    if pruning.attention:
        heads = zip(layers, structure.heads, strict=True)
        pruning.attention.freeze(torch.cat([units_of_heads(layer, ids, spec) for layer, ids in heads]))
    if pruning.ffn:
        neurons = zip(pruning.ffn.sizes, structure.neurons, strict=True)
        pruning.ffn.freeze(torch.cat([ids_to_mask(size, ids) for size, ids in neurons]))


def final_scores(model) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the scores that the structure is chosen by: of heads `[heads]` and of neurons `[neurons]`, per layer.

    Raises:
        Diverged: If scores are NaN or infinite.
    """
    pruning, layers, spec = _pruning_of(model), layers_of(model), spec_of(model)
    refresh_scores(model, layers)
    neurons = [torch.zeros(layer.neurons) for layer in layers]
    if pruning.ffn:
        neurons = list(pruning.ffn.scores.detach().split(pruning.ffn.sizes))
    heads = head_scores(layers, spec, pruning.attention)
    selection.check_scores(heads, "heads")
    selection.check_scores(neurons, "neurons")
    return heads, neurons


def current_sparsity(model) -> float:
    """Return the fraction of the prunable weights that is closed now, dropped layers included.

    Only soft_movement waits for the device here.
    """
    layers, pruning, spec = layers_of(model), _pruning_of(model), spec_of(model)
    weights = prunable_weights(layers)
    closed = sum(pruning.groups[name].sparsity * count for name, count in _group_weights(layers, pruning).items())
    return 1.0 - (weights - closed) / max(spec.dense_weights, weights)


@torch.no_grad()
def merge(model):
    """Multiply the masks into the weights and remove scores, masks and spec, in place.

    Returns:
        The model: plain, of full size, with zeros where units are closed.
    """
    _pruning_of(model).begin_forward()
    for layer in layers_of(model):
        for linear in layer.linears.values():
            if parametrize.is_parametrized(linear, "weight"):
                # A deep copy shares this class, and torch removes the weight from the class: give this one its own.
                shared = type(linear)
                linear.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
                parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
    for hooks, ours in ((model._forward_pre_hooks, _begin_forward), (model._forward_hooks, _end_forward)):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
            model._forward_hooks_always_called.pop(key, None)
    del model.pruning, config_of(model).pruning
    return model


def merged_copy(model):
    """Return a plain copy of a model with masks: of full size, and it computes what the model computes now.

    With it a callback can save a model during the training, or measure it.

    Args:
        model: a model with masks; not changed.
    """
    plain = merge(copy.deepcopy(model))
    vars(plain).pop("save_pretrained", None)
    hidden_states.detach(plain)
    return plain


def save_as_plain(model) -> None:
    """Make `save_pretrained` of a model with masks write its `merged_copy`, which `from_pretrained` opens.

    Checkpoints, which need the masks, are saved as they are: those with `state_dict=...` or in a folder `checkpoint-N`.
    The method is set on the instance, because callbacks of scripts save a model without knowing of masks.

    Args:
        model: changed in place; a model that cannot save itself is left alone.
    """
    if hasattr(model, "save_pretrained"):
        model.save_pretrained = functools.partial(_save_pretrained, model)


def _save_pretrained(model, save_directory, *given, **named):
    whole = named.get("state_dict") is not None or Path(save_directory).name.startswith("checkpoint-")
    if whole or not hasattr(model, "pruning"):
        if not whole:
            logger.warning(
                "The model that is saved in %s is not the small one: that is trainer.model, a model of its own. Save it with "
                "trainer.save_model(folder) or trainer.model.save_pretrained(folder).",
                save_directory,
            )
        return type(model).save_pretrained(model, save_directory, *given, **named)
    return merged_copy(model).save_pretrained(save_directory, *given, **named)


def load_masked(folder: str | Path):
    """Load a checkpoint of a run with masks: the full-size model with its scores and masks.

    Do not use `from_pretrained` for it: masked weights have other names, and it would initialise them at random.

    Args:
        folder: a `checkpoint-N` folder.

    Raises:
        ValueError: If the checkpoint has no masks, or holds a class of the user's own.
    """
    import transformers
    from safetensors.torch import load_file

    config = transformers.AutoConfig.from_pretrained(folder)
    if not getattr(config, "pruning", None):
        raise ValueError(f"{folder} holds no masks (its config has no 'pruning'); open it with from_pretrained.")
    spec = PruningSpec(**config.pruning)
    name = config.architectures[0]
    home = modeling_compact if name.startswith(modeling_compact.PREFIX) else transformers
    if not hasattr(home, name):
        raise ValueError(
            f"{folder} holds a {name}, which is not a class of transformers: build it as for the training, add masks with "
            "trainer_ext.attach(model, PruningSpec(**config.pruning)), and load the weights with load_state_dict."
        )
    model = getattr(home, name)(config)
    for parameter in model.parameters():  # not the buffers, like from_pretrained: rotary frequencies stay in fp32
        parameter.data = parameter.data.to(config.dtype or torch.float32)
    del model.config.pruning
    state = load_file(Path(folder) / "model.safetensors")
    # A checkpoint of a distillation may hold a projection to the width of the teacher, which the model does not have.
    state = {name: value for name, value in state.items() if not name.startswith("distillation.")}
    attach(model, spec)
    tied = stored_elsewhere(model.state_dict(), state)
    model.load_state_dict(state | {name: state[there] for name, there in tied.items()})
    return model.eval()


def _pruning_of(model) -> Pruning:
    if not hasattr(model, "pruning"):
        raise ValueError(f"This {type(model).__name__} has no masks; add them with trainer_ext.attach(model, spec).")
    return model.pruning


def _group_weights(layers: list[EncoderLayer], pruning: Pruning) -> dict[str, int]:
    """Return the number of prunable weights of each group in use."""
    weights = {
        "attention": sum(layer.heads * layer.head_cost for layer in layers),
        "ffn": sum(layer.neurons * layer.neuron_cost for layer in layers),
    }
    return {name: weights[name] for name in pruning.groups}


def _begin_forward(model, args) -> None:
    model.pruning.begin_forward()


def _end_forward(model, args, output) -> None:
    model.pruning.end_forward()
