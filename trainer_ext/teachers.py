"""Teachers: where the answers to imitate come from; here a live module, evaluated at every step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from .errors import InputError
from .opening import HEADS, head_of, open_classifier
from .soft_targets import SOFT_TARGETS

LABELS = ("labels", "start_positions", "end_positions")
LOGITS = {name for target in SOFT_TARGETS.values() for name in target.outputs}
Precision = Callable[[], AbstractContextManager]


class LiveTeacher:
    """A frozen module that answers every batch.

    Args:
        model: any transformers model with the student's labels; frozen and put into evaluation mode.
    """

    def __init__(self, model: nn.Module):
        self.model = model.requires_grad_(False).eval()
        self._accepted = set(inspect.signature(model.forward).parameters)

    def known(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What of the student's batch the teacher reads: labels and whatever it does not know are left out."""
        return {name: value for name, value in inputs.items() if name in self._accepted and name not in LABELS}

    def answer(self, inputs: Mapping[str, Any], precision: Precision, **asked: bool) -> dict[str, Any]:
        """The teacher's outputs by name; its logits in fp32.

        Args:
            inputs: the student's batch.
            precision: gives the autocast context of the student, so that both are computed alike.
            **asked: what it is asked for besides its logits, as `output_hidden_states=True`.
        """
        known = self.known(inputs)
        device = next(value.device for value in known.values() if isinstance(value, torch.Tensor))
        if self.model.device != device:
            self.model.to(device)
        with torch.inference_mode(), precision():
            outputs = self.model(**known, **asked)
        # Cloned outside: autograd refuses to save a tensor that was made in inference mode.
        return {name: value.float().clone() if name in LOGITS else value for name, value in outputs.items()}


def load_teacher(name: str, student: nn.Module | None = None) -> nn.Module:
    """Open a teacher by folder or Hub id.

    Args:
        name: the folder or id.
        student: the model that learns, for the kind of head; by default the teacher classifies texts.

    Raises:
        InputError: if it cannot be opened, or was saved with another head, so that one would be made up.
    """
    head = next((head for head in HEADS if type(student).__name__.endswith(head)), HEADS[0])
    way_out = "give 'self', a folder or a Hub id"
    teacher = open_classifier(name, option="distill_teacher", way_out=way_out, head=head)
    if head_of(teacher.config) != head:
        raise InputError(
            f"distill_teacher {name} was saved as {teacher.config.architectures}, without a head of the kind {head} "
            "that the model has: fine-tune it on this task first."
        )
    return teacher


def check_teacher(teacher: nn.Module, student: nn.Module) -> None:
    """Refuse a teacher whose answers cannot be compared with the student's.

    Raises:
        InputError: other labels, another vocabulary size, or a shorter maximum length.
    """
    theirs, ours = teacher.config, student.config
    if theirs.num_labels != ours.num_labels:
        raise InputError(
            f"The teacher has {theirs.num_labels} labels and the model {ours.num_labels}: they must be the same. "
            "Fine-tune the teacher on this task first."
        )
    named = [config for config in (theirs, ours) if not _default_labels(config)]
    if len(named) == 2 and dict(theirs.id2label) != dict(ours.id2label):
        index = next(i for i in ours.id2label if theirs.id2label.get(i) != ours.id2label[i])
        raise InputError(
            f"The teacher calls label {index} {theirs.id2label.get(index)!r} and the model {ours.id2label[index]!r}: "
            "use a teacher with the same labels in the same order."
        )
    if theirs.vocab_size != ours.vocab_size:
        raise InputError(
            f"The teacher knows {theirs.vocab_size} tokens and the model {ours.vocab_size}: they read the same token "
            "ids, so both need the same tokenizer."
        )
    longest = getattr(theirs, "max_position_embeddings", None)
    wanted = getattr(ours, "max_position_embeddings", None)
    if longest is not None and wanted is not None and longest < wanted:
        raise InputError(
            f"The teacher reads at most {longest} positions and the model {wanted}: "
            "use a teacher that reads texts of the same length."
        )


def _default_labels(config) -> bool:
    return all(name == f"LABEL_{index}" for index, name in config.id2label.items())
