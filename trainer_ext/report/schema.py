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
AGREEMENT = "agreement"  # the metric of rows without labels
HELD_OUT = "held-out texts"  # the test set of texts without labels
DEFAULT_EPOCHS = 3  # of TrainingArguments
LEAST_AGREEMENT = 0.9  # of a model with its baseline on such rows, or of an int8 file; less is warned of, or refused
T = TypeVar("T")
Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[float, float]  # lower and upper end


@dataclass(frozen=True)
class Pair(Generic[T]):
    """One quantity of the baseline and of the compressed model."""

    baseline: T | None = None
    compressed: T | None = None


@dataclass(frozen=True)
class Model:
    """The two models and their task; models are named by Hub id or folder."""

    baseline: str | None = None
    compressed: str | None = None
    family: str | None = None
    task: str | None = None
    problem_type: str | None = None
    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sparsity:
    """How much was removed: `requested` and `achieved` are fractions of the prunable weights of the encoder."""

    requested: Fraction | None = None
    achieved: Fraction | None = None
    method: str | None = None
    structure: Literal["compact", "plain"] | None = None
    heads: list[list[int]] | None = None  # indices of the remaining heads, per layer
    ffn_width: list[int] | None = None  # remaining neurons, per layer
    layers: NonNegativeInt | None = None  # remaining layers
    vocabulary: NonNegativeInt | None = None  # remaining tokens
    requested_speedup: Annotated[float, Field(ge=1)] | None = None  # given instead of a sparsity


@dataclass(frozen=True)
class Vocabulary:
    """The effect of vocabulary trimming, measured on texts that the tokens were not chosen from."""

    tokens: Pair[NonNegativeInt] | None = None
    corpus_texts: NonNegativeInt | None = None
    held_out_texts: NonNegativeInt | None = None
    changed_share: Fraction | None = None  # held-out texts that are tokenized differently
    unknown_rate: Pair[Fraction] | None = None  # unknown tokens per token
    tokens_per_word: Pair[NonNegativeFloat] | None = None
    # "before" the baseline was trained: its size is then that of the model with all tokens, all else that of the trained one
    trimmed: Literal["before", "after"] | None = None


@dataclass(frozen=True)
class Parameters:
    """Number of unique parameters; total = encoder + embeddings + head."""

    total: NonNegativeInt
    encoder: NonNegativeInt
    embeddings: NonNegativeInt
    head: NonNegativeInt


@dataclass(frozen=True)
class Scores:
    """Metrics of one model on one split; `other` and `ci95` (the 95 % intervals) are by name of the metric."""

    accuracy: Fraction | None = None
    macro_f1: Fraction | None = None
    other: dict[str, float] = field(default_factory=dict)
    ci95: dict[str, Interval] = field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, float]:
        """All metrics that were measured, by name."""
        own = {"accuracy": self.accuracy, "macro_f1": self.macro_f1}
        return {name: value for name, value in own.items() if value is not None} | self.other


@dataclass(frozen=True)
class Difference:
    """Main metric of the compressed model minus that of the baseline, with its paired 95 % interval.

    The difference is in `accuracy` if that is the main metric, else in `value`.
    """

    accuracy: Annotated[float, Field(ge=-1, le=1)] | None = None
    ci95: Interval | None = None
    value: float | None = None

    @property
    def main(self) -> float | None:
        """The difference of the main metric."""
        return self.accuracy if self.value is None else self.value


@dataclass(frozen=True)
class ClassScores:
    """Metrics of one model on one class."""

    precision: Fraction | None = None
    recall: Fraction | None = None
    f1: Fraction | None = None


@dataclass(frozen=True)
class ClassPair:
    """Both models on one class; `support` is the number of rows whose reference is this label."""

    label: str
    support: NonNegativeInt
    baseline: ClassScores | None = None
    compressed: ClassScores | None = None


@dataclass(frozen=True)
class Quality:
    """Both models on one split.

    `lost` counts the rows that only the baseline predicts correctly, `won` those that only the compressed model does.
    `metric` names the main metric, of which `difference` is stated. `agreement` is the fraction of equal predictions. Rows
    without labels have nothing else: `metric` is then "agreement", with the 95 % interval `agreement_ci95`.
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
    agreement_ci95: tuple[Fraction, Fraction] | None = None


@dataclass(frozen=True)
class Latency:
    """Time of one forward pass of both models, measured in turn: median and 95th percentile in milliseconds.

    `runtime` and `precision` are those of the compressed model. The baseline runs in PyTorch on the same device, in fp32
    where the two differ. `busy` says whether other work disturbed the calls, also when they were repeated; then
    `cpu_speedup`, the ratio of the CPU times, is the better guess. None means that nobody looked, as in older reports.
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
    busy: bool | None = None
    cpu_speedup: NonNegativeFloat | None = None


