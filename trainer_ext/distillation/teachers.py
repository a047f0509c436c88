"""Teachers: load a teacher, check that it fits the student, and run it on every batch."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import cached_file

from ..errors import InputError
from ..models.architectures import is_stock
from ..models.loading import HEADS, head_of, load_model, longest_text
from ..models.outputs import LABELS
from ..utils.finite import check_given
from .collator import IDS, OWN_TOKENS_HINT, split_inputs
from .losses import IGNORED, SOFT_TARGETS, named_outputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

LOGITS = {name for target in SOFT_TARGETS.values() for name in target.outputs}
Precision = Callable[[], AbstractContextManager]


class LiveTeacher:
    """A frozen model that computes its outputs for every batch.

    Args:
        model: any model with the student's labels, also of the user's own class; frozen and put into evaluation mode.
        own_tokens: whether it reads the teacher's columns of a batch (see collator.py), not the student's.
    """

    def __init__(self, model: PreTrainedModel, *, own_tokens: bool = False):
        self.model = model
        self.model.requires_grad_(False).eval()
        self.own_tokens = own_tokens
        parameters = inspect.signature(model.forward).parameters
        own_class = not is_stock(model)  # its forward may need the labels, or any column by name
        self._accepted = {name for name in parameters if own_class or name not in LABELS}
        kinds = {one.kind for one in parameters.values()}
        self._by_name = {} if own_class else {"return_dict": True}
        self._accepts_all = own_class and inspect.Parameter.VAR_KEYWORD in kinds

    def known(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs that the teacher reads, without names that its `forward` does not have.

        Labels are left out, except for a class of the user's own, whose `forward` may need them.

        Args:
            inputs: the batch.

        Raises:
            InputError: If the teacher has its own tokenizer and the batch has no columns for it.
        """
        if self.own_tokens:
            _, inputs = split_inputs(inputs)
            if not inputs:
                raise InputError(f"The teacher has its own tokenizer, but the rows have no {IDS}: {OWN_TOKENS_HINT}.")
        return {name: value for name, value in inputs.items() if self._accepts_all or name in self._accepted}

    def answer(self, inputs: Mapping[str, Any], precision: Precision, **asked: bool) -> dict[str, Any]:
        """Return the teacher's outputs by name, its logits in fp32.

        Args:
            inputs: the batch.
            precision: function that returns the autocast context of the student, so that both are computed alike.
            **asked: what to return besides the logits, such as `output_hidden_states=True`.
        """
        known = self.known(inputs)
        device = next(value.device for value in known.values() if isinstance(value, torch.Tensor))
        if next(self.model.parameters()).device != device:
            cast(torch.nn.Module, self.model).to(device)
        half = next(self.model.parameters()).dtype == torch.float16  # autocast in bf16 cannot run it
        with torch.inference_mode(), nullcontext() if half else precision():
            outputs = named_outputs(self.model(**known, **asked, **self._by_name))
        # Cloned outside: autograd refuses to save a tensor that was made in inference mode.
        return {name: value.float().clone() if name.endswith("logits") else value for name, value in outputs.items()}


AT_RANDOM_TEACHER = (
    "The teacher gives %d of the first %d labels, no better than chance, and the student learns to answer like it. Fine-tune the "
    "teacher on this task first (dense_epochs does so for 'self'), with the labels in the order of the data."
)


