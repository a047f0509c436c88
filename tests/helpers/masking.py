"""What the tests of masks share: ways to look at the matrices of a model with masks."""

import pytest
import torch

from trainer_ext.models.architectures import layers_of
from trainer_ext.models.compact.registration import MODEL_TYPES
from trainer_ext.models.layers import LINEARS
from trainer_ext.pruning.config import PruningSpec
from trainer_ext.pruning.units import ids_to_mask, units_of_heads

ATTENTION = LINEARS[:4]
every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)
every_kind = pytest.mark.parametrize(
    "kind",
    [
        {},
        {"attention": "head"},
        {"method": "magnitude"},
        {"method": "magnitude", "attention": "head"},
        {"attention": "none", "sparsity": 0.3},
        {"ffn": "none", "sparsity": 0.25},
        {"block_size": 8},
        {"block_size": 1},
    ],
    ids=lambda kind: "-".join(map(str, kind.values())) or "movement-block-neuron",
)


def scramble(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for group in model.pruning.groups.values():
        if isinstance(group.scores, torch.nn.Parameter):
            with torch.no_grad():
                group.scores.copy_(torch.randn(group.scores.shape, generator=generator))


def matrices(model):
    """The masked matrices of every layer as the forward pass sees them, six or with a gate seven."""
    return [
        {name: getattr(layer, name).weight.detach() for name in (*LINEARS, "ffn_gate") if getattr(layer, name)}
        for layer in layers_of(model)
    ]


def closed_fraction(model):
    """Sparsity counted in the matrices, entry by entry."""
    entries = [weight for layer in matrices(model) for weight in layer.values()]
    return sum(weight.eq(0).sum().item() for weight in entries) / sum(weight.numel() for weight in entries)


def dead_heads(layer, head_size=8):
    """Per attention matrix the set of heads whose weights are all zero, and those that are partly zero."""
    dead, holes = {}, {}
    for name in ATTENTION:
        weight = layer[name].T if name == "attention_output" else layer[name]
        zeros = weight.reshape(-1, head_size * weight.shape[1]).eq(0)
        dead[name] = set(zeros.all(1).nonzero().flatten().tolist())
        holes[name] = set(zeros.any(1).nonzero().flatten().tolist()) - dead[name]
    return dead, holes


def choose(model, structure):
    """Fix the masks of a model to a structure of our choice, as `masks.freeze_structure` does with the best one."""
    layers, spec = layers_of(model), PruningSpec(**model.config.pruning)
    units = [units_of_heads(layer, heads, spec) for layer, heads in zip(layers, structure.heads, strict=True)]
    model.pruning.attention.freeze(torch.cat(units))
    neurons = [ids_to_mask(layer.neurons, ids) for layer, ids in zip(layers, structure.neurons, strict=True)]
    model.pruning.ffn.freeze(torch.cat(neurons))
