"""Ensembles: several teachers as one, whose softened distribution is the mean of theirs.

The mean of the probabilities at temperature T, and not of the logits, for two reasons. The mean of the teachers' losses,
`1/n sum KL(q_i || p)`, is `KL(mean q_i || p)` plus a constant: the student is pulled alike, and the loss is 0 where it
agrees with them all together. And logits of different models have no common zero or scale.

Each function takes the stacked logits `[teachers, ...]`, the temperature and what counts, and returns logits `[...]`
whose softened distribution is that mean, so that every loss takes them like those of one teacher.

Losses: distillation losses, pure functions of student and teacher logits, one for each kind of answer.

Hinton, Vinyals and Dean 2015 (arXiv 1503.02531, section 2): soften both distributions with a temperature T, and
multiply the loss by T^2 so that its gradient keeps its size when T changes. Every loss here is 0 where the two agree,
and a mean over what counts, so that a batch may be split and weighted by the counts of its parts.

Soft targets: which outputs of a model are distilled, with which loss, and what of a batch counts: a row per kind.

The kind is read from what a model answers, never from its architecture: outputs with `start_logits` are spans, logits of
three dimensions are one label per token, and a classifier's follow from its problem type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F


def mean_softmax(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """One label: `T log mean softmax(logits / T)`; `mask` plays no part."""
    logs = F.log_softmax(logits.float() / temperature, dim=-1)
    return (logs.logsumexp(0) - math.log(len(logits))) * temperature


def mean_span(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """A place in a text `[teachers, batch, tokens]`: the same without the padding, where `mask` is False."""
    if mask is not None:
        logits = logits.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return mean_softmax(logits, temperature, mask)


def mean_sigmoid(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Several labels: `T (log mean sigmoid(logits / T) - log mean sigmoid(-logits / T))`; `mask` plays no part."""
    logits = logits.float() / temperature
    return (F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)) * temperature


def mean_output(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Regression: the mean output; temperature and `mask` play no part."""
    return logits.float().mean(0)


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


IGNORED = -100


def labelled(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Bool of the labels' shape, False where the label is -100 (no label, padding, further pieces of a word)."""
    labels = batch.get("labels")
    return None if labels is None else labels.ne(IGNORED)


def labels_per_row(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """How many labels each row has, `[batch]`; None where `labels` does not tell.

    A term of whole rows must count a row as often as Trainer counts its labels: then it does not depend on how the
    accumulated batch is split.
    """
    mask = labelled(batch)
    return None if mask is None else mask.reshape(len(mask), -1).sum(1)


def not_padding(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Bool `[batch, tokens]`, False for padding; None without an attention mask."""
    mask = batch.get("attention_mask")
    return None if mask is None else mask.ne(0)


@dataclass(frozen=True)
class SoftTarget:
    """How one kind of model is distilled.

    Attributes:
        outputs: names of the logits among the model's outputs; the loss is the mean over them.
        loss: `(student, teacher, *, temperature)`, with `mask` where something does not count.
        average: `(stacked logits, temperature, mask)` of several teachers -> logits of one.
        counts: the batch -> that mask, or None where everything counts.
    """

    outputs: tuple[str, ...]
    loss: Callable[..., torch.Tensor]
    average: Callable[[torch.Tensor, float, torch.Tensor | None], torch.Tensor]
    counts: Callable[[Mapping[str, Any]], torch.Tensor | None] | None = None

    def __call__(
        self,
        student: Mapping[str, torch.Tensor],
        teachers: Sequence[Mapping[str, torch.Tensor]],
        batch: Mapping[str, Any],
        *,
        temperature: float,
    ) -> torch.Tensor:
        """The loss, a scalar.

        Args:
            student: the student's outputs by name.
            teachers: those of every teacher.
            batch: the inputs of both, with labels.
            temperature: T > 0.
        """
        mask = None if self.counts is None else self.counts(batch)
        options = {"temperature": temperature} if self.counts is None else {"temperature": temperature, "mask": mask}
        terms = []
        for name in self.outputs:
            teacher = teachers[0][name]
            if len(teachers) > 1:
                teacher = self.average(torch.stack([one[name] for one in teachers]), temperature, mask)
            terms.append(self.loss(student[name], teacher, **options))
        return torch.stack(terms).mean()


LOGITS = ("logits",)
SPAN = ("start_logits", "end_logits")
SOFT_TARGETS = {
    "single_label_classification": SoftTarget(LOGITS, soft_target_kl, mean_softmax, labelled),
    "multi_label_classification": SoftTarget(LOGITS, soft_target_binary_kl, mean_sigmoid),
    "regression": SoftTarget(LOGITS, soft_target_mse, mean_output),
    "token_classification": SoftTarget(LOGITS, soft_target_kl, mean_softmax, labelled),
    "question_answering": SoftTarget(SPAN, soft_target_span_kl, mean_span, not_padding),
}


def soft_target_for(outputs: Mapping[str, Any], config, labels: torch.Tensor | None) -> SoftTarget:
    """The row of a model, found by what it answered.

    Args:
        outputs: its outputs by name.
        config: its config, for `problem_type` and `num_labels`.
        labels: labels of the batch, or None.

    Raises:
        ValueError: for a problem type that has no row.
    """
    if "start_logits" in outputs:
        return SOFT_TARGETS["question_answering"]
    if outputs["logits"].dim() == 3:
        return SOFT_TARGETS["token_classification"]
    return SOFT_TARGETS[infer_problem_type(config.problem_type, num_labels=config.num_labels, labels=labels)]


def infer_problem_type(problem_type: str | None, *, num_labels: int, labels: torch.Tensor | None) -> str:
    """The problem type, by the rule that transformers' classification heads follow when none is configured.

    Args:
        problem_type: `config.problem_type`; returned if set.
        num_labels: width of the logits.
        labels: `[batch]` class ids or `[batch, labels]` floats; None is read as class ids.

    Raises:
        ValueError: for a problem type that has no row.
    """
    if problem_type is None:
        if num_labels == 1:
            problem_type = "regression"
        elif labels is not None and labels.is_floating_point():
            problem_type = "multi_label_classification"
        else:
            problem_type = "single_label_classification"
    if problem_type not in SOFT_TARGETS:
        raise ValueError(f"No distillation loss for problem_type={problem_type!r}; known: {sorted(SOFT_TARGETS)}.")
    return problem_type