class ChanceCheck:
    """Warns, once, if a model answers the first examples no better than chance. Waits for the device once in a run.

    Args:
        warning: with a place for the number of labels that the model gives, and one for that of all.
    """

    ENOUGH = 64  # rows
    MARGIN = 0.1  # of the mean recall above that of a guess, which varies by about half of this in so many rows

    def __init__(self, warning: str = AT_RANDOM_TEACHER) -> None:
        self._warning = warning
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] | None = []  # None: judged

    def skip(self) -> None:
        """Judge nothing."""
        self._seen = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to judge."""
        return self._seen is None

    def see(self, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> None:
        """Compare the answers to a batch with its labels: classes of texts or tokens, or where an answer starts.

        Args:
            outputs: those of the model.
            batch: the batch with its labels.
        """
        if self._seen is None:
            return
        logits, labels = outputs.get("logits"), batch.get("labels")
        if "start_logits" in outputs:
            logits, labels = outputs["start_logits"], batch.get("start_positions")
        if not isinstance(labels, torch.Tensor) or labels.is_floating_point():
            labels = None
        if logits is None or labels is None or logits.shape[:-1] != labels.shape:
            self._seen = None  # several labels at once, or a number
            return
        self._seen.append((logits.argmax(-1).flatten(), labels.flatten()))
        if len(self._seen) * len(logits) >= self.ENOUGH:
            found, labels = (torch.cat(each) for each in zip(*self._seen, strict=True))
            self._seen = None
            self._warn(found[labels != IGNORED].cpu(), labels[labels != IGNORED].cpu())

    def _warn(self, found: torch.Tensor, labels: torch.Tensor) -> None:
        classes = labels.unique()
        recalls = [(found[labels == label] == label).float().mean().item() for label in classes]
        if len(classes) > 1 and sum(recalls) / len(classes) <= 1 / len(classes) + self.MARGIN:
            logger.warning(self._warning, int((found == labels).sum()), len(labels))


def load_teacher(name: str, student: PreTrainedModel | None = None) -> PreTrainedModel:
    """Load a teacher from a folder or the Hub.

    Args:
        name: the folder or Hub id.
        student: the model that learns, for the kind of head; by default the teacher classifies texts.

    Raises:
        InputError: If it cannot be loaded, or was saved with another kind of head, so that its head would be random.
    """
    head = next((head for head in HEADS if type(student).__name__.endswith(head)), HEADS[0])
    way_out = "give 'self', a folder or a Hub id"
    teacher = load_model(name, option="distill_teacher", way_out=way_out, head=head, dtype="float32")
    if head_of(teacher.config) != head:
        raise InputError(
            f"distill_teacher {name} was saved as {teacher.config.architectures}, and the model has a head of the kind "
            f"{head}: fine-tune the teacher on this task first."
        )
    return teacher


def check_teacher(teacher: PreTrainedModel, student: PreTrainedModel, *, own_tokens: bool = False) -> None:
    """Check that the outputs of a teacher can be compared with the student's.

    Args:
        teacher: the model that is imitated.
        student: the model that learns.
        own_tokens: whether the teacher reads other tokens than the student; then vocabulary and length may differ.

    Raises:
        InputError: If the teacher has NaN weights, other labels, another vocabulary size, or a shorter maximum length.
    """
    check_given(teacher, "The teacher")
    theirs, ours = getattr(teacher, "config", None), getattr(student, "config", None)
    if theirs is None or ours is None or not (is_stock(teacher) and is_stock(student)):
        return  # a class of the user's own need not keep its labels in a config; the trial before a training compares
    if theirs.num_labels != ours.num_labels:
        raise InputError(
            f"The teacher has {theirs.num_labels} labels and the model {ours.num_labels}: they must be the same. "
            "Fine-tune the teacher on this task first."
        )
    their_names, our_names = (cast(dict[int, str], config.id2label) for config in (theirs, ours))
    if their_names != our_names and not (_default_names(their_names) or _default_names(our_names)):
        index = next(i for i in our_names if their_names.get(i) != our_names[i])
        raise InputError(
            f"The teacher calls label {index} {their_names.get(index)!r} and the model {our_names[index]!r}: "
            "use a teacher with the same labels in the same order."
        )
    if own_tokens:
        return
    if theirs.vocab_size != ours.vocab_size:
        raise InputError(
            f"The teacher has {theirs.vocab_size} tokens and the model {ours.vocab_size}: they read the same token "
            f"ids, so both need the same tokenizer; to classify texts with two tokenizers, {OWN_TOKENS_HINT}."
        )
    longest, wanted = longest_text(theirs), longest_text(ours)
    if longest is not None and wanted is not None and longest < wanted:
        raise InputError(
            f"The teacher reads at most {longest} tokens and the model {wanted}: "
            "use a teacher that reads texts of the same length."
        )


def check_tokenizer(teacher: PreTrainedModel, student: PreTrainedModel | None, tokenizer: Any) -> None:
    """Check that the tokenizer that a teacher was saved with is the one that makes the token ids.

    A teacher that was saved without a tokenizer, or that was loaded from the same place as the model, passes.

    Args:
        teacher: a model loaded from a folder or the Hub.
        student: the model that learns; None if the token ids are for the teacher alone.
        tokenizer: the tokenizer that makes the token ids.

    Raises:
        InputError: If the vocabulary or the special tokens differ, or there are more tokens than the teacher has.
    """
    name = getattr(getattr(teacher, "config", None), "name_or_path", None)
    if student is None and len(tokenizer) > teacher.config.vocab_size:
        raise InputError(
            f"The teacher has {teacher.config.vocab_size} tokens, but the tokenizer that its rows are padded with has "
            f"{len(tokenizer)}: give the teacher's own tokenizer."
        )
    if not name or not isinstance(tokenizer, PreTrainedTokenizerBase):
        return
    if student is not None and name == getattr(getattr(student, "config", None), "name_or_path", None):
        return
    try:
        # First, because without the file AutoTokenizer returns an empty tokenizer.
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
            f"classify texts, {OWN_TOKENS_HINT}."
        )
    if saved.special_tokens_map != tokenizer.special_tokens_map:
        raise InputError(
            f"The teacher {name} has another tokenizer: its special tokens are {saved.special_tokens_map}, here they "
            f"are {tokenizer.special_tokens_map}. Use a teacher with this tokenizer, or, to classify texts, {OWN_TOKENS_HINT}."
        )


def _default_names(names: Mapping[int, str]) -> bool:
    return all(name == f"LABEL_{index}" for index, name in names.items())
