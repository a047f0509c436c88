"""Arguments: TrainingArguments with flat fields for pruning and distillation, strictly checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from transformers import TrainingArguments

from .argument_checks import check_compression
from .precision import resolve_fp16
from .units import PruningSpec


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
