"""Distillation losses: pure functions of student and teacher logits, and which of them fits a model.

Hinton, Vinyals and Dean 2015 (arXiv 1503.02531, section 2): soften both distributions with a temperature T, and
multiply the loss by T^2 so that its gradient keeps its size when T changes. Every loss is 0 if the two agree, and a mean
over the items that count, so that micro-batches can be combined by their numbers of items.

Several teachers are averaged into one, whose softened distribution is the mean of theirs, and not the mean of the logits,
for two reasons. The mean of the teachers' losses, `1/n sum KL(q_i || p)`, is `KL(mean q_i || p)` plus a constant, so the
gradient is the same. And logits of different models have no common zero or scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional as F


def soft_target_kl(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute `T^2 * KL(softmax(teacher / T) || softmax(student / T))` for one label per example or per token.

    Args:
        student: logits `[batch, classes]` or `[batch, tokens, classes]`; computed in fp32 whatever their dtype.
        teacher: logits of the same shape.
        temperature: T > 0; 1 leaves the distributions as they are.
        mask: bool `[batch]` or `[batch, tokens]`, True for the examples or tokens that count; None counts all.

    Returns:
        The mean over what counts, a scalar; 0 if nothing counts.

    Raises:
        ValueError: If the shapes differ or T is not above 0.
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
    """Compute the KL of `soft_target_kl` over the positions of a text, for the start or end of a span; mean over texts.

    Args:
        student: logits `[batch, tokens]`.
        teacher: logits of the same shape.
        temperature: T > 0.
        mask: bool `[batch, tokens]`, False for padding, which is left out of both distributions; None keeps all.

    Raises:
        ValueError: If the shapes differ or T is not above 0.
    """
    _check(student, teacher, temperature)
    student, teacher = student.float() / temperature, teacher.float() / temperature
    if mask is not None:
        # The lowest number and not -inf: 0 * (-inf - -inf) would be NaN. Its probability is 0 all the same.
        lowest = torch.finfo(torch.float32).min
        student, teacher = student.masked_fill(~mask, lowest), teacher.masked_fill(~mask, lowest)
    return soft_target_kl(student, teacher, temperature=1.0) * temperature**2


def soft_target_binary_kl(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Compute the KL of one sigmoid per label, for multi-label outputs; mean over examples and labels.

    A softmax would be wrong here: it would make the labels compete, but several can be positive at once.

    Args:
        student: logits `[batch, labels]`.
        teacher: logits of the same shape.
        temperature: T > 0.

    Raises:
        ValueError: If the shapes differ or T is not above 0.
    """
    _check(student, teacher, temperature)
    student, teacher = student.float() / temperature, teacher.float() / temperature
    target = torch.sigmoid(teacher)
    # Cross-entropy minus the teacher's own entropy, so that agreement costs nothing.
    cross = F.binary_cross_entropy_with_logits(student, target)
    entropy = F.binary_cross_entropy_with_logits(teacher, target)
    return (cross - entropy) * temperature**2


