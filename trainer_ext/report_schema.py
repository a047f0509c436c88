"""The schema of compression.json, version 1: which numbers a report may hold, their types and their ranges.

It is data: :mod:`trainer_ext.codec` reads these declarations in both directions, :mod:`trainer_ext.report` writes and
reads the file. None means not measured; units are in the names; fractions are in [0, 1], never per cent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

SCHEMA_VERSION = 1
T = TypeVar("T")
Interval = tuple[float, float]


def _within(low: float, high: float = math.inf, *, required: bool = False) -> Any:
    """A field whose value must lie in [low, high]; None is the default unless required."""
    return field(metadata={"range": (low, high)}, **({} if required else {"default": None}))


@dataclass(frozen=True)
class Pair(Generic[T]):
    """The same thing measured on the baseline and on the compressed model."""

    baseline: T | None = None
    compressed: T | None = None


@dataclass(frozen=True)
class Model:
    """Which models are compared, and on what kind of task; names are Hub ids or folder names."""

    baseline: str | None = None
    compressed: str | None = None
    family: str | None = None
    task: str | None = None
    problem_type: str | None = None
    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sparsity:
    """What was asked for and what is gone: fractions of the encoder's prunable weights physically removed."""

    requested: float | None = _within(0, 1)
    achieved: float | None = _within(0, 1)
    method: str | None = None
    structure: Literal["compact", "plain"] | None = None
    heads: list[list[int]] | None = None  # indices of the heads that stay, per layer
    ffn_width: list[int] | None = None  # neurons that stay, per layer
    layers: int | None = _within(0)  # layers that stay
    vocabulary: int | None = _within(0)  # tokens that stay
    requested_speedup: float | None = _within(1)  # asked for instead of a sparsity


@dataclass(frozen=True)
class Vocabulary:
    """What trimming the vocabulary did; shares are of texts that it was not chosen by."""

    tokens: Pair[int] | None = _within(0)
    corpus_texts: int | None = _within(0)
    held_out_texts: int | None = _within(0)
    changed_share: float | None = _within(0, 1)  # held-out texts that are cut into other pieces than before
    unknown_rate: Pair[float] | None = _within(0, 1)  # unknown tokens per token
    tokens_per_word: Pair[float] | None = _within(0)


@dataclass(frozen=True)
class Parameters:
    """Numbers of unique parameters: total = encoder + embeddings + head."""

    total: int = _within(0, required=True)
    encoder: int = _within(0, required=True)
    embeddings: int = _within(0, required=True)
    head: int = _within(0, required=True)


@dataclass(frozen=True)
class Scores:
    """Quality of one model on one split; ``other`` holds further metrics by name, ``ci95`` is [low, high] by metric."""

    accuracy: float | None = _within(0, 1)
    macro_f1: float | None = _within(0, 1)
    other: dict[str, float] = field(default_factory=dict)
    ci95: dict[str, Interval] = field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, float]:
        """Every metric that was measured."""
        own = {"accuracy": self.accuracy, "macro_f1": self.macro_f1}
        return {name: value for name, value in own.items() if value is not None} | self.other


@dataclass(frozen=True)
class Difference:
    """Main metric of the compressed model minus that of the baseline, with its paired 95 % interval.

    It is ``accuracy`` where accuracy is the main metric and else ``value``.
    """

    accuracy: float | None = _within(-1, 1)
    ci95: Interval | None = None
    value: float | None = None

    @property
    def main(self) -> float | None:
        """The difference, whichever metric it is of."""
        return self.accuracy if self.value is None else self.value


@dataclass(frozen=True)
class ClassScores:
    """Quality of one model on one class."""

    precision: float | None = _within(0, 1)
    recall: float | None = _within(0, 1)
    f1: float | None = _within(0, 1)


@dataclass(frozen=True)
class ClassPair:
    """Both models on the ``support`` rows whose reference is this label."""

    label: str
    support: int = _within(0, required=True)
    baseline: ClassScores | None = None
    compressed: ClassScores | None = None


