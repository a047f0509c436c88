"""The result of a sweep: one row per model and runtime, the frontiers among them, the best one, and `sweep.csv`.

`None` means "not measured" everywhere.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..report.formatting import is_fraction
from ..report.schema import AGREEMENT, LEAST_AGREEMENT

BASELINE = "baseline"
ROUNDING = 1e-9  # numbers that are closer are the same
# The columns of sweep.csv: first those that the demo page reads (space/core/sweep.py), then the settings of the sweep, then
# these fields of `SweepRow`, then the speed-up and the time at each shape.
FIRST_COLUMNS = ("name", "accuracy", "accuracy_low", "accuracy_high", "speedup", "megabytes", "folder")
CSV_FIELDS = (
    *("runtime", "precision", "seed", "split", "rows", "metric", "value", "low", "high", "difference"),
    *("difference_low", "difference_high", "sparsity", "parameters", "memory_mib", "train_seconds", "train_kwh"),
    *("train_g", "kwh_per_1000", "g_per_1000"),
)


@dataclass(frozen=True)
class SweepRow:
    """One model in one runtime; the baseline in PyTorch is a row too."""

    name: str  # the labels of the model's settings, or `baseline`, or `baseline (LABELS)` if there are several
    runtime: str = "torch"  # `torch`, `onnxruntime` or `openvino`
    precision: str = "fp32"  # of the weights: `fp32`, `bf16`, `fp16` or `int8`
    # label by axis, such as `{"sparsity": "25 % removed", "teacher": "KD"}`
    settings: dict[str, str] = field(default_factory=dict)
    seed: int | None = None  # of the training
    split: str | None = None  # name of the test set
    rows: int | None = None  # number of rows of that test set
    metric: str | None = None  # the main metric
    value: float | None = None  # of the metric, with its 95 % interval `low`, `high`
    low: float | None = None
    high: float | None = None
    # `value` minus that of the baseline on the same rows, with its paired 95 % interval; None without labels, where the
    # metric is the agreement with the baseline
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    # `difference`, `low`, `high` and `rows` of the same comparison on the rows that were held out of the training data
    # to choose by, with the `value` there and the upper end of its interval, `value_high`; None if none were
    holdout: dict[str, float] | None = None
    sparsity: float | None = None  # share of the encoder's prunable weights that is gone, in [0, 1]
    parameters: int | None = None  # of the model
    bytes: int | None = None  # of its weights on disk
    # over the median time of its baseline in PyTorch fp32, by shape (texts x tokens per call, `32 x 64`)
    speedup: dict[str, float] = field(default_factory=dict)
    ideal_speedup: dict[str, float] = field(default_factory=dict)  # ratio of the floating-point operations, by shape
    median_ms: dict[str, float] = field(default_factory=dict)  # milliseconds per call, by shape
    memory_mib: float | None = None  # peak memory of a process that predicts
    # cost of training this model, without the baseline's
    train_seconds: float | None = None
    train_kwh: float | None = None
    train_g: float | None = None
    # energy and CO2 of a thousand predictions
    kwh_per_1000: float | None = None
    g_per_1000: float | None = None
    folder: str = ""  # of the run, relative to the file; empty for a model that was not kept

    @property
    def title(self) -> str:
        """The name, followed by the runtime unless that is PyTorch in fp32."""
        return self.name if self.is_plain else f"{self.name}, {self.runtime} {self.precision}"

    @property
    def is_plain(self) -> bool:
        """Whether the model runs in PyTorch in fp32."""
        return (self.runtime, self.precision) == ("torch", "fp32")

    @property
    def is_of_baseline(self) -> bool:
        """Whether this is a baseline in any runtime; if there are several, their names say how they differ."""
        return self.name == BASELINE or (self.name.startswith(f"{BASELINE} (") and not self.folder)

    @property
    def is_baseline(self) -> bool:
        """Whether this is a row that others are compared with."""
        return self.is_of_baseline and self.is_plain

    @property
    def metric_name(self) -> str:
        """The main metric; accuracy where none is named."""
        return self.metric or "accuracy"

    @property
    def is_agreement(self) -> bool:
        """Whether there were no labels, so that the metric is the share of answers that are those of the baseline."""
        return self.metric == AGREEMENT


@dataclass(frozen=True)
class SweepResult:
    """The content of `sweep.json`: the rows of one sweep, and what they were measured on."""

    created: str  # ISO 8601
    command: str | None  # the command line, without private values
    recipe: str  # file name of the sweep file or recipe
    scale: str | None  # the name given with --scale, or None
    machine: str  # processor, threads, load and versions, in one line
    rows: list[SweepRow]  # the baseline first, or all of them
    failed: dict[str, str] = field(default_factory=dict)  # last message of each run that failed, by name
    notes: list[str] = field(default_factory=list)  # remarks for the reader, such as why a search stopped
    best: dict[str, str] | None = None  # `title` of the chosen row, and `why` it was chosen

    @property
    def best_title(self) -> str | None:
        """Title of the chosen row."""
        return (self.best or {}).get("title")


def axes_of(rows: Sequence[SweepRow]) -> list[str]:
    """Return the names of all settings, in the order of their first appearance."""
    return list(dict.fromkeys(axis for row in rows for axis in row.settings))


def shapes_of(rows: Sequence[SweepRow]) -> list[str]:
    """Return all shapes that were timed, in the order of their first appearance."""
    return list(dict.fromkeys(shape for row in rows for shape in row.speedup))


def last_shape(rows: Sequence[SweepRow]) -> str:
    """Return the shape whose speed-up counts by default: the last one; empty if nothing was timed."""
    return next(reversed(shapes_of(rows)), "")


def frontier(rows: Sequence[SweepRow], *, cost: Callable[[SweepRow], float | None]) -> list[SweepRow]:
    """Return the Pareto frontier of value (higher is better) and cost, cheapest first.

    Rows without a value or a cost are left out; of rows that are equal in both, the first one is kept.
    """
    known = [(price, row.value, row) for row in rows if row.value is not None and (price := cost(row)) is not None]
    best, found = -math.inf, []
    for _, value, row in sorted(known, key=lambda one: (one[0], -one[1])):
        if value > best:
            best = value
            found.append(row)
    return found


def frontiers(rows: Sequence[SweepRow], shape: str | None = None) -> dict[str, list[SweepRow]]:
    """Return the frontiers of quality against speed-up (at the last shape by default), size and energy, if measured."""
    shape = shape or last_shape(rows)
    costs: dict[str, Callable[[SweepRow], float | None]] = {
        "speed-up": lambda row: -row.speedup[shape] if shape in row.speedup else None,
        "MB": lambda row: row.bytes,
        "energy": lambda row: row.kwh_per_1000,
    }
    found = {name: frontier(rows, cost=cost) for name, cost in costs.items()}
    return {name: best for name, best in found.items() if best}


def difference_of(row: SweepRow) -> tuple[float, float, float] | None:
    """Return the difference and its interval that models are chosen by: held-out rows if there are any, else the test set.

    Without labels, it is minus the share of answers that differ from those of the baseline.
    """
    if row.holdout is not None:
        return row.holdout["difference"], row.holdout["low"], row.holdout["high"]
    if row.is_agreement and row.value is not None and row.low is not None and row.high is not None:
        return row.value - 1, row.low - 1, row.high - 1  # the baseline agrees with itself
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return None
    return row.difference, row.difference_low, row.difference_high


def choose(
    rows: Sequence[SweepRow], shape: str | None = None, *, seeds_alone: bool = False
) -> tuple[SweepRow, str] | None:
    """Return the best model and why: the fastest that is not worse than the baseline beyond noise.

    If every model is worse beyond noise, the one that loses least is returned. Without labels, it is the fastest with the
    `LEAST_AGREEMENT`, or else the one that agrees most. If there are several baselines, a model must not be worse than the
    best of them either: its interval reaches the number of that one.

    Args:
        rows: of a sweep.
        shape: which speed-up counts; the last shape by default.
        seeds_alone: whether several baselines differ by the seed alone; then each model is compared with its own only.

    Returns:
        The row and the reason; None if there is no compressed model.
    """
    shape = shape or last_shape(rows)
    known = [
        (row, difference)
        for row in rows
        if row.folder and not row.is_baseline and shape in row.speedup and (difference := difference_of(row))
    ]
    if not known:
        return None
    where = "on the test set, which makes its number a little optimistic"
    if any(row.holdout for row, _ in known):
        where = "on the rows held out to choose by"
    several = sum(row.is_baseline for row in rows) > 1 and not seeds_alone
    lost = _lost_to_best(known) if several else {}
    good = [row for row, (_, _, high) in known if high >= 0 and lost.get(row.title, (0.0, 0.0))[1] >= 0]
    merit, fault = "is not worse than the baseline beyond noise", "is worse than the baseline beyond noise"
    if several:
        merit = "is not worse beyond noise than its own baseline or the best one"
        fault = "is worse beyond noise than its own baseline or the best one"
    least = "loses least"
    if all(row.is_agreement for row, _ in known):
        share = f"{100 * LEAST_AGREEMENT:.0f} % of the texts"
        good = [row for row, _ in known if (row.value or 0.0) >= LEAST_AGREEMENT]
        merit, fault = (
            f"answers at least {share} as the baseline does",
            f"answers less than {share} as the baseline does",
        )
        least, where = "agrees most", "on the texts of this table, which makes its number a little optimistic"
    if not good:
        row, _ = max(known, key=lambda one: lost.get(one[0].title, one[1])[0])
        return row, f"every model {fault}; this one {least}; chosen {where}"
    in_time = several and all(shape in row.median_ms for row in good)  # speed-ups are over baselines of several speeds
    row = min(good, key=lambda row: row.median_ms[shape] if in_time else -row.speedup[shape])
    return row, f"the fastest at {shape} that {merit}; chosen {where}"


def _lost_to_best(known: Sequence[tuple[SweepRow, tuple[float, float, float]]]) -> dict[str, tuple[float, float]]:
    """Return by title the difference from the best of several baselines on the same rows, and the upper end of it.

    Only models are listed whose own baseline is another one.

    Args:
        known: the models, with what `difference_of` gives for each.
    """
    scores = {}
    for row, (difference, _, _) in known:
        value, high = row.value, row.high
        if row.holdout is not None:
            value, high = row.holdout.get("value"), row.holdout.get("value_high")
        if value is not None and high is not None and not row.is_agreement:
            scores[row.title] = (row.split, row.rows, row.metric), value, high, value - difference
    best: dict[tuple, float] = {}
    for rows, _, _, baseline in scores.values():
        best[rows] = max(baseline, best.get(rows, -math.inf))
    return {
        title: (value - best[rows], high - best[rows])
        for title, (rows, value, high, baseline) in scores.items()
        if best[rows] - baseline > ROUNDING
    }


def as_csv(rows: Sequence[SweepRow], shape: str | None = None) -> str:
    """Return the rows as CSV; fractions stay fractions, and what was not measured is empty.

    The `accuracy` columns hold the main metric if that is a fraction; `value`, `low` and `high` hold any metric.

    Args:
        rows: at least one; those without a value are left out.
        shape: which shape the column `speedup` is of; the last one by default.
    """
    axes, shapes = axes_of(rows), shapes_of(rows)
    shape = shape or last_shape(rows)
    taken = {*FIRST_COLUMNS, *CSV_FIELDS}
    headings = [*FIRST_COLUMNS, *(f"axis {axis}" if axis in taken else axis for axis in axes), *CSV_FIELDS]
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow([*headings, *(f"speedup {one}" for one in shapes), *(f"median_ms {one}" for one in shapes)])
    for row in rows:
        if row.value is None:
            continue
        share = (row.value, row.low, row.high) if is_fraction(row.metric_name) else (None, None, None)
        megabytes = None if row.bytes is None else row.bytes / 1e6
        cells = [row.title, *share, row.speedup.get(shape), megabytes, row.folder]
        cells += [row.settings.get(axis) for axis in axes] + [getattr(row, name) for name in CSV_FIELDS]
        cells += [row.speedup.get(one) for one in shapes] + [row.median_ms.get(one) for one in shapes]
        table.writerow(["" if cell is None else cell for cell in cells])
    return file.getvalue()