def soft_target_mse(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Compute the mean squared difference of the outputs, for regression.

    Args:
        student: outputs `[batch, targets]`.
        teacher: outputs of the same shape.
        temperature: checked but not used, because there is no distribution.

    Raises:
        ValueError: If the shapes differ or T is not above 0.
    """
    _check(student, teacher, temperature)
    return F.mse_loss(student.float(), teacher.float())


def mean_over_rows(
    values: torch.Tensor, *, mask: torch.Tensor | None = None, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute the mean over the tokens of each row, then the weighted mean over rows; 0 if nothing counts.

    Args:
        values: `[batch, tokens]`.
        mask: bool `[batch, tokens]`, True for the tokens that count; None counts all.
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


# Averages of several teachers: stacked logits `[teachers, ...]`, temperature and mask -> logits `[...]` of one teacher.


def mean_softmax(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Average single-label classifiers: `T log mean softmax(logits / T)`. The mask is not used."""
    logs = F.log_softmax(logits.float() / temperature, dim=-1)
    return (logs.logsumexp(0) - math.log(len(logits))) * temperature


def mean_span(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Average positions in a text `[teachers, batch, tokens]` as `mean_softmax`, without padding (mask False)."""
    if mask is not None:
        logits = logits.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return mean_softmax(logits, temperature, mask)


def mean_sigmoid(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Average multi-label classifiers: `T (log mean sigmoid(z / T) - log mean sigmoid(-z / T))` of logits z."""
    logits = logits.float() / temperature
    return (F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)) * temperature


def mean_output(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Average regressors: the mean output. Temperature and mask are not used."""
    return logits.float().mean(0)


def curvature_softmax(logits: torch.Tensor, signs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return a root of diag(p) - p p^T, for p = softmax(logits), times signs: `[..., labels]`, 0 where masked."""
    p = logits.softmax(-1)
    root = p.sqrt() * signs
    root = root - p * root.sum(-1, keepdim=True)
    return root if mask is None or root.dim() == 2 else root * mask[..., None]


def curvature_span(logits: torch.Tensor, signs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the same for `[batch, length]`, a distribution over the positions that are not masked."""
    return curvature_softmax(logits if mask is None else logits.masked_fill(~mask, -torch.inf), signs, None)


def curvature_sigmoid(logits: torch.Tensor, signs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the square root of p (1 - p), for p = sigmoid(logits), times signs, `[batch, labels]`."""
    return (logits.sigmoid() * (-logits).sigmoid()).sqrt() * signs


def curvature_output(logits: torch.Tensor, signs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the signs, for half the squared difference of outputs `[batch, outputs]`."""
    return signs


IGNORED = -100


def labelled(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a bool of the labels' shape, False for -100 (no label, padding, further pieces of a word).

    None without labels, and for labels that are no tensor, such as a dict for a loss of the user's own.
    """
    labels = batch.get("labels")
    return labels.ne(IGNORED) if isinstance(labels, torch.Tensor) else None


def labelled_rows(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a bool `[batch]`, False for rows without a label, or None. A row may have several, as for a loss of one's own."""
    mask = labelled(batch)
    return None if mask is None else mask.reshape(len(mask), -1).any(1)


def labels_per_row(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Return the number of labels of each row, `[batch]`; None where `labelled` returns None.

    A loss per example weights each example by its number of labels, as Trainer does. Then it does not depend on how the
    accumulated batch is split.
    """
    mask = labelled(batch)
    return None if mask is None else mask.reshape(len(mask), -1).sum(1)


def not_padding(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a bool `[batch, tokens]`, False for padding; None without an attention mask."""
    mask = batch.get("attention_mask")
    return None if mask is None else mask.ne(0)


@dataclass(frozen=True)
class SoftTarget:
    """How one kind of model is distilled.

    Attributes:
        outputs: names of the logits among the model's outputs; the loss is the mean over them.
        loss: function `(student, teacher, *, temperature)`, with `mask` if `counts` is given.
        average: function `(stacked logits, temperature, mask)` that makes one teacher's logits of several.
        curvature: function `(logits, signs, mask)` that returns a vector whose outer product, averaged over random signs, is
            the second derivative of the loss at equal logits and a temperature of 1.
        counts: function from the batch to the mask; None if everything counts.
    """

    outputs: tuple[str, ...]
    loss: Callable[..., torch.Tensor]
    average: Callable[[torch.Tensor, float, torch.Tensor | None], torch.Tensor]
    curvature: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
    counts: Callable[[Mapping[str, Any]], torch.Tensor | None] | None = None

    def __call__(
        self,
        student: Mapping[str, torch.Tensor],
        teachers: Sequence[Mapping[str, torch.Tensor]],
        batch: Mapping[str, Any],
        *,
        temperature: float,
    ) -> torch.Tensor:
        """Compute the loss, a scalar.

        Args:
            student: the student's outputs by name.
            teachers: the outputs of every teacher.
            batch: the inputs, with labels.
            temperature: T > 0.
        """
        mask = None if self.counts is None else self.counts(batch)
        masked = {} if self.counts is None else {"mask": mask}
        terms = []
        for name in self.outputs:
            teacher = teachers[0][name]
            if len(teachers) > 1:
                teacher = self.average(torch.stack([one[name] for one in teachers]), temperature, mask)
            terms.append(self.loss(student[name], teacher, temperature=temperature, **masked))
        return torch.stack(terms).mean()


LOGITS = ("logits",)
SPAN = ("start_logits", "end_logits")
SOFT_TARGETS = {
    "single_label_classification": SoftTarget(LOGITS, soft_target_kl, mean_softmax, curvature_softmax, labelled_rows),
    "multi_label_classification": SoftTarget(LOGITS, soft_target_binary_kl, mean_sigmoid, curvature_sigmoid),
    "regression": SoftTarget(LOGITS, soft_target_mse, mean_output, curvature_output),
    "token_classification": SoftTarget(LOGITS, soft_target_kl, mean_softmax, curvature_softmax, labelled),
    "question_answering": SoftTarget(SPAN, soft_target_span_kl, mean_span, curvature_span, not_padding),
}


def named_outputs(output: Any) -> Mapping[str, Any]:
    """Return the outputs of a forward pass by name, whatever form they have.

    Args:
        output: outputs by name; or the logits, alone or as the only tensor of a tuple besides the loss, as many models of
            users and those with `return_dict=False` return them.

    Raises:
        ValueError: If it is not clear which of the outputs are the logits.
    """
    named = output if isinstance(output, Mapping) else {}
    if any(str(name).endswith("logits") for name in named):
        return named
    parts = [output] if isinstance(output, torch.Tensor) else [] if named else list(output)
    found = [part for part in parts if isinstance(part, torch.Tensor) and part.dim() > 1]
    if len(found) != 1:
        has = f"has the names {', '.join(map(str, named))}" if named else f"holds {len(found)} tensors"
        raise ValueError(
            f"A teacher needs the logits of the model, and the output of its forward {has}: return a dict in which each "
            "head's logits have a name that ends in 'logits', or set distill_teacher to none."
        )
    return {"logits": found[0]}


def soft_target_for(outputs: Mapping[str, Any], config, labels: torch.Tensor | None) -> SoftTarget:
    """Return how a model is distilled. This follows from its outputs, never from its architecture.

    Args:
        outputs: its outputs by name: `start_logits` are those of spans, logits of three dimensions label tokens. A model
            of the user's own may have several heads, each with its logits; they count the same.
        config: its config, for the `problem_type` of a classifier; None for a plain module.
        labels: labels of the batch, or None.

    Raises:
        ValueError: If the problem type is not in `SOFT_TARGETS`.
    """
    if "start_logits" in outputs:
        return SOFT_TARGETS["question_answering"]
    names = tuple(name for name in outputs if str(name).endswith("logits"))
    first = outputs[names[0]]
    if first.dim() == 3:
        return replace(SOFT_TARGETS["token_classification"], outputs=names)
    given, width = (
        getattr(config, "problem_type", None),
        min(first.shape[-1], getattr(config, "num_labels", first.shape[-1])),
    )
    return replace(SOFT_TARGETS[infer_problem_type(given, num_labels=width, labels=labels)], outputs=names)


def infer_problem_type(problem_type: str | None, *, num_labels: int, labels: torch.Tensor | None) -> str:
    """Return the problem type, by the rule of transformers' classification heads if none is configured.

    Those heads refuse whole numbers for several labels, which a loss of the user's own can take.

    Args:
        problem_type: `config.problem_type`; returned if set.
        num_labels: width of the logits.
        labels: `[batch]` class ids or `[batch, labels]` numbers, one for each label; None means class ids.

    Raises:
        ValueError: If the problem type is not in `SOFT_TARGETS`.
    """
    if problem_type is None:
        if num_labels == 1:
            problem_type = "regression"
        elif isinstance(labels, torch.Tensor) and (labels.is_floating_point() or labels.shape[1:] == (num_labels,)):
            problem_type = "multi_label_classification"
        else:
            problem_type = "single_label_classification"
    if problem_type not in SOFT_TARGETS:
        raise ValueError(f"No distillation loss for problem_type={problem_type!r}; known: {sorted(SOFT_TARGETS)}.")
    return problem_type


class LossTerms:
    """Sums of named loss terms since the last log. Nothing is read from the device until `means`."""

    FOLD_AT = 1024  # micro-batches that are kept before they are added up

    def __init__(self) -> None:
        self._values: dict[str, list[torch.Tensor]] = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, terms: Mapping[str, torch.Tensor], share: torch.Tensor | float) -> None:
        """Add the terms of one micro-batch.

        Args:
            terms: scalars by name.
            share: share of this micro-batch in the whole batch of its step.
        """
        for name, term in {"share": torch.ones(()), **terms}.items():
            values = self._values.setdefault(name, [])
            values.append(torch.as_tensor(term.detach() * share))
            # Summing in chunks takes one kernel, bounds the memory and keeps the rounding of a single sum.
            if len(values) > self.FOLD_AT:
                values[:] = [_sum(values)]

    def means(self, reduce: Callable[[torch.Tensor], Any]) -> dict[str, float]:
        """Return the mean of each term since the last call, over all processes, and start anew.

        Args:
            reduce: sums a tensor over the processes, each of which has its part of a batch: `Accelerator.reduce`.
        """
        totals = [_sum(values) for values in self._values.values()]
        sums = reduce(torch.stack([total.to(totals[-1].device) for total in totals]))
        # Row 0 holds the sum of the micro-batches' shares: 1 per whole batch, 0 if no batch had labels.
        share = torch.where(sums[0] > 0, sums[0], 1.0)
        means = dict(zip(self._values, (sums / share).tolist(), strict=True))
        del means["share"]
        self._values = {}
        return means


def _sum(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([value.to(values[-1].device) for value in values]).sum()
