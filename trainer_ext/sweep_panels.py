"""Sweep panels: what a plot of a sweep shows: its axes, its names by number, a colour and a mark for each row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .metric_names import is_fraction
from .sweep_rows import BASELINE, SweepRow, axes_of, frontiers, shapes_of

# Okabe and Ito's: one hue per runtime, its second one where it runs in two precisions; what is compared with in grey.
COLOURS = {
    "torch": ("#0072B2", "#56B4E9"),
    "onnxruntime": ("#E69F00", "#D55E00"),
    "openvino": ("#009E73", "#CC79A7"),
}
GREY = "#8A8A8A"
DARK = frozenset({"#0072B2"})  # white words are read on these, black ones on the others
MARKS = ("o", "s", "D", "^", "v", "P", "X")
LOG_FROM = 4.0  # largest over smallest value from which an axis is logarithmic
STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
RUINED, INTERVALS = (
    0.05,
    1.5,
)  # a gap in the values, as a share or in widths of an interval, below which models are ruined


@dataclass(frozen=True)
class Panel:
    """Quality against one thing.

    Attributes:
        name: as `frontiers` has it.
        label: of the axis.
        across: its value for a row; None where it was not measured.
        rows: those that have both.
        best: the frontier among them.
        is_cost: whether less is better; such an axis runs backwards, so that better is always up and to the right.
    """

    name: str
    label: str
    across: Callable[[SweepRow], float | None]
    rows: list[SweepRow]
    best: list[SweepRow]
    is_cost: bool

    @property
    def is_log(self) -> bool:
        """Whether the axis is logarithmic."""
        values = [self.across(row) for row in self.rows]
        return min(values) > 0 and max(values) >= LOG_FROM * min(values)


def panels(rows: Sequence[SweepRow]) -> list[Panel]:
    """Speed-up at the last shape, size and energy, each where it was measured."""
    shape = next(reversed(shapes_of(rows)), None)
    kinds = {
        "speed-up": (
            f"speed-up over the baseline in torch, {shape} (texts x tokens)",
            lambda row: row.speedup.get(shape),
            False,
        ),
        "MB": ("weights on disk, MB (less to the right)", lambda row: row.bytes and row.bytes / 1e6, True),
        "energy": ("energy of 1,000 predictions, Wh (less to the right)", _watt_hours, True),
    }
    found = []
    for name, best in frontiers(rows).items():
        label, across, is_cost = kinds[name]
        kept = [row for row in rows if row.value is not None and across(row) is not None]
        found.append(Panel(name, label, across, kept, best, is_cost))
    return found


def numbers(rows: Sequence[SweepRow]) -> dict[str, str]:
    """By name of the model what is written into its marks: B for the baseline, then 1, 2, ..."""
    names = [name for name in dict.fromkeys(row.name for row in rows) if name != BASELINE]
    return {BASELINE: "B"} | {name: str(place) for place, name in enumerate(names, start=1)}


def colours(rows: Sequence[SweepRow]) -> dict[str, str]:
    """By runtime and precision."""
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    for runtime, precision in dict.fromkeys((row.runtime, row.precision) for row in rows):
        hues, place = COLOURS.get(runtime, ()), seen.get(runtime, 0)
        found[f"{runtime} {precision}"] = hues[place] if place < len(hues) else GREY
        seen[runtime] = place + 1
    return found


def marked_axis(rows: Sequence[SweepRow]) -> str | None:
    """The setting that the marks tell apart: the teacher, else the last one with few enough values; None for none."""
    values = {axis: set(_settings(rows, axis)) for axis in axes_of(rows)}
    fit = [axis for axis, found in values.items() if 2 <= len(found) <= len(MARKS)]
    return "teacher" if "teacher" in fit else (fit[-1] if fit else None)


def marks(rows: Sequence[SweepRow]) -> dict[str, str]:
    """By value of the marked setting; the first mark is also that of rows without one."""
    axis = marked_axis(rows)
    return dict(zip(_settings(rows, axis), MARKS, strict=False)) if axis else {}


def heights(rows: Sequence[SweepRow]) -> tuple[float, float]:
    """The lower and upper end of the axis of quality.

    A ruined model would press all others together: of a share, what lies below a wide gap is left out, and is drawn at
    the lower edge.
    """
    known = sorted((row for row in rows if row.value is not None), key=lambda row: -row.value)
    ends = [(_or(row.low, row.value), _or(row.high, row.value)) for row in known]
    kept = len(known)
    if is_fraction(known[0].metric or "accuracy"):
        gaps = (before.value - after.value for before, after in zip(known, known[1:], strict=False))
        most = max(RUINED, INTERVALS * max(high - low for low, high in ends))
        kept = next((place for place, gap in enumerate(gaps, start=1) if gap > most), kept)
    low, high = min(low for low, _ in ends[:kept]), max(high for _, high in ends)
    span = (high - low) or abs(high) or 1.0
    return low - 0.06 * span, high + 0.2 * span


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, for a logarithmic axis."""
    for steps in reversed(STEPS):
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(found) <= 9:
            break
    return found


def _settings(rows: Sequence[SweepRow], axis: str) -> list[str]:
    return list(dict.fromkeys(row.settings[axis] for row in rows if axis in row.settings))


def _watt_hours(row: SweepRow) -> float | None:
    return None if row.kwh_per_1000 is None else 1000 * row.kwh_per_1000


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
