"""Structure: which heads and neurons a pruning spec keeps, and the specs that a model cannot follow."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models.architectures import find_encoder, prunable_weights
from ..models.layers import EncoderLayer
from . import selection
from .config import PruningSpec
from .latency_target import LatencyTable, fastest_structure
from .scores import METHODS

CHOICES = {
    "method": tuple(METHODS),
    "attention": ("block", "head", "none"),
    "ffn": ("neuron", "none"),
    "structure": ("compact", "plain"),
}


def select_structure(
    layers: list[EncoderLayer], spec: PruningSpec, heads: Sequence[torch.Tensor], neurons: Sequence[torch.Tensor]
) -> selection.Structure:
    """Return the heads and neurons that stay, given their scores and the target of the spec.

    Args:
        layers: the layers of the model.
        spec: what to prune.
        heads: scores per layer `[heads]`.
        neurons: scores per layer `[neurons]`.

    Returns:
        The structure that meets the target; the width of wide layers is rounded to a number that kernels are fast at.
    """
    found = _within_budget(layers, spec, heads, neurons)
    best = []
    for ids, scores in zip(found.neurons, neurons, strict=True):
        best.append(selection.best_ids(scores, selection.whole_vectors(len(ids), len(scores))))
    return selection.Structure(found.heads, best)


def _within_budget(
    layers: list[EncoderLayer], spec: PruningSpec, heads: Sequence[torch.Tensor], neurons: Sequence[torch.Tensor]
) -> selection.Structure:
    head_costs, neuron_costs = [layer.head_cost for layer in layers], [layer.neuron_cost for layer in layers]
    if spec.latency is not None and spec.speedup is not None:
        return fastest_structure(
            heads,
            neurons,
            head_costs=head_costs,
            neuron_costs=neuron_costs,
            uses=[layer.uses for layer in layers],
            table=LatencyTable(**spec.latency["table"]),
            dense_ms=spec.latency["dense_ms"],
            speedup=spec.speedup,
            prune_heads=spec.attention != "none",
            prune_neurons=spec.ffn != "none",
            equal=spec.structure == "plain",
        )
    weights = prunable_weights(layers)
    sparsity, dropped = spec.sparsity_of(weights), max(spec.dense_weights - weights, 0)
    if spec.structure == "plain":
        return selection.equal_structure(
            heads, neurons, head_costs=head_costs, neuron_costs=neuron_costs, sparsity=sparsity, dropped=dropped
        )
    return selection.structure_for(
        heads,
        neurons,
        head_costs=head_costs,
        neuron_costs=neuron_costs,
        sparsity=sparsity,
        prune_heads=spec.attention != "none",
        prune_neurons=spec.ffn != "none",
        dropped=dropped,
    )


def check_spec(model, spec: PruningSpec, layers: list[EncoderLayer]) -> None:
    """Raise a ValueError if a field of a spec is unknown or does not fit the model, or the target is out of reach."""
    for name, known in CHOICES.items():
        if getattr(spec, name) not in known:
            raise ValueError(f"prune_{name}={getattr(spec, name)!r}; known: {', '.join(known)}.")
    if spec.attention == spec.ffn == "none":
        raise ValueError("prune_attention and prune_ffn are both 'none': nothing is left to prune.")
    if spec.structure == "plain" and (spec.attention != "none" or spec.ffn == "none"):
        raise ValueError("prune_structure=plain keeps all heads and prunes neurons: attention 'none', ffn 'neuron'.")
    if spec.structure == "plain" and len({layer.neurons for layer in layers}) > 1:
        raise ValueError(
            "prune_structure=plain needs a model whose layers are equally wide; this one is already compact. "
            "Use prune_structure=compact."
        )
    head_size = layers[0].head_size
    if spec.attention == "block" and head_size % spec.block_size:
        raise ValueError(
            f"prune_block_size={spec.block_size} does not divide the head size {head_size} of this model: blocks would "
            "overlap several heads. Choose a divisor, or prune_attention=head."
        )
    frozen = [
        name
        for name, p in find_encoder(model)[1].named_parameters()
        if not p.requires_grad and "embedding" not in name
    ]
    if METHODS[spec.method].learned and frozen:
        raise ValueError(
            f"prune_method={spec.method} learns from weight gradients, but {frozen[0]} (and {len(frozen) - 1} more) "
            "has requires_grad=False. Unfreeze the encoder or use prune_method=obs."
        )
    dropped = 1 - prunable_weights(layers) / max(spec.dense_weights, prunable_weights(layers))
    if spec.latency is None and dropped > spec.sparsity:
        raise ValueError(
            f"prune_layers alone removes {dropped:.3f} of the weights, more than prune_sparsity={spec.sparsity}: drop "
            "fewer layers, ask for more, or use prune_method=none."
        )
    # Raises if the target is out of reach; the scores do not matter.
    heads, neurons = [torch.zeros(layer.heads) for layer in layers], [torch.zeros(layer.neurons) for layer in layers]
    select_structure(layers, spec, heads, neurons)
