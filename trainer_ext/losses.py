"""Losses: distillation losses, pure functions of student and teacher logits, one for each problem type.

Hinton, Vinyals and Dean 2015 (arXiv 1503.02531, section 2): soften both distributions with a temperature T, and
multiply the loss by T^2 so that its gradient keeps its size when T changes. Every loss here is 0 where the two agree.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def soft_target_kl(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """One label per example: `T^2 * KL(softmax(teacher / T) || softmax(student / T))`, mean over examples.

    Args:
        student: logits `[batch, classes]`; computed in fp32 whatever they come in.
        teacher: logits of the same shape.
        temperature: T > 0; 1 leaves the distributions as they are.
    """
    _check(student, teacher, temperature)
    log_p = F.log_softmax(student.float() / temperature, dim=-1)
    log_q = F.log_softmax(teacher.float() / temperature, dim=-1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2


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


DISTILLATION_LOSSES = {
    "single_label_classification": soft_target_kl,
    "multi_label_classification": soft_target_binary_kl,
    "regression": soft_target_mse,
}


def infer_problem_type(problem_type: str | None, *, num_labels: int, labels: torch.Tensor | None) -> str:
    """The problem type, by the rule that transformers' classification heads follow when none is configured.

    Args:
        problem_type: `config.problem_type`; returned if set.
        num_labels: width of the logits.
        labels: `[batch]` class ids or `[batch, labels]` floats; None is read as class ids.

    Raises:
        ValueError: for a problem type that has no distillation loss.
    """
    if problem_type is None:
        if num_labels == 1:
            problem_type = "regression"
        elif labels is not None and labels.is_floating_point():
            problem_type = "multi_label_classification"
        else:
            problem_type = "single_label_classification"
    if problem_type not in DISTILLATION_LOSSES:
        raise ValueError(
            f"No distillation loss for problem_type={problem_type!r}; known: {sorted(DISTILLATION_LOSSES)}."
        )
    return problem_type


def _check(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> None:
    if student.shape != teacher.shape:
        raise ValueError(
            f"Student logits {list(student.shape)} and teacher logits {list(teacher.shape)} differ in shape: "
            "both models must have the same labels."
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")
