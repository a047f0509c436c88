"""Distillation: what a student learns from its teacher, as named loss terms and the weight of each.

The loss of a step is `(1 - alpha) * task + alpha * distill`: Hinton, Vinyals and Dean 2015 (arXiv 1503.02531, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from .soft_targets import soft_target_for
from .teachers import LiveTeacher, check_teacher


class Distillation:
    """A student's teacher, and the loss terms that come from it.

    Args:
        student: the model that learns.
        teachers: models that answer the same question; frozen here.

    Raises:
        InputError: a teacher whose answers cannot be compared with the student's.
    """

    def __init__(self, student, teachers):
        for teacher in teachers:
            check_teacher(teacher, student)
        self.teachers = [LiveTeacher(teacher) for teacher in teachers]
        self._config = student.config

    def terms(
        self, outputs: Mapping[str, Any], batch: Mapping[str, Any], options, precision: AbstractContextManager
    ) -> dict[str, torch.Tensor]:
        """The loss terms of a batch by name, scalars; each is 0 where student and teacher agree.

        Args:
            outputs: the student's outputs.
            batch: its inputs, with labels.
            options: whatever has the `distill_*` fields; they are read here, so that they may change between runs.
            precision: the autocast context of the student.
        """
        target = soft_target_for(outputs, self._config, batch.get("labels"))
        answer = self.teachers[0].answer(batch, precision)
        return {"loss_distill": target(outputs, answer, batch, temperature=options.distill_temperature)}

    def weights(self, options) -> dict[str, float]:
        """The weight of every term, the task's included."""
        return {"loss_task": 1 - options.distill_alpha, "loss_distill": options.distill_alpha}
