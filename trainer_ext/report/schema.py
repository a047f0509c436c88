"""The fields of `compression.json`, schema version 1, as frozen dataclasses.

`None` means not measured. Units are part of the names; fractions are in [0, 1], never per cent. The types carry the
allowed ranges: pydantic checks them when a report is written or read (see :mod:`trainer_ext.report.io`), not when an
object is made, so that NumPy scalars may be stored as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

SCHEMA_VERSION = 1
T = TypeVar("T")
Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[float, float]  # lower and upper end


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

    requested: Fraction | None = None
    achieved: Fraction | None = None
    method: str | None = None
    structure: Literal["compact", "plain"] | None = None
    heads: list[list[int]] | None = None  # indices of the heads that stay, per layer
    ffn_width: list[int] | None = None  # neurons that stay, per layer
    layers: NonNegativeInt | None = None  # layers that stay
    vocabulary: NonNegativeInt | None = None  # tokens that stay
    requested_speedup: Annotated[float, Field(ge=1)] | None = None  # asked for instead of a sparsity


@dataclass(frozen=True)
class Vocabulary:
    """What trimming the vocabulary did; shares are of texts that it was not chosen by."""

    tokens: Pair[NonNegativeInt] | None = None
    corpus_texts: NonNegativeInt | None = None
    held_out_texts: NonNegativeInt | None = None
    changed_share: Fraction | None = None  # held-out texts that are cut into other pieces than before
    unknown_rate: Pair[Fraction] | None = None  # unknown tokens per token
    tokens_per_word: Pair[NonNegativeFloat] | None = None


@dataclass(frozen=True)
class Parameters:
    """Numbers of unique parameters: total = encoder + embeddings + head."""

    total: NonNegativeInt
    encoder: NonNegativeInt
    embeddings: NonNegativeInt
    head: NonNegativeInt


@dataclass(frozen=True)
class Scores:
    """Quality of one model on one split; ``other`` holds further metrics by name, ``ci95`` is [low, high] by metric."""

    accuracy: Fraction | None = None
    macro_f1: Fraction | None = None
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

    accuracy: Annotated[float, Field(ge=-1, le=1)] | None = None
    ci95: Interval | None = None
    value: float | None = None

    @property
    def main(self) -> float | None:
        """The difference, whichever metric it is of."""
        return self.accuracy if self.value is None else self.value


@dataclass(frozen=True)
class ClassScores:
    """Quality of one model on one class."""

    precision: Fraction | None = None
    recall: Fraction | None = None
    f1: Fraction | None = None


@dataclass(frozen=True)
class ClassPair:
    """Both models on the ``support`` rows whose reference is this label."""

    label: str
    support: NonNegativeInt
    baseline: ClassScores | None = None
    compressed: ClassScores | None = None


@dataclass(frozen=True)
class Quality:
    """Both models on the rows of one split; lost = only the baseline is right, won = only the compressed model is.

    ``metric`` names the main metric, the one that ``difference`` is of.
    """

    split: str
    rows: NonNegativeInt
    baseline: Scores | None = None
    compressed: Scores | None = None
    difference: Difference | None = None
    agreement: Fraction | None = None
    lost: NonNegativeInt | None = None
    won: NonNegativeInt | None = None
    both_wrong: NonNegativeInt | None = None
    mcnemar_p: Fraction | None = None
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
    threads: PositiveInt | None
    batch_size: PositiveInt
    sequence_length: PositiveInt
    baseline_ms: NonNegativeFloat | None = None
    compressed_ms: NonNegativeFloat | None = None
    baseline_p95_ms: NonNegativeFloat | None = None
    compressed_p95_ms: NonNegativeFloat | None = None
    speedup: NonNegativeFloat | None = None
    ideal_speedup: NonNegativeFloat | None = None  # ratio of the floating-point operations
    runs: PositiveInt | None = None


@dataclass(frozen=True)
class Equivalence:
    """Largest absolute logit difference along the chain, over so many rows."""

    masked_vs_shrunk: NonNegativeFloat | None = None
    shrunk_vs_reloaded: NonNegativeFloat | None = None
    shrunk_vs_onnx: NonNegativeFloat | None = None
    rows: NonNegativeInt | None = None


@dataclass(frozen=True)
class TrainingCost:
    """What training one model cost."""

    seconds: NonNegativeFloat | None = None
    energy_kwh: NonNegativeFloat | None = None
    emissions_g: NonNegativeFloat | None = None


@dataclass(frozen=True)
class Inference:
    """What a thousand predictions cost, and after how many the compression has paid for itself."""

    energy_kwh_per_1000: Pair[NonNegativeFloat] | None = None
    emissions_g_per_1000: Pair[NonNegativeFloat] | None = None
    grid_g_per_kwh: NonNegativeFloat | None = None
    country: str | None = None
    break_even_inferences: NonNegativeFloat | None = None
    estimated: bool | None = None  # the processor has no energy counter; memory is estimated everywhere
    range_kwh_per_1000: Pair[Interval] | None = None  # the lowest and the highest of the alternating blocks
    hardware: str | None = None
    batch_size: PositiveInt | None = None
    sequence_length: PositiveInt | None = None
    seconds: NonNegativeFloat | None = None  # for each model


@dataclass(frozen=True)
class Export:
    """One deployable file; exact formats state a difference, quantised ones a quality.

    ``path`` begins with ``compressed/`` or ``baseline/``, the model that it was made from. ``bytes`` counts every file that the format needs, ``agreement`` is the share of rows that it answers as
    that model does, ``difference`` is its main metric minus that of that model.
    """

    format: str
    path: str
    bytes: NonNegativeInt | None = None
    max_abs_difference: NonNegativeFloat | None = None
    split: str | None = None
    rows: NonNegativeInt | None = None
    quality: Scores | None = None
    difference: Difference | None = None
    agreement: Fraction | None = None
    calibration_rows: NonNegativeInt | None = None


@dataclass(frozen=True)
class Data:
    """Rows trained on, and rows left out by reason."""

    train_rows: NonNegativeInt | None = None
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
    bytes: Pair[NonNegativeInt] | None = None
    quality: Quality | None = None
    other_quality: list[Quality] = field(default_factory=list)
    latency: list[Latency] = field(default_factory=list)
    equivalence: Equivalence | None = None
    training: Pair[TrainingCost] | None = None
    inference: Inference | None = None
    exports: list[Export] = field(default_factory=list)
