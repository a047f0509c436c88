"""Sweep choice: which model of a sweep is the best one, and why, in words.

Sweep rows: what is known of each model of a sweep, as sweep.json and sweep.csv hold it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..report.metric_names import is_fraction

BASELINE = "baseline"
# The page reads these (space/sweep.py); the others follow.
FIRST_COLUMNS = ("name", "accuracy", "accuracy_low", "accuracy_high", "speedup", "megabytes", "folder")


@dataclass(frozen=True)
class SweepRow:
    """One model in one runtime; the baseline in PyTorch is a row too. None is what was not measured.

    Attributes:
        name: of the model: the labels of its settings, or `baseline`.
        runtime: `torch`, `onnxruntime` or `openvino`.
        precision: of its weights: `fp32`, `bf16`, `fp16` or `int8`.
        settings: label by axis, such as `{"sparsity": "25 % removed", "teacher": "KD"}`.
        seed: of its training.
        split: the test set that it is judged on.
        rows: of that test set.
        metric: the main one.
        value: of the metric, with its 95 % interval `low`, `high`.
        difference: minus the value of the baseline, on the same rows, with its paired 95 % interval.
        holdout: the same difference on the rows that were held out to choose by; None where none were.
        sparsity: share of the encoder's prunable weights that is gone, in [0, 1].
        parameters: of the model.
        bytes: of its weights on disk.
        shape: texts and tokens per call, `32 x 64`, that `speedup` is of.
        speedup: of the baseline's median time in PyTorch fp32, by shape; all models of a sweep are timed in one run.
        ideal_speedup: what the floating-point operations alone promise, by shape.
        median_ms: per call, by shape.
        memory_mib: peak memory of a process that answers.
        train_seconds, train_kwh, train_g: of the training of this model, without the baseline's.
        kwh_per_1000, g_per_1000: of a thousand predictions.
        folder: of the run, relative to the file; empty for a model that was not kept.
    """

    name: str
    runtime: str = "torch"
    precision: str = "fp32"
    settings: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    split: str | None = None
    rows: int | None = None
    metric: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    holdout: dict[str, float] | None = None  # difference, low, high, rows
    sparsity: float | None = None
    parameters: int | None = None
    bytes: int | None = None
    speedup: dict[str, float] = field(default_factory=dict)
    ideal_speedup: dict[str, float] = field(default_factory=dict)
    median_ms: dict[str, float] = field(default_factory=dict)
    memory_mib: float | None = None
    train_seconds: float | None = None
    train_kwh: float | None = None
    train_g: float | None = None
    kwh_per_1000: float | None = None
    g_per_1000: float | None = None
    folder: str = ""

    @property
    def title(self) -> str:
        """The name, and the runtime where it is not PyTorch in fp32."""
        plain = (self.runtime, self.precision) == ("torch", "fp32")
        return self.name if plain else f"{self.name}, {self.runtime} {self.precision}"

    @property
    def is_baseline(self) -> bool:
        """Whether this is what the others are compared with."""
        return self.name == BASELINE and (self.runtime, self.precision) == ("torch", "fp32")

    @property
    def is_noise(self) -> bool:
        """Whether the paired interval of the difference contains zero; False where there is no interval."""
        low, high = self.difference_low, self.difference_high
        return low is not None and high is not None and low <= 0 <= high


@dataclass(frozen=True)
class SweepResult:
    """sweep.json: the rows of one sweep, and on what they were measured.

    Attributes:
        created: ISO 8601.
        command: the command line, as it may be published.
        recipe: file name of the sweep file or recipe.
        scale: the name given with --scale, or None for the full one.
        machine: processor, threads, load and versions, in one line.
        rows: the baseline first.
        failed: what ended without a result, by name, with the last line it said.
        notes: what the reader should know: why a search stopped, what ran side by side.
        best: `title` of the chosen row, and `why` it was chosen.
    """

    created: str
    command: str | None
    recipe: str
    scale: str | None
    machine: str
    rows: list[SweepRow]
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    best: dict[str, str] | None = None


def frontier(rows: Sequence[SweepRow], *, cost) -> list[SweepRow]:
    """The rows that no other one beats, being at least as good and as cheap and better in one; cheapest first.

    Of rows that are alike in both the first one is taken. The main metrics of all tasks are better when higher.

    Args:
        rows: with a value and a cost; others are left out.
        cost: a function of a row, smaller is better; None where it was not measured.
    """
    known = [row for row in rows if row.value is not None and cost(row) is not None]
    found: list[SweepRow] = []
    for row in sorted(known, key=lambda row: (cost(row), -row.value)):
        if not found or row.value > found[-1].value:
            found.append(row)
    return found


def axes_of(rows: Sequence[SweepRow]) -> list[str]:
    """The names of all settings that any row has, in their order."""
    return list(dict.fromkeys(axis for row in rows for axis in row.settings))


def shapes_of(rows: Sequence[SweepRow]) -> list[str]:
    """The shapes that any row was timed at, in their order; the last one is the one that pictures show."""
    return list(dict.fromkeys(shape for row in rows for shape in row.speedup))


def frontiers(rows: Sequence[SweepRow], shape: str | None = None) -> dict[str, list[SweepRow]]:
    """The frontier by speed-up at a shape (the last one by default), by bytes and by energy, where they were measured."""
    shape = shape or next(reversed(shapes_of(rows)), None)
    costs = {
        "speed-up": lambda row: -row.speedup[shape] if shape in row.speedup else None,
        "MB": lambda row: row.bytes,
        "energy": lambda row: row.kwh_per_1000,
    }
    found = {name: frontier(rows, cost=cost) for name, cost in costs.items()}
    return {name: best for name, best in found.items() if best}


def as_csv(rows: Sequence[SweepRow], shape: str | None = None) -> str:
    """The rows as a table in CSV; the page's columns first, fractions as fractions, empty what was not measured.

    The columns `accuracy...` are of the main metric where that is a share of something; `value`, `low` and `high` are of
    any metric.

    Args:
        rows: at least one; those without a value are left out.
        shape: which of the measured shapes `speedup` is of; the last one by default.
    """
    more = [
        *("runtime", "precision", "seed", "split", "rows", "metric", "value", "low", "high", "difference"),
        *("difference_low", "difference_high", "sparsity", "parameters", "memory_mib", "train_seconds", "train_kwh"),
        *("train_g", "kwh_per_1000", "g_per_1000"),
    ]
    axes = axes_of(rows)
    shapes = shapes_of(rows)
    shape = shape or next(reversed(shapes), None)
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    speeds = [f"speedup {one}" for one in shapes]
    times = [f"median_ms {one}" for one in shapes]
    taken = {*FIRST_COLUMNS, *more}
    named = [f"axis {axis}" if axis in taken else axis for axis in axes]
    table.writerow([*FIRST_COLUMNS, *named, *more, *speeds, *times])
    for row in rows:
        if row.value is None:
            continue
        share = (row.value, row.low, row.high) if is_fraction(row.metric or "accuracy") else (None,) * 3
        megabytes = None if row.bytes is None else row.bytes / 1e6
        cells = [row.title, *share, row.speedup.get(shape), megabytes, row.folder]
        cells += [row.settings.get(axis) for axis in axes] + [getattr(row, name) for name in more]
        cells += [row.speedup.get(one) for one in shapes] + [row.median_ms.get(one) for one in shapes]
        table.writerow(["" if cell is None else cell for cell in cells])
    return file.getvalue()


def difference_of(row: SweepRow) -> tuple[float, float, float] | None:
    """Difference and interval that a choice looks at: on the rows held out to choose by, else on the test set."""
    if row.holdout is not None:
        return row.holdout["difference"], row.holdout["low"], row.holdout["high"]
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return None
    return row.difference, row.difference_low, row.difference_high


def choose(rows: Sequence[SweepRow], shape: str | None = None) -> tuple[SweepRow, str] | None:
    """The fastest model that is not worse than the baseline beyond noise; where all are, the one that loses least.

    Args:
        rows: of a sweep.
        shape: which speed-up counts; the last one that was measured by default.

    Returns:
        The row and the reason; None where nothing was compressed.
    """
    known = [row for row in rows if not row.is_baseline and row.folder and difference_of(row) is not None]
    shapes = [one for row in rows for one in row.speedup]
    shape = shape or (shapes[-1] if shapes else None)
    known = [row for row in known if shape in row.speedup]
    if not known:
        return None
    held = any(row.holdout for row in known)
    where = (
        "on the rows held out to choose by" if held else "on the test set, which makes its number a little optimistic"
    )
    good = [row for row in known if difference_of(row)[2] >= 0]
    if not good:
        row = max(known, key=lambda row: difference_of(row)[0])
        return row, f"every model is worse than the baseline beyond noise; this one loses least; chosen {where}"
    row = max(good, key=lambda row: row.speedup[shape])
    return row, f"the fastest at {shape} that is not worse than the baseline beyond noise; chosen {where}"
