"""Tables: the report as rich tables, baseline beside compressed beside what changed, readable at 80 columns.

All cells are plain text, never markup, so that names from outside are shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .energy_text import about_energy, overlap, short
from .metric_names import TITLES, is_fraction
from .schema import (
    CompressionReport,
    Difference,
    Export,
    Inference,
    Latency,
    Pair,
    Parameters,
    Quality,
    Scores,
    Sparsity,
    TrainingCost,
    Vocabulary,
)

NOT_MEASURED = "not measured"
WITHIN_NOISE = "within noise"


def summary(report: CompressionReport) -> Group:
    """Quality, size, latency and, where it was measured, energy, one below the other."""
    energy = [energy_table(report)] if report.inference else []
    return Group(quality_table(report), size_table(report), latency_table(report), *energy)


def quality_table(report: CompressionReport, *, answers: bool = True) -> Table:
    """The main metric and what else was scored, with 95 % intervals, on the primary split and the others.

    A difference whose paired interval contains zero is labelled "within noise".

    Args:
        report: the numbers.
        answers: whether rows say how often the two models answer alike.
    """
    table = _comparison_table("Quality ([low, high]: 95 % interval; change in points)")
    if report.quality is None:
        _row(table, "quality", None, None, None)
        return table
    for quality in (report.quality, *report.other_quality):
        _quality_rows(table, quality)
        if answers:
            _answer_rows(table, quality)
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
    if sparsity.requested_speedup is None:
        _row(table, "sparsity requested", "", percent(sparsity.requested), "")
    else:
        _row(table, "speed-up requested", "", f"{sparsity.requested_speedup:g}x", "")
    _row(table, "sparsity achieved", "", percent(sparsity.achieved), "gone")
    _row(table, "density, 1 - sparsity", "", percent(density), "kept")
    if sparsity.method or sparsity.structure:
        _row(table, "method, structure", "", ", ".join(filter(None, [sparsity.method, sparsity.structure])), "")
    if report.vocabulary is not None:
        table.add_section()
        _vocabulary_rows(table, report.vocabulary)
    return table


def vocabulary_table(vocabulary: Vocabulary) -> Table:
    """Tokens of the vocabulary, and how new texts are cut."""
    table = _comparison_table("Vocabulary")
    _vocabulary_rows(table, vocabulary)
    return table


def _vocabulary_rows(table: Table, vocabulary: Vocabulary) -> None:
    tokens, unknown, words = (
        getattr(vocabulary, name) or Pair() for name in ("tokens", "unknown_rate", "tokens_per_word")
    )
    values = [tokens.baseline, tokens.compressed]
    _row(table, "vocabulary, tokens", *_both(values, "{:,}".format), _relative(*values))
    rates = _both([unknown.baseline, unknown.compressed], lambda rate: f"{100 * rate:.2f} %")
    _row(table, "unknown tokens", *rates, "")
    values = [words.baseline, words.compressed]
    _row(table, "tokens per word", *_both(values, "{:.2f}".format), _relative(*values))
    _row(table, "new texts cut otherwise", "", percent(vocabulary.changed_share), "")


def latency_table(report: CompressionReport) -> Table:
    """Median and 95th percentile of a forward pass, speed-up and the speed-up that the operations alone promise."""
    rows = report.latency
    title = "Latency, median and 95th percentile of a forward pass"
    table = Table(title=Text(title), title_justify="left", caption=machines(rows), caption_justify="left")
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


def energy_table(report: CompressionReport) -> Table:
    """Energy of training and of 1,000 predictions, [lowest, highest] of the blocks; grams with the grid that was used."""
    found, costs = report.inference or Inference(), report.training or Pair[TrainingCost]()
    table = _comparison_table("Energy, estimated from the load" if found.estimated else "Energy")
    kwh, grams = (part or Pair() for part in (found.energy_kwh_per_1000, found.emissions_g_per_1000))
    before, after = (side or TrainingCost() for side in (costs.baseline, costs.compressed))
    ranges = found.range_kwh_per_1000 or Pair()
    cells = [_energy(*sides) for sides in ((kwh.baseline, ranges.baseline), (kwh.compressed, ranges.compressed))]
    change = _relative(kwh.baseline, kwh.compressed)
    if found.range_kwh_per_1000 and overlap(ranges.baseline, ranges.compressed):
        change = f"{change}\n{WITHIN_NOISE}"
    _row(table, "kWh per 1,000 texts", *cells, change)
    _row(table, "kWh of training", *_both([before.energy_kwh, after.energy_kwh], short), "")
    if found.country:
        table.add_section()
        _row(table, "g CO2e per 1,000 texts", *_both([grams.baseline, grams.compressed], short), "")
        _row(table, "g CO2e of training", *_both([before.emissions_g, after.emissions_g], short), "")
    table.caption, table.caption_justify = Text("\n".join(about_energy(found, after.energy_kwh))), "left"
    return table


def _energy(value: float | None, blocks: tuple[float, float] | None) -> str | None:
    text = _show(value, short)
    return text if text is None or blocks is None else f"{text}\n[{short(blocks[0])}, {short(blocks[1])}]"


def _quality_rows(table: Table, quality: Quality) -> None:
    before, after = quality.baseline or Scores(), quality.compressed or Scores()
    table.add_section()
    _row(table, f"{quality.split} ({quality.rows:,} rows)", "", "", "")
    names = dict.fromkeys([quality.metric, *before.by_name, *after.by_name])
    for name in names:
        change = _main_change(quality, before, after) if name == quality.metric else _change(name, before, after)
        _row(table, metric_title(name), score(before, name), score(after, name), change)


def _answer_rows(table: Table, quality: Quality) -> None:
    counts = _both([quality.lost, quality.won], "{:,}".format)
    rows = {
        "same answer %": _show(quality.agreement, lambda x: f"{100 * x:.1f}"),
        "lost / won": None if None in counts else " / ".join(map(str, counts)),
        "McNemar exact p": _show(quality.mcnemar_p, "{:.3g}".format),
    }
    for title, value in rows.items():
        if value is not None or quality.metric == "accuracy":  # not every task has answers that are right or wrong
            _row(table, title, "", value, "")


def metric_title(name: str) -> str:
    """How a table calls a metric: a fraction is shown in per cent, any other number as it is."""
    return TITLES.get(name, name) + (" %" if is_fraction(name) else "")


def score(scores: Scores, name: str) -> str | None:
    """A number with its interval where there is one."""
    value, interval = scores.by_name.get(name), scores.ci95.get(name)
    if value is None or interval is None:
        return _show(value, lambda x: number(name, x))
    return f"{number(name, value)} [{number(name, interval[0])}, {number(name, interval[1])}]"


def number(name: str, value: float, sign: str = "") -> str:
    """The value of a metric as a table shows it: a fraction in per cent, any other number to three digits."""
    return f"{100 * value:{sign}.1f}" if is_fraction(name) else f"{value:{sign}.3g}"


def _change(name: str, before: Scores, after: Scores) -> str | None:
    """Percentage points of a fraction, the difference of any other number."""
    values = before.by_name.get(name), after.by_name.get(name)
    return None if None in values else number(name, values[1] - values[0], "+z")


def _main_change(quality: Quality, before: Scores, after: Scores) -> str | None:
    """The change of the main metric with its paired interval, and whether that contains zero."""
    difference, name = quality.difference, quality.metric
    if difference is None:
        return _change(name, before, after)
    change = _show(difference.main, lambda x: number(name, x, "+z"))
    if difference.ci95 is None:
        return change
    low, high = difference.ci95
    label = f"\n{WITHIN_NOISE}" if within_noise(difference) else ""
    return f"{change}\n[{number(name, low, '+z')}, {number(name, high, '+z')}]{label}"


def within_noise(difference: Difference) -> bool:
    """Whether the paired interval of a difference contains zero; False where there is no interval."""
    return difference.ci95 is not None and difference.ci95[0] <= 0 <= difference.ci95[1]


def machines(rows: list[Latency]) -> str | None:
    """One line per machine that was measured on."""
    lines = dict.fromkeys(
        f"{row.processor}, {row.device}"
        + (f", {row.threads} thread{'s' if row.threads > 1 else ''}" if row.threads else "")
        for row in rows
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


def percent(fraction: float | None) -> str | None:
    """A fraction in per cent; None where it was not measured."""
    return _show(fraction, lambda x: f"{100 * x:.1f} %")


def _relative(before: float | None, after: float | None) -> str | None:
    return None if not before or after is None else f"{100 * (after / before - 1):+z.1f} %"


def _milliseconds(median: float | None, p95: float | None) -> str | None:
    text = _show(median, "{:.1f} ms".format)
    return text if text is None or p95 is None else f"{text}\np95 {p95:.1f}"


def findings(row: Export) -> str:
    """What the check of an exported file found, in two or three lines."""
    if row.max_abs_difference is not None:
        return f"logits differ by {row.max_abs_difference:.1e}\n{_texts(row)}"
    if row.quality is None or row.difference is None:
        return f"answers compared, no labels to judge them by\n{_texts(row)}"
    name = "accuracy" if row.difference.accuracy is not None else next(iter(row.quality.other))
    low, high = row.difference.ci95 or (None, None)
    interval = "" if low is None else f" [{number(name, low, '+z')}, {number(name, high, '+z')}]"
    return (
        f"{metric_title(name)} {number(name, row.quality.by_name[name])}\n"
        f"change {number(name, row.difference.main, '+z')}{interval}\n{_texts(row)}"
    )


def _texts(row: Export) -> str:
    return f"{row.rows or 0:,} texts" + (f" of {row.split}" if row.split else "")
