"""Soft targets: which outputs of a model are distilled, with which loss, and what of a batch counts: a row per kind.

The kind is read from what a model answers, never from its architecture: outputs with `start_logits` are spans, logits of
three dimensions are one label per token, and a classifier's follow from its problem type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from . import ensembles, losses

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
    "single_label_classification": SoftTarget(LOGITS, losses.soft_target_kl, ensembles.mean_softmax, labelled),
    "multi_label_classification": SoftTarget(LOGITS, losses.soft_target_binary_kl, ensembles.mean_sigmoid),
    "regression": SoftTarget(LOGITS, losses.soft_target_mse, ensembles.mean_output),
    "token_classification": SoftTarget(LOGITS, losses.soft_target_kl, ensembles.mean_softmax, labelled),
    "question_answering": SoftTarget(SPAN, losses.soft_target_span_kl, ensembles.mean_span, not_padding),
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
