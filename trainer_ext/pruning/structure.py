"""Structures: which budget a pruning spec asks for, and what it refuses before any step is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models.architectures import prunable_weights
from ..models.layers import EncoderLayer
from . import selection
from .latency_target import LatencyTable, fastest_structure
from .units import PruningSpec

METHODS = ("movement", "soft_movement", "magnitude")
KNOWN = {
    "method": METHODS,
    "attention": ("block", "head", "none"),
    "ffn": ("neuron", "none"),
    "structure": ("compact", "plain"),
}


def select_structure(
    layers: list[EncoderLayer], spec: PruningSpec, heads: Sequence[torch.Tensor], neurons: Sequence[torch.Tensor]
) -> selection.Structure:
    """What stays, by the scores of heads and neurons and the target of the spec.

    Args:
        layers: of the model.
        spec: what to prune.
        heads: scores per layer `[heads]`.
        neurons: scores per layer `[neurons]`.

    Returns:
        The structure that the budget finds, the width of its wide layers rounded to what kernels are fast at.
    """
    found = _by_budget(layers, spec, heads, neurons)
    widths = [
        selection.whole_vectors(len(ids), len(scores)) for ids, scores in zip(found.neurons, neurons, strict=True)
    ]
    best = [selection.best_ids(scores, width) for scores, width in zip(neurons, widths, strict=True)]
    return selection.Structure(found.heads, best)


def _by_budget(
    layers: list[EncoderLayer], spec: PruningSpec, heads: Sequence[torch.Tensor], neurons: Sequence[torch.Tensor]
) -> selection.Structure:
    costs = {
        "head_costs": [layer.head_cost for layer in layers],
        "neuron_costs": [layer.neuron_cost for layer in layers],
    }
    free = {"prune_heads": spec.attention != "none", "prune_neurons": spec.ffn != "none"}
    if spec.latency is not None:
        return fastest_structure(
            *(heads, neurons),
            **costs,
            **free,
            uses=[layer.uses for layer in layers],
            table=LatencyTable(**spec.latency["table"]),
            dense_ms=spec.latency["dense_ms"],
            speedup=spec.speedup,
            equal=spec.structure == "plain",
        )
    sparsity = spec.sparsity_of(prunable_weights(layers))
    if spec.structure == "plain":
        return selection.equal_structure(heads, neurons, **costs, sparsity=sparsity)
    return selection.structure_for(heads, neurons, **costs, **free, sparsity=sparsity)


def check_spec(model, spec: PruningSpec, layers: list[EncoderLayer]) -> None:
    """Refuse a spec that this model cannot follow.

    Raises:
        ValueError: naming the field, its value and the way out.
    """
    for name, known in KNOWN.items():
        if getattr(spec, name) not in known:
            raise ValueError(f"prune_{name}={getattr(spec, name)!r}; known: {', '.join(known)}.")
    if spec.attention == spec.ffn == "none":
        raise ValueError("prune_attention and prune_ffn are both 'none': nothing is left to prune.")
    if spec.structure == "plain" and (spec.attention != "none" or spec.ffn == "none"):
        raise ValueError("prune_structure=plain keeps all heads and prunes neurons: attention 'none', ffn 'neuron'.")
    if spec.structure == "plain" and len({layer.neurons for layer in layers}) > 1:
        raise ValueError(
            "prune_structure=plain needs a model whose layers are equally wide; this one is compact already. "
            "Use prune_structure=compact."
        )
    head_size = layers[0].head_size
    if spec.attention == "block" and head_size % spec.block_size:
        raise ValueError(
            f"prune_block_size={spec.block_size} does not divide the head size {head_size} of this model: blocks would "
            "straddle heads. Choose a divisor, or prune_attention=head."
        )
    frozen = [
        name for name, p in model.base_model.named_parameters() if not p.requires_grad and "embedding" not in name
    ]
    if spec.method != "magnitude" and frozen:
        raise ValueError(
            f"prune_method={spec.method} learns from weight gradients, but {frozen[0]} (and {len(frozen) - 1} more) "
            "has requires_grad=False. Unfreeze the encoder or use prune_method=magnitude."
        )
    dropped = 1 - prunable_weights(layers) / max(spec.dense_weights, prunable_weights(layers))
    if spec.latency is None and dropped > spec.sparsity:
        raise ValueError(
            f"prune_layers alone removes {dropped:.3f} of the weights, more than prune_sparsity={spec.sparsity}: drop "
            "fewer layers, ask for more, or use prune_method=none."
        )
    # The target itself is the check: with equal scores it is met, or refused with what can be.
    select_structure(
        layers,
        spec,
        [torch.zeros(layer.heads) for layer in layers],
        [torch.zeros(layer.neurons) for layer in layers],
    )
