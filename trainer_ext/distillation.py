"""Distillation: what a student learns from its teachers, as named loss terms and the weight of each.

The loss of a step is `(1 - alpha) * task + alpha * distill + distill_hidden * hidden`, where `distill` compares answers
(Hinton, Vinyals and Dean 2015, arXiv 1503.02531) and `hidden` hidden states. Answers of several teachers are averaged;
inner states are those of the first teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from . import hidden_states
from .errors import InputError
from .hidden_states import hidden_state_mse, layer_pairs
from .soft_targets import labels_per_row, not_padding, soft_target_for
from .teacher_cache import CachedTeacher
from .teachers import LiveTeacher, Precision, check_teacher, check_tokenizer


class Distillation:
    """A student's teachers, and the loss terms that come from them.

    Every method takes `options`: whatever has the `distill_*` fields. They are read where they are used, so that they
    may change between runs.

    Args:
        student: the model that learns.
        teachers: models that answer the same question; frozen here.
        options: see above.
        tokenizer: the tokenizer of the rows, or None; a teacher must have the same, and a cache is known by it.

    Raises:
        InputError: a teacher whose answers cannot be compared with the student's, that has another tokenizer, or that
            lacks the layers asked for.
    """

    def __init__(self, student, teachers: Sequence[torch.nn.Module], options, tokenizer=None):
        for teacher in teachers:
            check_teacher(teacher, student)
            check_tokenizer(teacher, student, tokenizer)
        folder = options.distill_cache_dir
        self.teachers = [
            LiveTeacher(model) if folder is None else CachedTeacher(model, folder, tokenizer) for model in teachers
        ]
        self._config = student.config
        self._projection: torch.nn.Linear | None = None
        if options.distill_layers:
            _check_depth(options.distill_layers, teachers[0].config.num_hidden_layers)

    def attach(self, student, options) -> None:
        """Give the student what it learns with: a map to the teacher's width, where that is another. Idempotent."""
        ours, theirs = (model.config for model in (student, self.teachers[0].model))
        if options.distill_hidden and ours.hidden_size != theirs.hidden_size:
            # Kept: a second train() goes on with what it learned, and so does the optimizer.
            self._projection = self._projection or hidden_states.projection(ours.hidden_size, theirs.hidden_size)
            hidden_states.attach(student, self._projection)

    @property
    def parameters(self) -> dict[int, torch.nn.Parameter]:
        """What is learned beside the student, by identity: the map to the teacher's width, where there is one."""
        return {} if self._projection is None else {id(p): p for p in self._projection.parameters()}

    def detach(self, student) -> None:
        """Take away what only training needs."""
        hidden_states.detach(student)

    def inputs(self, options) -> dict[str, bool]:
        """What the student is asked for besides its answer."""
        return {"output_hidden_states": True} if options.distill_hidden else {}

    def terms(
        self, outputs: Mapping[str, Any], batch: Mapping[str, Any], options, precision: Precision
    ) -> dict[str, torch.Tensor]:
        """The loss terms of a batch by name, scalars; each is 0 where student and teacher agree.

        Args:
            outputs: the student's outputs.
            batch: its inputs, with labels.
            options: see the class.
            precision: gives the autocast context of the student.
        """
        target = soft_target_for(outputs, self._config, batch.get("labels"))
        first, *others = self.teachers
        answers = [first.answer(batch, precision, **self.inputs(options))]
        answers += [teacher.answer(batch, precision) for teacher in others]
        terms = {"loss_distill": target(outputs, answers, batch, temperature=options.distill_temperature)}
        if options.distill_hidden:
            terms["loss_hidden"] = _hidden_term(outputs, answers[0], batch, options)
        return terms

    def weights(self, options) -> dict[str, float]:
        """The weight of every term, the task's included."""
        return {
            "loss_task": 1 - options.distill_alpha,
            "loss_distill": options.distill_alpha,
            "loss_hidden": options.distill_hidden,
        }


def _check_depth(layers: list[int], depth: int) -> None:
    if max(layers) > depth:
        raise InputError(
            f"distill_layers={layers}, but the teacher has {depth} layers: name layers in [0, {depth}], "
            "0 for the output of the embeddings."
        )


def _hidden_term(outputs, answer, batch, options) -> torch.Tensor:
    student, teacher = outputs["hidden_states"], answer["hidden_states"]
    mask, weights = not_padding(batch), labels_per_row(batch)
    pairs = layer_pairs(len(student) - 1, len(teacher) - 1, options.distill_layers)
    return torch.stack([hidden_state_mse(student[i], teacher[j], mask=mask, weights=weights) for i, j in pairs]).mean()
