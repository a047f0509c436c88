"""Tables: the report as rich tables, baseline beside compressed beside what changed, readable at 80 columns.

All cells are plain text, never markup, so that names from outside are shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainer_ext.report import CompressionReport, Latency, Pair, Parameters, Quality, Scores, Sparsity

NOT_MEASURED = "not measured"
WITHIN_NOISE = "within noise"


def summary(report: CompressionReport) -> Group:
    """Quality, size and latency, one below the other."""
    return Group(quality_table(report), size_table(report), latency_table(report))


def quality_table(report: CompressionReport) -> Table:
    """Accuracy and what else was scored, in per cent with 95 % intervals, on the primary split and the others.

    A difference whose paired interval contains zero is labelled "within noise".
    """
    table = _comparison_table("Quality ([low, high]: 95 % interval; change in points)")
    if report.quality is None:
        _row(table, "quality", None, None, None)
        return table
    for quality in (report.quality, *report.other_quality):
        _quality_rows(table, quality)
    return table


def size_table(report: CompressionReport) -> Table:
    """Parameters by part, megabytes on disk (10^6 bytes), and the share of the prunable weights that is gone or kept."""
    table = _comparison_table("Size")
    parameters = report.parameters or Pair[Parameters]()
    for part in ("total", "encoder", "embeddings", "head"):
        values = [getattr(side, part, None) for side in (parameters.baseline, parameters.compressed)]
        _row(table, f"parameters, {part}", *_both(values, "{:,}".format), _relative(*values))
    sizes = report.bytes or Pair[int]()
    values = [sizes.baseline, sizes.compressed]
    _row(table, "weights on disk", *_both(values, lambda size: f"{size / 1e6:.1f} MB"), _relative(*values))
    sparsity = report.sparsity or Sparsity()
    density = None if sparsity.achieved is None else 1 - sparsity.achieved
    table.add_section()
    _row(table, "sparsity requested", "", _percent(sparsity.requested), "")
    _row(table, "sparsity achieved", "", _percent(sparsity.achieved), "gone")
    _row(table, "density, 1 - sparsity", "", _percent(density), "kept")
    if sparsity.method or sparsity.structure:
        _row(table, "method, structure", "", ", ".join(filter(None, [sparsity.method, sparsity.structure])), "")
    return table


def latency_table(report: CompressionReport) -> Table:
    """Median and 95th percentile of a forward pass, speed-up and the speed-up that the operations alone promise."""
    rows = report.latency
    title = "Latency, median and 95th percentile of a forward pass"
    table = Table(title=Text(title), title_justify="left", caption=_machines(rows), caption_justify="left")
    for heading in ("batch x tokens", "baseline", "compressed", "speed-up", "ideal"):
        table.add_column(heading, justify="left" if heading == "batch x tokens" else "right", overflow="fold")
    if not rows:
        _row(table, "latency", None, None, None, None)
    for row in rows:
        _row(
            table,
            f"{row.batch_size} x {row.sequence_length}\n{row.runtime} {row.precision}",
            _milliseconds(row.baseline_ms, row.baseline_p95_ms),
            _milliseconds(row.compressed_ms, row.compressed_p95_ms),
            _show(row.speedup, "{:.2f}x".format),
            _show(row.ideal_speedup, "{:.2f}x".format),
        )
    return table


def _quality_rows(table: Table, quality: Quality) -> None:
    before, after = quality.baseline or Scores(), quality.compressed or Scores()
    table.add_section()
    _row(table, f"{quality.split} ({quality.rows:,} rows)", "", "", "")
    _row(table, "accuracy %", _score(before, "accuracy"), _score(after, "accuracy"), _accuracy_change(quality))
    change = _points(before.macro_f1, after.macro_f1)
    _row(table, "macro-F1 %", _score(before, "macro_f1"), _score(after, "macro_f1"), change)
    for name in sorted(before.other.keys() | after.other.keys()):
        values = [before.other.get(name), after.other.get(name)]
        change = None if None in values else f"{values[1] - values[0]:+z.4g}"
        _row(table, name, *_both(values, "{:.4g}".format), change)
    _row(table, "same answer %", "", _show(quality.agreement, lambda x: f"{100 * x:.1f}"), "")
    counts = _both([quality.lost, quality.won], "{:,}".format)
    _row(table, "lost / won", "", None if None in counts else " / ".join(map(str, counts)), "")
    _row(table, "McNemar exact p", "", _show(quality.mcnemar_p, "{:.3g}".format), "")


def _score(scores: Scores, name: str) -> str | None:
    """A fraction as per cent, with its interval where there is one."""
    value, interval = getattr(scores, name), scores.ci95.get(name)
    if value is None or interval is None:
        return _show(value, lambda x: f"{100 * x:.1f}")
    return f"{100 * value:.1f} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _points(before: float | None, after: float | None) -> str | None:
    return None if before is None or after is None else f"{100 * (after - before):+z.1f}"


def _accuracy_change(quality: Quality) -> str | None:
    """Percentage points with the paired interval, and whether that contains zero."""
    difference = quality.difference
    if difference is None:
        before, after = quality.baseline or Scores(), quality.compressed or Scores()
        return _points(before.accuracy, after.accuracy)
    points = f"{100 * difference.accuracy:+z.1f}"
    if difference.ci95 is None:
        return points
    low, high = difference.ci95
    label = f"\n{WITHIN_NOISE}" if low <= 0 <= high else ""
    return f"{points}\n[{100 * low:+z.1f}, {100 * high:+z.1f}]{label}"


def _machines(rows: list[Latency]) -> str | None:
    """One line per machine that was measured on."""
    lines = dict.fromkeys(
        f"{row.processor}, {row.device}" + (f", {row.threads} threads" if row.threads else "") for row in rows
    )
    return "\n".join(lines) or None


def _comparison_table(title: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for heading in ("", "baseline", "compressed", "change"):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    return table


def _row(table: Table, *cells: str | None) -> None:
    table.add_row(*(Text(NOT_MEASURED, style="dim") if cell is None else Text(cell) for cell in cells))


def _show(value: Any, form: Callable[[Any], str]) -> str | None:
    return None if value is None else form(value)


def _both(values: list[Any], form: Callable[[Any], str]) -> list[str | None]:
    return [_show(value, form) for value in values]


def _percent(fraction: float | None) -> str | None:
    return _show(fraction, lambda x: f"{100 * x:.1f} %")


def _relative(before: float | None, after: float | None) -> str | None:
    return None if not before or after is None else f"{100 * (after / before - 1):+z.1f} %"


def _milliseconds(median: float | None, p95: float | None) -> str | None:
    text = _show(median, "{:.1f} ms".format)
    return text if text is None or p95 is None else f"{text}\np95 {p95:.1f}"