@dataclass(frozen=True)
class Quality:
    """Both models on the rows of one split; lost = only the baseline is right, won = only the compressed model is.

    ``metric`` names the main metric, the one that ``difference`` is of.
    """

    split: str
    rows: int = _within(0, required=True)
    baseline: Scores | None = None
    compressed: Scores | None = None
    difference: Difference | None = None
    agreement: float | None = _within(0, 1)
    lost: int | None = _within(0)
    won: int | None = _within(0)
    both_wrong: int | None = _within(0)
    mcnemar_p: float | None = _within(0, 1)
    per_class: list[ClassPair] = field(default_factory=list)
    metric: str = "accuracy"


@dataclass(frozen=True)
class Latency:
    """One forward pass of both models, interleaved; medians and 95th percentiles in milliseconds.

    ``runtime`` and ``precision`` are those of the compressed model; the baseline always runs in PyTorch, on the same
    device, in fp32 where the two differ.
    """

    runtime: str
    precision: str
    device: str
    processor: str
    threads: int | None = _within(1, required=True)
    batch_size: int = _within(1, required=True)
    sequence_length: int = _within(1, required=True)
    baseline_ms: float | None = _within(0)
    compressed_ms: float | None = _within(0)
    baseline_p95_ms: float | None = _within(0)
    compressed_p95_ms: float | None = _within(0)
    speedup: float | None = _within(0)
    ideal_speedup: float | None = _within(0)  # ratio of the floating-point operations
    runs: int | None = _within(1)


@dataclass(frozen=True)
class Equivalence:
    """Largest absolute logit difference along the chain, over so many rows."""

    masked_vs_shrunk: float | None = _within(0)
    shrunk_vs_reloaded: float | None = _within(0)
    shrunk_vs_onnx: float | None = _within(0)
    rows: int | None = _within(0)


@dataclass(frozen=True)
class TrainingCost:
    """What training one model cost."""

    seconds: float | None = _within(0)
    energy_kwh: float | None = _within(0)
    emissions_g: float | None = _within(0)


@dataclass(frozen=True)
class Inference:
    """What a thousand predictions cost, and after how many the compression has paid for itself."""

    energy_kwh_per_1000: Pair[float] | None = _within(0)
    emissions_g_per_1000: Pair[float] | None = _within(0)
    grid_g_per_kwh: float | None = _within(0)
    country: str | None = None
    break_even_inferences: float | None = _within(0)
    estimated: bool | None = None  # the processor has no energy counter; memory is estimated everywhere
    range_kwh_per_1000: Pair[Interval] | None = None  # the lowest and the highest of the alternating blocks
    hardware: str | None = None
    batch_size: int | None = _within(1)
    sequence_length: int | None = _within(1)
    seconds: float | None = _within(0)  # for each model


@dataclass(frozen=True)
class Export:
    """One deployable file; exact formats state a difference, quantised ones a quality.

    ``path`` begins with ``compressed/`` or ``baseline/``, the model that it was made from. ``bytes`` counts every file that the format needs, ``agreement`` is the share of rows that it answers as
    that model does, ``difference`` is its main metric minus that of that model.
    """

    format: str
    path: str
    bytes: int | None = _within(0)
    max_abs_difference: float | None = _within(0)
    split: str | None = None
    rows: int | None = _within(0)
    quality: Scores | None = None
    difference: Difference | None = None
    agreement: float | None = _within(0, 1)
    calibration_rows: int | None = _within(0)


@dataclass(frozen=True)
class Data:
    """Rows trained on, and rows left out by reason."""

    train_rows: int | None = _within(0)
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CompressionReport:
    """compression.json. Only ``created`` (ISO 8601, see ``report.utc_now``) and ``model`` must be given."""

    created: str
    model: Model
    schema_version: int = SCHEMA_VERSION
    recipe: dict[str, Any] = field(default_factory=dict)
    command: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    data: Data | None = None
    sparsity: Sparsity | None = None
    vocabulary: Vocabulary | None = None
    parameters: Pair[Parameters] | None = None
    bytes: Pair[int] | None = _within(0)
    quality: Quality | None = None
    other_quality: list[Quality] = field(default_factory=list)
    latency: list[Latency] = field(default_factory=list)
    equivalence: Equivalence | None = None
    training: Pair[TrainingCost] | None = None
    inference: Inference | None = None
    exports: list[Export] = field(default_factory=list)