@dataclass(frozen=True)
class Equivalence:
    """Largest absolute difference of logits between the forms of the compressed model, on `rows` rows."""

    masked_vs_shrunk: NonNegativeFloat | None = None
    shrunk_vs_reloaded: NonNegativeFloat | None = None
    shrunk_vs_onnx: NonNegativeFloat | None = None
    rows: NonNegativeInt | None = None


@dataclass(frozen=True)
class TrainingCost:
    """Time, energy and CO2 equivalent of training one model."""

    seconds: NonNegativeFloat | None = None
    energy_kwh: NonNegativeFloat | None = None
    emissions_g: NonNegativeFloat | None = None


@dataclass(frozen=True)
class Inference:
    """Energy and CO2 equivalent of 1,000 predictions, and after how many predictions the compression has paid off."""

    energy_kwh_per_1000: Pair[NonNegativeFloat] | None = None
    emissions_g_per_1000: Pair[NonNegativeFloat] | None = None
    grid_g_per_kwh: NonNegativeFloat | None = None
    country: str | None = None
    break_even_inferences: NonNegativeFloat | None = None
    estimated: bool | None = None  # the processor has no energy counter; memory is always estimated
    range_kwh_per_1000: Pair[Interval] | None = None  # lowest and highest of the alternating blocks
    hardware: str | None = None
    batch_size: PositiveInt | None = None
    sequence_length: PositiveInt | None = None
    seconds: NonNegativeFloat | None = None  # for each model


@dataclass(frozen=True)
class Int8Repair:
    """What brought an int8 file within the allowed loss, compared with plain int8, where every matrix is int8.

    `kept_fp32` names the modules whose matrices (of an attention: whose products of two activations) stayed in fp32, the most
    harmful first, of `matrices` in all. `plain_loss` is that of the main metric, or the fraction of other predictions. `speed`
    is that of the file where plain int8 is one; `busy` says whether other work disturbed its timing, also when it was
    repeated; then `cpu_speed`, the ratio of the CPU times, is the better guess. None means that nobody looked, as in older
    reports.
    """

    kept_fp32: list[str]
    matrices: NonNegativeInt
    plain_bytes: NonNegativeInt
    plain_loss: float | None = None
    speed: NonNegativeFloat | None = None
    busy: bool | None = None
    cpu_speed: NonNegativeFloat | None = None


# Runtime and precision, as `Latency` names them, by format.
EXPORT_RUNTIMES = {
    "onnx": ("onnxruntime", "fp32"),
    "onnx-int8": ("onnxruntime", "int8"),
    "openvino": ("openvino", "fp32"),
    "openvino-int8": ("openvino", "int8"),
}


@dataclass(frozen=True)
class Export:
    """One exported file, compared with the model that it was made from.

    `path` begins with `compressed/` or `baseline/`, that model. `bytes` counts all files of the format. Exact formats state
    `max_abs_difference` of the logits; quantized ones `quality`, its `difference` from that of the model, `from_baseline`,
    its difference from that of the baseline in PyTorch, and `agreement`, the fraction of equal predictions.
    """

    format: str
    path: str
    bytes: NonNegativeInt | None = None
    max_abs_difference: NonNegativeFloat | None = None
    split: str | None = None
    rows: NonNegativeInt | None = None
    quality: Scores | None = None
    difference: Difference | None = None
    from_baseline: Difference | None = None
    agreement: Fraction | None = None
    calibration_rows: NonNegativeInt | None = None
    repair: Int8Repair | None = None  # None if plain int8 was good enough


@dataclass(frozen=True)
class Data:
    """Number of training rows, and of the rows left out by reason.

    `cut` counts the texts that are longer than what the models read of one (`max_length` of the recipe), of `texts`, train and
    test texts together. None where long texts are read in pieces, and in older reports.
    """

    train_rows: NonNegativeInt | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    texts: NonNegativeInt | None = None
    cut: NonNegativeInt | None = None


@dataclass(frozen=True)
class CompressionReport:
    """The content of `compression.json`; `created` is ISO 8601, see `report.utc_now`."""

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

    @property
    def trained(self) -> bool:
        """Whether the compressed model was trained; only a recipe that says 0 epochs trains nothing."""
        epochs = {"num_train_epochs": DEFAULT_EPOCHS, "max_steps": -1, "prune_recovery_epochs": 0}
        given = {name: value for name, value in self.recipe.items() if name in epochs and value is not None}
        return any(_number(value) > 0 for value in {**epochs, **given}.values())


def _number(value: Any) -> float:
    """Return the number of a recipe's field; 0 if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
