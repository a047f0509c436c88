"""`DistillPruneTrainingArguments`: `TrainingArguments` with flat `prune_*` and `distill_*` fields, strictly checked."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import torch
from transformers import TrainingArguments

from .pruning.config import PruningSpec
from .pruning.scores import METHODS
from .utils.compat import cpu_has_bf16

logger = logging.getLogger(__name__)

Method = Literal["none", "movement", "soft_movement", "magnitude", "obs"]
StructureKind = Literal["compact", "plain"]
AttentionUnit = Literal["block", "head", "none"]
FFNUnit = Literal["neuron", "none"]
BusyMachine = Literal["warn", "refuse"]
Precision = Literal["float32", "bfloat16", "float16"]
DEFAULT_METHOD: Method = "obs"  # if a sparsity or a speed-up is given without a method
CHOICES = {
    "prune_method": get_args(Method),
    "prune_structure": get_args(StructureKind),
    "prune_latency_dtype": get_args(Precision),
    "prune_latency_busy": get_args(BusyMachine),
    "prune_attention": get_args(AttentionUnit),
    "prune_ffn": get_args(FFNUnit),
}
_WHOLE = (lambda x: 1 <= x < math.inf and x % 1 == 0, "a whole number, 1 or more")
# Range of each number: a test and its description. Every comparison with NaN is false, so NaN is in no range.
RANGES = {
    "prune_sparsity": (lambda x: 0 <= x < 1, "in [0, 1); 0.5 removes half"),
    "prune_speedup": (lambda x: 1 <= x < math.inf, "at least 1; 2 halves the time of a forward pass"),
    "dense_epochs": (lambda x: 0 <= x < math.inf, "0 or more"),
    "prune_layers": (lambda x: 0 <= x < math.inf and x % 1 == 0, "0 or a whole number"),
    "prune_recovery_epochs": (lambda x: 0 <= x < math.inf, "0 or more"),
    "prune_latency_batch_size": _WHOLE,
    "prune_latency_length": _WHOLE,
    "prune_block_size": (_WHOLE[0], f"{_WHOLE[1]}; 32 is usual"),
    "prune_start": (lambda x: 0 <= x < 1, "a fraction of the run in [0, 1)"),
    "prune_end": (lambda x: 0 < x <= 1, "a fraction of the run in (0, 1]"),
    "prune_score_lr": (lambda x: 0 < x < math.inf, "above 0; 0.01 is usual"),
    "distill_alpha": (lambda x: 0 <= x <= 1, "in [0, 1]; 0.9 is usual"),
    "distill_temperature": (lambda x: 0 < x < math.inf, "above 0; 2 is usual"),
    "distill_hidden": (lambda x: 0 <= x < math.inf, "0 or more; 1 is usual"),
    "distill_relations": (lambda x: 0 <= x < math.inf, "0 or more; 1 is usual"),
}
OPTIONAL = frozenset({"prune_speedup", "dense_epochs", "prune_latency_length"})
PREFIXES = ("prune_", "distill_", "dense_")  # of our fields


def _option(default: Any, text: str) -> Any:
    """Return the dataclass field of an option with its help text."""
    return field(default=default, metadata={"help": text})


@dataclass
class DistillPruneTrainingArguments(TrainingArguments):
    """Training arguments for `DistillPruneTrainer`. With the defaults of the new fields it trains as stock `Trainer`.

    The other defaults are those of block movement pruning (Lagunas et al. 2021, arXiv 2109.04838, section 4 and the
    configurations released with it), with the phases as fractions of the run.

    Raises:
        ValueError: If a field is out of range or two fields exclude each other; the message says what to change.
    """

    prune_method: Method | None = _option(
        None,
        "How units are chosen: none = no pruning, movement = rank of learned scores, soft_movement = threshold on "
        "learned scores, with a penalty that is adjusted to reach the target, magnitude = mean |weight|, obs = second order "
        "(optimal brain surgeon): in one step, and what stays makes up for what goes; without learning, so that "
        "num_train_epochs may be 0. Default: obs if prune_sparsity or prune_speedup is given, else none.",
    )
    prune_sparsity: float | None = _option(
        None,
        "Fraction of the encoder's prunable weights that is removed at the end, in [0, 1). Default: 0.5 if a "
        "prune_method is given.",
    )
    prune_speedup: float | None = _option(
        None,
        "How many times faster the small model runs on this machine, at least 1; replaces prune_sparsity. The latency"
        " of the layers is measured once and kept in output_dir; whole layers may close. Default: not used.",
    )
    prune_structure: StructureKind = _option(
        "compact",
        "compact = heads and widths differ per layer, best quality at a given speed; plain = all heads stay and every"
        " layer gets the same width, so that the model loads with AutoModel and no further code. Default: compact.",
    )
    prune_layers: int = _option(
        0,
        "Number of encoder layers dropped before training, the middle ones; at least 0. Works with every "
        "prune_method, including none, and counts towards prune_sparsity.",
    )
    prune_layer_ids: list[int] | None = _option(None, "The layers to drop, counted from 0. Default: the middle ones.")
    prune_recovery_epochs: float = _option(
        0.0,
        "Epochs of further training of the shrunk model, with the teacher if there is one; at least 0. Without a "
        "prune_method it has no effect.",
    )
    prune_latency_device: str = _option(
        "auto", "Device that prune_speedup is measured on: cpu, cuda, or auto for that of the training. Default: auto."
    )
    prune_latency_dtype: Precision = _option(
        "float32", "Precision that prune_speedup is measured in. Default: float32."
    )
    prune_latency_batch_size: int = _option(32, "Texts per call that prune_speedup is measured with, at least 1.")
    prune_latency_length: int | None = _option(
        None,
        "Tokens per text that prune_speedup is measured with, at least 1. Default: 128, or what the model reads if that is"
        " less.",
    )
    prune_latency_busy: BusyMachine = _option(
        "warn",
        "If other programs disturb the timing for prune_speedup, also when it is repeated: warn and use it, or refuse"
        " before anything is trained. Default: warn; trainer-ext compress refuses without --force.",
    )
    prune_attention: AttentionUnit = _option(
        "block",
        "Units of attention: block = blocks during the ramp and whole heads at its end, head = whole heads, none.",
    )
    prune_block_size: int = _option(
        32, "Rows and columns of an attention block, at least 1; must divide the head size."
    )
    prune_ffn: FFNUnit = _option(
        "neuron", "Units of the feed-forward part: neuron = a row and its column together, none."
    )
    prune_start: float = _option(
        0.1,
        "Fraction of the run trained dense before the sparsity rises, in [0, prune_end). obs prunes at the first step instead.",
    )
    prune_end: float = _option(
        0.6, "Fraction of the run at which the structure is frozen, in (prune_start, 1]; the rest recovers."
    )
    prune_score_lr: float = _option(
        1e-2, "Learning rate of the scores (movement only), above 0; their weight decay is 0."
    )
    dense_epochs: float | None = _option(
        None,
        "Epochs in which the whole model is fine-tuned before it is compressed, at least 0; the result is the baseline and"
        " the teacher 'self', and is kept in output_dir/dense. Default: if the head of the model is newly initialised and it is"
        " to be pruned, num_train_epochs, and the compression takes half as many; else 0.",
    )
    distill_teacher: str | None = _option(
        None,
        "Teacher: 'self' (a copy of the dense model that is trained), a folder, a Hub id, or none. Default: 'self' after"
        " dense_epochs, else none.",
    )
    distill_teachers: list[str] | None = _option(
        None,
        "Several teachers, whose probabilities are averaged; hidden states and relations are those of the first. "
        "Default: distill_teacher.",
    )
    distill_alpha: float = _option(0.9, "Weight of the teacher's loss, in [0, 1]; that of the labels is one minus it.")
    distill_temperature: float = _option(
        2.0, "Temperature that softens both distributions, above 0; 1 leaves them as they are."
    )
    distill_hidden: float | None = _option(
        None,
        "Weight of the squared difference of hidden states, added to the loss, at least 0; 0 leaves it out. Default: 1 if"
        " the teacher is 'self' by default, else 0.",
    )
    distill_relations: float = _option(
        0.0,
        "Weight of the difference of self-attention relations (queries, keys, values), added to the loss, at least 0;"
        " 0 leaves it out.",
    )
    distill_layers: list[int] | None = _option(
        None,
        "Layers of the teacher to learn from: 0 = embeddings, 1 = first layer, up to its depth. Default: all for "
        "distill_hidden, the last for distill_relations (of 24 layers, try 19 to 21).",
    )
    distill_cache_dir: str | None = _option(
        None,
        "Folder on a local disk in which the teacher's logits are kept and reused; runs and processes may share it. "
        "Default: the teacher computes every batch.",
    )

    def __post_init__(self):
        asked = self.prune_sparsity is not None or self.prune_speedup is not None
        if self.prune_method is None:
            self.prune_method = DEFAULT_METHOD if asked else "none"
        if self.prune_sparsity is None:
            self.prune_sparsity = 0.5
        self.chooses_hidden = self.distill_hidden is None  # the trainer may raise it then
        if self.distill_hidden is None:
            self.distill_hidden = 0.0
        check_compression(self)
        resolve_fp16(self)
        super().__post_init__()

    @property
    def teacher_names(self) -> list[str]:
        """The teachers by name, from `distill_teacher` or `distill_teachers`."""
        return self.distill_teachers or ([] if self.distill_teacher in (None, "none") else [self.distill_teacher])

    @property
    def pruning_spec(self) -> PruningSpec | None:
        """What to prune, or None if nothing is pruned."""
        if self.prune_method == "none" or (self.prune_sparsity == 0 and self.prune_speedup is None):
            return None
        attention = "none" if self.prune_structure == "plain" else self.prune_attention
        at_once = prunes_at_once(self.prune_method)  # whole heads, at the first step
        return PruningSpec(
            method=cast(str, self.prune_method),
            sparsity=cast(float, self.prune_sparsity),
            attention="head" if attention == "block" and at_once else attention,
            block_size=self.prune_block_size,
            ffn=self.prune_ffn,
            start=0.0 if at_once else self.prune_start,
            end=1.0 if at_once else self.prune_end,
            structure=self.prune_structure,
            speedup=self.prune_speedup,
        )

    def set_compression(self, values: Mapping[str, Any]) -> None:
        """Set the `prune_*`, `distill_*` and `dense_*` fields to the values of a trial of a hyperparameter search.

        Args:
            values: values by field name; other fields are left to `Trainer`.

        Raises:
            ValueError: As for the class.
        """
        for name in values.keys() & type(self).__dataclass_fields__.keys():
            if name.startswith(PREFIXES):
                setattr(self, name, values[name])
        if "prune_method" not in values and self.prune_method == "none":
            if values.keys() & {"prune_sparsity", "prune_speedup"}:
                self.prune_method = DEFAULT_METHOD
        check_compression(self)


def prunes_at_once(method: str | None) -> bool:
    """Return whether a pruning method chooses the structure in one step, before the training and also without one.

    Args:
        method: its name; None and "none" are no method.
    """
    return method in METHODS and METHODS[method].second_order


def check_compression(args: DistillPruneTrainingArguments) -> None:
    """Check that every `prune_*` and `distill_*` field is in range and that they can be used together.

    Args:
        args: the arguments.

    Raises:
        ValueError: If they cannot; the message says what to change.
    """
    for name, allowed in CHOICES.items():
        if getattr(args, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(args, name)!r}.")
    for name, (fits, expected) in RANGES.items():
        value = getattr(args, name)
        if value is None and name in OPTIONAL:
            continue
        if not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, got {value!r}. YAML reads 1e-2 as text; write 1.0e-2.")
        if not fits(value):
            raise ValueError(f"{name} must be {expected}, got {value}.")
    _check_pruning(args)
    _check_teachers(args)
    _check_inner_layers(args)


def _check_pruning(args: DistillPruneTrainingArguments) -> None:
    if args.prune_start >= args.prune_end:
        raise ValueError(
            f"prune_start={args.prune_start} must be below prune_end={args.prune_end}: the sparsity rises between "
            "the two, as fractions of the run."
        )
    if args.prune_method != "none" and args.prune_attention == args.prune_ffn == "none":
        raise ValueError("prune_attention and prune_ffn are both 'none': nothing is left to prune.")
    if args.prune_speedup is not None and args.prune_method == "none":
        raise ValueError(f"prune_speedup={args.prune_speedup} needs a prune_method, such as obs.")
    drops = args.prune_layers or args.prune_layer_ids
    if args.dense_epochs and not (args.pruning_spec or drops or args.teacher_names):
        raise ValueError(
            f"dense_epochs={args.dense_epochs} trains the model before it is compressed, and nothing is to be pruned or "
            "distilled: give prune_sparsity, prune_layers or distill_teacher, or leave dense_epochs out."
        )
    ids = args.prune_layer_ids
    if ids is not None and (not isinstance(ids, list) or not ids or not all(type(i) is int and i >= 0 for i in ids)):
        raise ValueError(f"prune_layer_ids must be a list of layers counted from 0, got {ids!r}.")


def _check_teachers(args: DistillPruneTrainingArguments) -> None:
    if args.distill_teacher == "":
        raise ValueError("distill_teacher is empty; give 'self', a folder or a Hub id, or leave it out.")
    names = args.distill_teachers
    if names is not None:
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"distill_teachers must be a list of 'self', folders or Hub ids, got {names!r}.")
        if args.distill_teacher is not None:
            raise ValueError(
                f"Got both distill_teacher={args.distill_teacher!r} and distill_teachers={names}. Choose one."
            )
    if args.distill_cache_dir == "":
        raise ValueError("distill_cache_dir is empty; give a folder, or leave it out.")


def _check_inner_layers(args: DistillPruneTrainingArguments) -> None:
    for name in ("distill_hidden", "distill_relations"):
        if args.distill_cache_dir is not None and getattr(args, name):
            raise ValueError(
                f"distill_cache_dir keeps only the teacher's logits, but {name}={getattr(args, name)} needs its hidden "
                "states or relations at every step; leave one of the two out."
            )
    layers = args.distill_layers
    if layers is None:
        return
    if not isinstance(layers, list) or not layers or not all(type(i) is int and i >= 0 for i in layers):
        raise ValueError(f"distill_layers must be a list of layers in [0, depth of the teacher], got {layers!r}.")
    if len(set(layers)) < len(layers):
        raise ValueError(f"distill_layers names a layer twice: {layers!r}.")


def resolve_fp16(args: TrainingArguments) -> None:
    """Replace `fp16=True` on a processor by bf16 autocast, or by fp32, with one warning.

    Stock `TrainingArguments(fp16=True)` trains in fp32 on a processor without saying so, because accelerate has no fp16
    autocast there.

    Args:
        args: a `TrainingArguments` before its own `__post_init__`; changed in place. With `bf16=True` as well, it is left to
            be refused there.
    """
    on_accelerator = torch.accelerator.is_available() and not args.use_cpu
    if not args.fp16 or args.bf16 or on_accelerator:
        return
    args.fp16 = False
    if cpu_has_bf16():
        args.bf16 = args.use_cpu = True
        instead = "bf16 autocast, which this processor has"
    else:
        instead = "fp32: this processor has no bf16 either"
    _warn_once(instead)


@functools.cache  # a command builds its arguments once per stage; warn once
def _warn_once(instead: str) -> None:
    logger.warning("fp16=True needs an accelerator and none is in use; training in %s.", instead)
