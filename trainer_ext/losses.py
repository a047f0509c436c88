"""Losses: distillation losses, pure functions of student and teacher logits, one for each kind of answer.

Hinton, Vinyals and Dean 2015 (arXiv 1503.02531, section 2): soften both distributions with a temperature T, and
multiply the loss by T^2 so that its gradient keeps its size when T changes. Every loss here is 0 where the two agree,
and a mean over what counts, so that a batch may be split and weighted by the counts of its parts.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def soft_target_kl(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """One label per example or per token: `T^2 * KL(softmax(teacher / T) || softmax(student / T))`, mean over what counts.

    Args:
        student: logits `[batch, classes]` or `[batch, tokens, classes]`; computed in fp32 whatever they come in.
        teacher: logits of the same shape.
        temperature: T > 0; 1 leaves the distributions as they are.
        mask: bool `[batch]` or `[batch, tokens]`, True where an example or token counts; None counts all. Where none
            counts the loss is 0.
    """
    _check(student, teacher, temperature)
    log_p = F.log_softmax(student.float() / temperature, dim=-1)
    log_q = F.log_softmax(teacher.float() / temperature, dim=-1)
    divergence = F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(-1)
    if mask is None:
        return divergence.mean() * temperature**2
    return (divergence * mask.view_as(divergence)).sum() / mask.sum().clamp(min=1) * temperature**2


def soft_target_span_kl(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The place where a span starts, or ends: the KL of `soft_target_kl` over the positions of a text, mean over texts.

    Args:
        student: logits `[batch, tokens]`.
        teacher: logits of the same shape.
        temperature: T > 0.
        mask: bool `[batch, tokens]`, False for padding, which is taken out of both distributions; None keeps all.
    """
    _check(student, teacher, temperature)
    student, teacher = student.float() / temperature, teacher.float() / temperature
    if mask is not None:
        # The lowest number and not -inf: 0 * (-inf - -inf) would be NaN. Its probability is 0 all the same.
        lowest = torch.finfo(torch.float32).min
        student, teacher = student.masked_fill(~mask, lowest), teacher.masked_fill(~mask, lowest)
    return soft_target_kl(student, teacher, temperature=1.0) * temperature**2


def soft_target_binary_kl(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Several labels per example: the same for one independent sigmoid per label, mean over examples and labels.

    A softmax over labels that do not exclude each other would be wrong here: it forgets how many labels are on.

    Args:
        student: logits `[batch, labels]`.
        teacher: logits of the same shape.
        temperature: T > 0.
    """
    _check(student, teacher, temperature)
    student, teacher = student.float() / temperature, teacher.float() / temperature
    target = torch.sigmoid(teacher)
    # Cross-entropy minus the teacher's own entropy, so that agreement costs nothing.
    cross = F.binary_cross_entropy_with_logits(student, target)
    entropy = F.binary_cross_entropy_with_logits(teacher, target)
    return (cross - entropy) * temperature**2


def soft_target_mse(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Regression: mean squared difference of the outputs; there is no distribution, so the temperature is not used.

    Args:
        student: outputs `[batch, targets]`.
        teacher: outputs of the same shape.
        temperature: checked, else ignored.
    """
    _check(student, teacher, temperature)
    return F.mse_loss(student.float(), teacher.float())


def mean_over_rows(
    values: torch.Tensor, *, mask: torch.Tensor | None = None, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean over the tokens of each row, then over rows by weight; 0 where nothing counts.

    Args:
        values: `[batch, tokens]`.
        mask: bool `[batch, tokens]`, True where a token counts; None counts all.
        weights: `[batch]`, how often each row counts, whole numbers; None counts each once.
    """
    rows = values.mean(1) if mask is None else (values * mask).sum(1) / mask.sum(1).clamp(min=1)
    return rows.mean() if weights is None else (rows * weights).sum() / weights.sum().clamp(min=1)


def _check(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> None:
    if student.shape != teacher.shape:
        raise ValueError(
            f"Student logits {list(student.shape)} and teacher logits {list(teacher.shape)} differ in shape: "
            "both models must have the same labels."
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")
