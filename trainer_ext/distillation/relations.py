"""Self-attention relations: distil how the tokens of a text relate to each other inside a layer.

MiniLMv2 (Wang et al. 2021, arXiv 2012.15828, section 3): queries, keys and values of one layer are each split into
relation heads of size d; `softmax(X X^T / sqrt(d))` is how each token relates to the others, and the loss is the
divergence of the student's from the teacher's. Widths and numbers of heads may differ: there are as many relation heads
as both widths can be split into.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from ..models.architectures import layers_of
from .losses import mean_over_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Projections = Callable[[int], list[torch.Tensor] | None]


def heads_of(model: PreTrainedModel) -> list[int]:
    """Return the number of heads of every layer that a text runs through; layers that share weights count each time.

    Raises:
        ValueError: If the architecture is not in `ARCHITECTURES`.
    """
    return [layer.heads for layer in layers_of(model) for _ in range(layer.uses)]


@contextlib.contextmanager
def projection_outputs(model: PreTrainedModel, numbers: Sequence[int]) -> Iterator[Projections]:
    """Record the queries, keys and values of some layers during one forward pass.

    Args:
        model: of an architecture in `ARCHITECTURES`.
        numbers: the layers, counted from 1.

    Yields:
        A function from the number of a layer to its queries, keys and values, each `[batch, tokens, width]`, or to None
        if the layer did not compute them because it has no heads.
    """
    layers = layers_of(model) if numbers else []  # without layers to watch any architecture will do
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
    """Return the largest number of heads, at most `most`, into which both widths can be split evenly.

    Args:
        student_width: width of the student's projections; 0 fits any number of heads.
        teacher_width: width of the teacher's projections.
        most: upper limit, the number of attention heads of the teacher.
    """
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
    """Compute `KL(relations of the teacher || relations of the student)`: mean over heads, then tokens, then texts.

    Args:
        student: queries, keys or values `[batch, tokens, width]`; computed in fp32 whatever their dtype.
        teacher: the same of the teacher, of any width.
        heads: number of relation heads; divides both widths.
        mask: bool `[batch, tokens]`, False for padding; None counts all tokens.
        weights: `[batch]`, how often each text counts; None counts each once.
    """
    log_p, log_q = _log_relations(student, heads, mask), _log_relations(teacher, heads, mask)
    divergence = F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(-1)
    return mean_over_rows(divergence.mean(1), mask=mask, weights=weights)


def _log_relations(states: torch.Tensor, heads: int, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the log relations `[batch, heads, tokens, tokens]`, a distribution over the last dimension."""
    batch, tokens, width = states.shape
    size = width // heads
    split = states.float().reshape(batch, tokens, heads, size).transpose(1, 2)
    scores = split @ split.transpose(-1, -2) / math.sqrt(max(size, 1))  # at width 0 all tokens are alike
    if mask is not None:
        # The lowest number and not -inf: 0 * (-inf - -inf) would be NaN. Its probability is 0 all the same.
        scores = scores.masked_fill(~mask[:, None, None, :], torch.finfo(torch.float32).min)
    return scores.log_softmax(-1)
