"""The codec: dataclass instances to JSON values and back, strict, driven by the type hints alone.

Hints understood: str, int, float, bool, Any, Literal, ``X | None``, list[X], tuple[X, Y], dict[str, X], dataclasses
and generic dataclasses (``Pair[X]``). A field's ``metadata["range"]`` is its closed interval (low, high).

The schema of compression.json, version 1: which numbers a report may hold, their types and their ranges.

It is data: :mod:`trainer_ext.report.schema` reads these declarations in both directions, :mod:`trainer_ext.report.io` writes and
reads the file. None means not measured; units are in the names; fractions are in [0, 1], never per cent.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

_HALF = re.compile("[\ud800-\udfff]")
_NOUNS = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def encode(value: Any, name: str = "") -> Any:
    """Plain JSON values of a dataclass instance; NumPy scalars become Python ones, tuples become lists.

    Raises:
        ValueError: a value has no JSON form (other types, keys that are not strings, NaN, infinity).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: encode(getattr(value, item.name), _join(name, item.name)) for item in dataclasses.fields(value)
        }
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {_key(key, name): encode(item, _join(name, str(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float):
        return _finite(value, name)
    if isinstance(value, str):
        return _encodable(value, name)
    if value is None or isinstance(value, int):
        return value
    raise ValueError(
        f"{name}: a {type(value).__name__} has no place in a report; give a plain number, string or list."
    )


def decode(hint: Any, value: Any, name: str = "") -> Any:
    """The object of type ``hint`` that the JSON value describes.

    Raises:
        ValueError: unknown or missing field, wrong type, out of range, NaN or infinite; with the dotted name.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return encode(value, name)
    if origin in (Union, types.UnionType):
        rest = [item for item in arguments if item is not type(None)]
        return None if value is None and len(rest) < len(arguments) else decode(rest[0], value, name)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{name}: got {value!r}, expected one of {list(arguments)}.")
        return value
    if dataclasses.is_dataclass(origin or hint):
        return _decode_dataclass(hint, value, name)
    if origin in (list, tuple):
        return _decode_sequence(origin, arguments, value, name)
    if origin is dict:
        _require(isinstance(value, Mapping), "an object", value, name)
        return {_key(key, name): decode(arguments[1], item, _join(name, str(key))) for key, item in value.items()}
    number_for_float = hint is float and type(value) is int
    _require(type(value) is hint or number_for_float, _NOUNS[hint], value, name)
    if hint is str:
        return _encodable(value, name)
    return _finite(value, name) if hint is float else value


def _decode_sequence(origin: type, arguments: tuple[Any, ...], value: Any, name: str) -> Any:
    _require(isinstance(value, (list, tuple)), "a list", value, name)
    if origin is tuple and len(value) != len(arguments):
        raise ValueError(f"{name}: got {len(value)} values, expected {len(arguments)}.")
    hints = arguments if origin is tuple else arguments * len(value)
    return origin(
        decode(hint, item, f"{name}[{index}]") for index, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


def _decode_dataclass(hint: Any, value: Any, name: str) -> Any:
    cls, arguments = get_origin(hint) or hint, get_args(hint)
    _require(isinstance(value, Mapping), "an object", value, name)
    fields = {item.name: item for item in dataclasses.fields(cls)}
    for key in value:
        if key not in fields:
            raise ValueError(f"{_join(name, str(key))}: unknown field; known: {sorted(fields)}.")
    hints = get_type_hints(cls)
    found = {}
    for key, item in fields.items():
        dotted = _join(name, key)
        if key in value:
            found[key] = decode(_bind(hints[key], arguments), value[key], dotted)
            _check_range(found[key], item.metadata.get("range"), dotted)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ValueError(f"{dotted}: missing, expected {hints[key]}; write null where nothing was measured.")
    return cls(**found)


def _bind(hint: Any, arguments: tuple[Any, ...]) -> Any:
    """The hint with the type variable of a generic dataclass replaced."""
    if isinstance(hint, TypeVar):
        return arguments[0]
    return hint[arguments] if getattr(hint, "__parameters__", ()) else hint


def _check_range(value: Any, bounds: tuple[float, float] | None, name: str) -> None:
    """Of a pair each number must lie in the range."""
    if dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            _check_range(getattr(value, item.name), bounds, _join(name, item.name))
    elif value is not None and bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"{name}: got {value!r}, outside [{bounds[0]}, {bounds[1]}].")


def _finite(value: float, name: str) -> float:
    """A whole number may be too large for a float too."""
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name}: got {str(value)[:40]}; write null where nothing was measured.")
    return float(value)


def _encodable(value: str, name: str) -> str:
    """JSON can write half a character, which no file can hold."""
    if _HALF.search(value):
        raise ValueError(f"{name}: {ascii(value)[:80]} holds half a character; write it whole.")
    return value


def _require(condition: bool, expected: str, value: Any, name: str) -> None:
    if not condition:
        raise ValueError(f"{name or 'report'}: got {value!r} ({type(value).__name__}), expected {expected}.")


def _key(key: Any, name: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{name}: key {key!r} is not a string; JSON objects have string keys.")
    return _encodable(key, name)


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


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
