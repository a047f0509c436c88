"""Teachers: where the answers to imitate come from; here a live module, evaluated at every step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import cached_file

from ..errors import InputError
from ..models.loading import HEADS, head_of, load_model, longest_text
from ..utils.finite import check_given
from .collator import IDS, WAY_OUT, split_inputs
from .losses import SOFT_TARGETS

# Architectures that number their positions from behind the id of the padding token: 514 are 512 tokens.
LABELS = ("labels", "start_positions", "end_positions")
LOGITS = {name for target in SOFT_TARGETS.values() for name in target.outputs}
Precision = Callable[[], AbstractContextManager]


class LiveTeacher:
    """A frozen module that answers every batch.

    Args:
        model: any transformers model with the student's labels; frozen and put into evaluation mode.
        own_tokens: whether it reads the teacher's columns of a batch (see teacher_inputs.py), not the student's.
    """

    def __init__(self, model: nn.Module, *, own_tokens: bool = False):
        self.model = model.requires_grad_(False).eval()
        self.own_tokens = own_tokens
        self._accepted = set(inspect.signature(model.forward).parameters)

    def known(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What of the batch the teacher reads: labels and whatever it does not know are left out.

        Raises:
            InputError: it has a tokenizer of its own, and the batch brings nothing that this one made.
        """
        if self.own_tokens:
            _, inputs = split_inputs(inputs)
            if not inputs:
                raise InputError(f"The teacher has a tokenizer of its own, but the rows bring no {IDS}: {WAY_OUT}.")
        return {name: value for name, value in inputs.items() if name in self._accepted and name not in LABELS}

    def answer(self, inputs: Mapping[str, Any], precision: Precision, **asked: bool) -> dict[str, Any]:
        """The teacher's outputs by name; its logits in fp32.

        Args:
            inputs: the batch.
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
    teacher = load_model(name, option="distill_teacher", way_out=way_out, head=head)
    if head_of(teacher.config) != head:
        raise InputError(
            f"distill_teacher {name} was saved as {teacher.config.architectures}, without a head of the kind {head} "
            "that the model has: fine-tune it on this task first."
        )
    return teacher


def check_teacher(teacher: nn.Module, student: nn.Module, *, own_tokens: bool = False) -> None:
    """Refuse a teacher whose answers cannot be compared with the student's.

    Args:
        teacher: the model that answers.
        student: the model that learns.
        own_tokens: whether the teacher reads other tokens than the student; then their number and that of its
            positions are its own affair.

    Raises:
        InputError: weights that are NaN, other labels, another vocabulary size, or a shorter maximum length.
    """
    check_given(teacher, "The teacher")
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
    if own_tokens:
        return
    if theirs.vocab_size != ours.vocab_size:
        raise InputError(
            f"The teacher knows {theirs.vocab_size} tokens and the model {ours.vocab_size}: they read the same token "
            f"ids, so both need the same tokenizer; to classify texts with two, {WAY_OUT}."
        )
    longest, wanted = longest_text(theirs), longest_text(ours)
    if longest is not None and wanted is not None and longest < wanted:
        raise InputError(
            f"The teacher reads at most {longest} tokens and the model {wanted}: "
            "use a teacher that reads texts of the same length."
        )


def check_tokenizer(teacher: nn.Module, student: nn.Module | None, tokenizer) -> None:
    """Refuse a teacher that was saved beside another tokenizer than the one that makes the token ids.

    A teacher without a saved tokenizer, or from where the model itself came from, passes.

    Args:
        teacher: a model opened from a folder or the Hub.
        student: the model that learns; None where the token ids are for the teacher alone.
        tokenizer: what makes the token ids.

    Raises:
        InputError: another vocabulary, or other special tokens; more tokens than the teacher knows.
    """
    name = teacher.config.name_or_path
    if student is None and len(tokenizer) > teacher.config.vocab_size:
        raise InputError(
            f"The teacher knows {teacher.config.vocab_size} tokens, but the tokenizer that its rows are padded with "
            f"has {len(tokenizer)}: give the teacher's own tokenizer."
        )
    if not name or not isinstance(tokenizer, PreTrainedTokenizerBase):
        return
    if student is not None and name == student.config.name_or_path:
        return
    try:
        # Asked for first: without the file, AutoTokenizer makes up an empty tokenizer.
        cached_file(name, "tokenizer_config.json")
        saved = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError):
        return
    theirs, ours = saved.get_vocab(), tokenizer.get_vocab()
    differing = min(theirs.items() ^ ours.items(), key=lambda item: item[1], default=None)
    if differing is not None:
        token = differing[0]
        raise InputError(
            f"The teacher {name} has another tokenizer: token {token!r} has id {theirs.get(token)} there and "
            f"{ours.get(token)} here. It reads the token ids from here, so use a teacher with this tokenizer, or, to "
            f"classify texts, {WAY_OUT}."
        )
    if saved.special_tokens_map != tokenizer.special_tokens_map:
        raise InputError(
            f"The teacher {name} has another tokenizer: its special tokens are {saved.special_tokens_map}, here they "
            f"are {tokenizer.special_tokens_map}. Use a teacher with this tokenizer, or, to classify texts, {WAY_OUT}."
        )


def _default_labels(config) -> bool:
    return all(name == f"LABEL_{index}" for index, name in config.id2label.items())
