"""Relations: how the tokens of a text relate to each other inside a layer, taught across widths and numbers of heads.

MiniLMv2 (Wang et al. 2021, arXiv 2012.15828, section 3): queries, keys and values of one layer are each split anew into
relation heads of size d; `softmax(X X^T / sqrt(d))` says how each token relates to the others, and the student's is
pulled to the teacher's. As many relation heads as both widths can be split into: their sizes may then differ.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn import functional as F

from ..models.architectures import layers_of
from .losses import mean_over_rows

Projections = Callable[[int], list[torch.Tensor] | None]


def depth_of(model) -> int:
    """How many layers a text runs through; layers that share weights count each time.

    Raises:
        ValueError: if the architecture has no row in `models.architectures.ARCHITECTURES`.
    """
    return sum(layer.uses for layer in layers_of(model))


@contextlib.contextmanager
def projection_outputs(model, numbers: Sequence[int]) -> Iterator[Projections]:
    """Watch the queries, keys and values of some layers while the model runs once.

    Args:
        model: of an architecture in `models.architectures.ARCHITECTURES`.
        numbers: which layers, from 1 on.

    Yields:
        A function from a layer's number to its queries, keys and values, each `[batch, tokens, width]`; None for a layer
        without attention.
    """
    layers = layers_of(model) if numbers else []  # asked for nothing, any architecture will do
    runs = [(layer, use) for layer in layers for use in range(layer.uses)]
    watched = {number: runs[number - 1] for number in numbers}
    outputs = defaultdict(list)
    linears = {matrix.linear for layer, _ in watched.values() for matrix in (layer.query, layer.key, layer.value)}
    handles = [
        linear.register_forward_hook(lambda module, args, output: outputs[module].append(output)) for linear in linears
    ]

    def read(number: int) -> list[torch.Tensor] | None:
        layer, use = watched[number]
        matrices = (layer.query, layer.key, layer.value)
        if not all(outputs[matrix.linear] for matrix in matrices):
            return None
        return [outputs[matrix.linear][use].chunk(matrix.parts, dim=-1)[matrix.part] for matrix in matrices]

    try:
        yield read
    finally:
        for handle in handles:
            handle.remove()


def relation_heads(student_width: int, teacher_width: int, most: int) -> int:
    """The largest number of heads, `most` at the most, into which both widths can be split evenly."""
    shared = math.gcd(student_width, teacher_width)
    return max(heads for heads in range(1, most + 1) if shared % heads == 0)


def relation_kl(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    heads: int,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """`KL(relations of the teacher || relations of the student)`: mean over heads, over tokens, over texts by weight.

    Args:
        student: queries, keys or values `[batch, tokens, width]`; computed in fp32 whatever they come in.
        teacher: the same of the teacher, of any width.
        heads: number of relation heads; divides both widths.
        mask: bool `[batch, tokens]`, False for padding; None counts all tokens.
        weights: `[batch]`, how often each text counts; None counts each once.
    """
    log_p, log_q = _log_relations(student, heads, mask), _log_relations(teacher, heads, mask)
    divergence = F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(-1)
    return mean_over_rows(divergence.mean(1), mask=mask, weights=weights)


def _log_relations(states: torch.Tensor, heads: int, mask: torch.Tensor | None) -> torch.Tensor:
    """`[batch, heads, tokens, tokens]`, a log distribution over the last."""
    batch, tokens, width = states.shape
    size = width // heads
    split = states.float().reshape(batch, tokens, heads, size).transpose(1, 2)
    scores = split @ split.transpose(-1, -2) / math.sqrt(max(size, 1))  # nothing left of the width: all tokens alike
    if mask is not None:
        # The lowest number and not -inf: 0 * (-inf - -inf) would be NaN. Its probability is 0 all the same.
        scores = scores.masked_fill(~mask[:, None, None, :], torch.finfo(torch.float32).min)
    return scores.log_softmax(-1)
