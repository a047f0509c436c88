"""Argument checks: the ranges of the prune_* and distill_* fields, and what cannot be asked for together.

Arguments: TrainingArguments with flat fields for pruning and distillation, strictly checked.

Precision: what fp16 becomes where the processor has no fp16 arithmetic.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from .pruning.config import PruningSpec

CHOICES = {
    "prune_method": ("none", "movement", "soft_movement", "magnitude"),
    "prune_structure": ("compact", "plain"),
    "prune_latency_dtype": ("float32", "bfloat16", "float16"),
    "prune_attention": ("block", "head", "none"),
    "prune_ffn": ("neuron", "none"),
}
# Whether a number fits, and what is expected of it. NaN compares false everywhere and fits nowhere.
RANGES = {
    "prune_sparsity": (lambda x: 0 <= x < 1, "in [0, 1); 0.5 removes half"),
    "prune_speedup": (lambda x: 1 <= x < math.inf, "at least 1; 2 halves the time of a forward pass"),
    "prune_layers": (lambda x: 0 <= x < math.inf and x % 1 == 0, "0 or a whole number"),
    "prune_recovery_epochs": (lambda x: 0 <= x < math.inf, "0 or more"),
    "prune_latency_batch_size": (lambda x: 1 <= x < math.inf, "at least 1"),
    "prune_latency_length": (lambda x: 1 <= x < math.inf, "at least 1"),
    "prune_block_size": (lambda x: 1 <= x < math.inf, "at least 1; 32 is usual"),
    "prune_start": (lambda x: 0 <= x < 1, "a fraction of the run in [0, 1)"),
    "prune_end": (lambda x: 0 < x <= 1, "a fraction of the run in (0, 1]"),
    "prune_score_lr": (lambda x: 0 < x < math.inf, "above 0; 0.01 is usual"),
    "distill_alpha": (lambda x: 0 <= x <= 1, "in [0, 1]; 0.9 is usual"),
    "distill_temperature": (lambda x: 0 < x < math.inf, "above 0; 2 is usual"),
    "distill_hidden": (lambda x: 0 <= x < math.inf, "0 or more; 1 is usual"),
    "distill_relations": (lambda x: 0 <= x < math.inf, "0 or more; 1 is usual"),
}
OPTIONAL = frozenset({"prune_speedup"})


def check_compression(args) -> None:
    """Refuse what is out of range or cannot go together.

    Args:
        args: whatever has the `prune_*` and `distill_*` fields.

    Raises:
        ValueError: naming the field, its value, its range and the way out.
    """
    for name, allowed in CHOICES.items():
        if getattr(args, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(args, name)!r}.")
    for name, (fits, expected) in RANGES.items():
        value = getattr(args, name)
        if value is None and name in OPTIONAL:
            continue
        if not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, got {value!r}; YAML reads 1e-2 as text, 1.0e-2 not.")
        if not fits(value):
            raise ValueError(f"{name} must be {expected}, got {value}.")
    _check_pruning(args)
    _check_teachers(args)
    _check_inner_layers(args)


def _check_pruning(args) -> None:
    if args.prune_start >= args.prune_end:
        raise ValueError(
            f"prune_start={args.prune_start} must be below prune_end={args.prune_end}: the sparsity rises between "
            "the two, as fractions of the run."
        )
    if args.prune_method != "none" and args.prune_attention == args.prune_ffn == "none":
        raise ValueError("prune_attention and prune_ffn are both 'none': nothing is left to prune.")
    if args.prune_speedup is not None and args.prune_method == "none":
        raise ValueError(f"prune_speedup={args.prune_speedup} needs a prune_method, such as movement.")
    ids = args.prune_layer_ids
    if ids is not None and (not isinstance(ids, list) or not ids or not all(type(i) is int and i >= 0 for i in ids)):
        raise ValueError(f"prune_layer_ids must be a list of layers counted from 0, got {ids!r}.")


def _check_teachers(args) -> None:
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


def _check_inner_layers(args) -> None:
    for name in ("distill_hidden", "distill_relations"):
        if args.distill_cache_dir is not None and getattr(args, name):
            raise ValueError(
                f"distill_cache_dir keeps the teacher's answers only, but {name}={getattr(args, name)} needs its "
                "inner states at every step; leave one of the two out."
            )
    layers = args.distill_layers
    if layers is None:
        return
    if not isinstance(layers, list) or not layers or not all(type(i) is int and i >= 0 for i in layers):
        raise ValueError(f"distill_layers must be a list of layers in [0, depth of the teacher], got {layers!r}.")
    if len(set(layers)) < len(layers):
        raise ValueError(f"distill_layers names a layer twice: {layers!r}.")


logger = logging.getLogger(__name__)


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware (AVX512-BF16, AMX-BF16, or Arm's BF16)."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def resolve_fp16(args) -> None:
    """Honour `fp16=True` on an accelerator; on a processor use bf16 autocast, or fp32, and say so once.

    Stock `TrainingArguments(fp16=True)` on a processor trains in fp32 without a word: accelerate has no fp16 autocast
    there. A user who asked for half precision should get it where it exists, and be told where it does not.

    Args:
        args: a `TrainingArguments` before its own `__post_init__`; changed in place.
    """
    on_accelerator = torch.accelerator.is_available() and not args.use_cpu
    if not args.fp16 or on_accelerator:
        return
    args.fp16 = False
    if cpu_has_bf16():
        args.bf16 = args.use_cpu = True
        instead = "bf16 autocast, which this processor has"
    else:
        instead = "fp32: this processor has no bf16 either"
    _warn_once(instead)


@functools.cache  # a command builds its arguments once per stage; the user should read it once
def _warn_once(instead: str) -> None:
    logger.warning("fp16=True needs an accelerator and none is in use; training in %s.", instead)


@dataclass
class DistillPruneTrainingArguments(TrainingArguments):
    """`TrainingArguments` for `DistillPruneTrainer`. With every new field at its default it trains as stock Trainer.

    The defaults are the published ones of block movement pruning (Lagunas et al. 2021, arXiv 2109.04838, section 4 and
    the configurations released with it), with the phases as fractions of the run.

    Raises:
        ValueError: naming the field, its value, its range and the way out.
    """

    prune_method: Literal["none", "movement", "soft_movement", "magnitude"] = field(
        default="none",
        metadata={
            "help": "How units are chosen: none = not at all, movement = learned scores by rank, soft_movement = learned "
            "scores by a threshold and a penalty that is steered to the target, magnitude = mean |weight|."
        },
    )
    prune_sparsity: float = field(
        default=0.5,
        metadata={"help": "Fraction of the encoder's prunable weights that is physically gone at the end, in [0, 1)."},
    )
    prune_speedup: float | None = field(
        default=None,
        metadata={
            "help": "How many times faster the result runs on this machine, at least 1; replaces prune_sparsity. Times of "
            "the layers are measured once and kept in output_dir; whole blocks may close. Default: none asked."
        },
    )
    prune_structure: Literal["compact", "plain"] = field(
        default="compact",
        metadata={
            "help": "Default: compact = heads and widths differ per layer, best quality for the speed; plain = all heads stay and "
            "every layer gets the same width, which a stock config can say: opens with AutoModel and no further code."
        },
    )
    prune_layers: int = field(
        default=0,
        metadata={
            "help": "Encoder layers dropped before training, the middle ones; at least 0. Works with every prune_method, "
            "none included, and counts towards prune_sparsity."
        },
    )
    prune_layer_ids: list[int] | None = field(
        default=None, metadata={"help": "The layers to drop, counted from 0. Default: the middle ones."}
    )
    prune_recovery_epochs: float = field(
        default=0.0,
        metadata={
            "help": "Epochs of dense fine-tuning of the shrunk model, with the teacher if there is one; at least 0. Needs a prune_method."
        },
    )
    prune_latency_device: str = field(
        default="auto",
        metadata={"help": "Device that prune_speedup is for: cpu, cuda. Default: auto, that of the training."},
    )
    prune_latency_dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "Precision that prune_speedup is for. Default: float32."}
    )
    prune_latency_batch_size: int = field(
        default=32, metadata={"help": "Texts per call that prune_speedup is for, at least 1."}
    )
    prune_latency_length: int = field(
        default=128, metadata={"help": "Tokens per text that prune_speedup is for, at least 1."}
    )
    prune_attention: Literal["block", "head", "none"] = field(
        default="block",
        metadata={"help": "Units of attention: block = blocks during the ramp, whole heads at its end; head; none."},
    )
    prune_block_size: int = field(
        default=32,
        metadata={"help": "Rows and columns of an attention block, in weights; must divide the head size."},
    )
    prune_ffn: Literal["neuron", "none"] = field(
        default="neuron", metadata={"help": "Units of the feed-forward part: neuron = row and column together; none."}
    )
    prune_start: float = field(
        default=0.1,
        metadata={"help": "Fraction of the run trained dense before the sparsity rises, in [0, prune_end)."},
    )
    prune_end: float = field(
        default=0.6,
        metadata={
            "help": "Fraction of the run at which the final structure is fixed, in (prune_start, 1]; the rest recovers."
        },
    )
    prune_score_lr: float = field(
        default=1e-2,
        metadata={"help": "Learning rate of the scores (movement only), above 0; their weight decay is 0."},
    )
    distill_teacher: str | None = field(
        default=None,
        metadata={
            "help": "Teacher: 'self' (the dense model as it was given), a folder, or a Hub id. Default: no teacher."
        },
    )
    distill_teachers: list[str] | None = field(
        default=None,
        metadata={
            "help": "Several teachers, whose probabilities are averaged; inner states are taught by the first. Default: "
            "distill_teacher."
        },
    )
    distill_alpha: float = field(
        default=0.9, metadata={"help": "Weight of the teacher's term; the labels get one minus it. In [0, 1]."}
    )
    distill_temperature: float = field(
        default=2.0, metadata={"help": "Softens both distributions; above 0, 1 leaves them as they are."}
    )
    distill_hidden: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the squared difference of hidden states, added to the loss, in [0, inf); 0 leaves it out."
        },
    )
    distill_relations: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the difference of self-attention relations (queries, keys, values), added to the loss, in "
            "[0, inf); 0 leaves it out."
        },
    )
    distill_layers: list[int] | None = field(
        default=None,
        metadata={
            "help": "Layers of the teacher whose inner states are taught: 0 = embeddings, 1 = first layer, up to its "
            "depth. Default: all for distill_hidden, the last for distill_relations (of 24, try 19 to 21)."
        },
    )

    distill_cache_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder on a local disk for the teacher's answers, read from there when they are known; runs and "
            "processes may share it. Default: the teacher answers every batch."
        },
    )

    def __post_init__(self):
        check_compression(self)
        resolve_fp16(self)
        super().__post_init__()

    @property
    def teacher_names(self) -> list[str]:
        """The teachers by name, whichever field names them."""
        return self.distill_teachers or ([] if self.distill_teacher is None else [self.distill_teacher])

    @property
    def pruning_spec(self) -> PruningSpec | None:
        """What to prune, or None where nothing is."""
        if self.prune_method == "none" or (self.prune_sparsity == 0 and self.prune_speedup is None):
            return None
        return PruningSpec(
            method=self.prune_method,
            sparsity=self.prune_sparsity,
            attention="none" if self.prune_structure == "plain" else self.prune_attention,
            block_size=self.prune_block_size,
            ffn=self.prune_ffn,
            start=self.prune_start,
            end=self.prune_end,
            structure=self.prune_structure,
            speedup=self.prune_speedup,
        )

    def set_compression(self, values: Mapping[str, Any]) -> None:
        """Take over the `prune_*` and `distill_*` values of one trial of a hyperparameter search.

        Args:
            values: by field name; every other name is left to `Trainer`.

        Raises:
            ValueError: as when they are given at the start.
        """
        for name in values.keys() & type(self).__dataclass_fields__.keys():
            if name.startswith(("prune_", "distill_")):
                setattr(self, name, values[name])
        check_compression(self)
