"""Show a report as rich tables: the baseline, the compressed model and the change, readable at 80 columns.

All cells are plain text without markup, so that names of models and labels are shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .formatting import about_energy, agreement, interval, metric_title, number, percent, score, short, sides_overlap
from .schema import (
    AGREEMENT,
    HELD_OUT,
    CompressionReport,
    Difference,
    Export,
    Inference,
    Int8Repair,
    Interval,
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
BUSY_MACHINE = "busy machine"
BUSY_NOTE = (
    f"{BUSY_MACHINE}: other programs disturbed the timing, also when it was repeated; time it again when it is idle"
)
T = TypeVar("T")


class _Timed(Protocol):
    """A timing: a row of a report or of a benchmark."""

    @property
    def speedup(self) -> float | None: ...

    @property
    def busy(self) -> bool | None: ...

    @property
    def cpu_speedup(self) -> float | None: ...


def summary(report: CompressionReport) -> Group:
    """Return the tables of quality, size, latency and, if it was measured, energy."""
    energy = [energy_table(report)] if report.inference else []
    return Group(quality_table(report), size_table(report), latency_table(report), *energy)


def quality_table(report: CompressionReport, *, answers: bool = True) -> Table:
    """Return the metrics of every split with 95 % intervals; the main split comes first.

    A difference whose paired interval contains zero is labelled "within noise".

    Args:
        report: the numbers.
        answers: whether to add rows on how often the two models predict the same.
    """
    table = _comparison_table("Quality ([low, high]: 95 % interval; change in points)")
    if report.quality is None:
        _row(table, "quality", None, None, None)
        return table
    for quality in (report.quality, *report.other_quality):
        _quality_rows(table, quality)
        if answers or quality.metric == AGREEMENT:
            _agreement_rows(table, quality)
    return table


def _quality_rows(table: Table, quality: Quality) -> None:
    before, after = quality.baseline or Scores(), quality.compressed or Scores()
    table.add_section()
    _row(table, f"{quality.split} ({quality.rows:,} rows)", "", "", "")
    if quality.metric == AGREEMENT:  # there are no labels
        _row(table, "accuracy", None, None, "")
        return
    for name in dict.fromkeys([quality.metric, *before.by_name, *after.by_name]):
        old, new = before.by_name.get(name), after.by_name.get(name)
        change = None if old is None or new is None else number(name, new - old, "+z")
        if name == quality.metric and quality.difference is not None:
            change = _paired_change(name, quality.difference)
        _row(table, metric_title(name), score(before, name), score(after, name), change)


def _paired_change(name: str, difference: Difference) -> str | None:
    change = _show(difference.main, lambda value: number(name, value, "+z"))
    if difference.ci95 is None:
        return change
    return f"{change}\n{interval(name, difference.ci95, '+z')}" + (
        f"\n{WITHIN_NOISE}" if within_noise(difference) else ""
    )


def within_noise(difference: Difference) -> bool:
    """Return whether the paired interval of a difference contains zero; False without an interval."""
    return difference.ci95 is not None and difference.ci95[0] <= 0 <= difference.ci95[1]


def _agreement_rows(table: Table, quality: Quality) -> None:
    lost, won = (_show(count, "{:,}".format) for count in (quality.lost, quality.won))
    rows = {
        metric_title("agreement"): agreement(quality),
        "lost / won": None if lost is None or won is None else f"{lost} / {won}",
        "McNemar exact p": _show(quality.mcnemar_p, short),
    }
    for title, value in rows.items():
        if value is not None or quality.metric == "accuracy":  # not every task has predictions that are right or wrong
            _row(table, title, "", value, "")


def size_table(report: CompressionReport) -> Table:
    """Return the number of parameters by part, megabytes on disk (10^6 bytes), sparsity, and the vocabulary if trimmed."""
    table = _comparison_table("Size")
    parameters = report.parameters or Pair[Parameters]()
    for part in ("total", "encoder", "embeddings", "head"):
        sides = [getattr(side, part, None) for side in (parameters.baseline, parameters.compressed)]
        _change_row(table, f"parameters, {part}", Pair(*sides), "{:,}".format)
    _change_row(table, "weights on disk", report.bytes, lambda size: f"{size / 1e6:.1f} MB")
    sparsity = report.sparsity or Sparsity()
    density = None if sparsity.achieved is None else 1 - sparsity.achieved
    table.add_section()
    if sparsity.requested_speedup is None:
        _row(table, "sparsity requested", "", percent(sparsity.requested), "")
    else:
        _row(table, "speed-up requested", "", f"{sparsity.requested_speedup:g}x", "")
    _row(table, "sparsity achieved", "", percent(sparsity.achieved), "removed")
    _row(table, "density, 1 - sparsity", "", percent(density), "kept")
    if sparsity.method or sparsity.structure:
        _row(table, "method, structure", "", ", ".join(filter(None, [sparsity.method, sparsity.structure])), "")
    if report.vocabulary is not None:
        table.add_section()
        _vocabulary_rows(table, report.vocabulary)
    return table


def vocabulary_table(vocabulary: Vocabulary) -> Table:
    """Return the number of tokens of the vocabulary, and how new texts are tokenized."""
    table = _comparison_table("Vocabulary")
    _vocabulary_rows(table, vocabulary)
    return table


def _vocabulary_rows(table: Table, vocabulary: Vocabulary) -> None:
    _change_row(table, "vocabulary, tokens", vocabulary.tokens, "{:,}".format)
    if vocabulary.trimmed is not None:
        _row(table, "trimmed", "", f"{vocabulary.trimmed} the training of the baseline", "")
    _row(table, "unknown tokens", *_both(vocabulary.unknown_rate, lambda rate: f"{100 * rate:.2f} %"), "")
    _change_row(table, "tokens per word", vocabulary.tokens_per_word, "{:.2f}".format)
    _row(table, "texts tokenized differently", "", percent(vocabulary.changed_share), "")


def latency_table(report: CompressionReport) -> Table:
    """Return median and 95th percentile of a forward pass, the speed-up, and the ideal one: the ratio of the FLOPs."""
    rows = report.latency
    title = "Latency, median and 95th percentile of a forward pass"
    captions = [machines(rows), BUSY_NOTE if any(row.busy for row in rows) else None]
    caption = "\n".join(filter(None, captions)) or None
    table = Table(title=Text(title), title_justify="left", caption=caption, caption_justify="left")
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
            speedup(row),
            _show(row.ideal_speedup, "{:.2f}x".format),
        )
    return table


def speedup(row: _Timed) -> str | None:
    """Return a speed-up; of a timing that other work disturbed also the ratio of the CPU times, and that the machine was busy."""
    lines = [f"{row.speedup:.2f}x"] if row.speedup is not None else []
    if row.busy:
        lines.append(BUSY_MACHINE)
        lines += [f"CPU time {row.cpu_speedup:.2f}x"] if row.cpu_speedup is not None else []
    return "\n".join(lines) or None


def machines(rows: Sequence[Latency]) -> str | None:
    """Return one line per machine that latency was measured on; None without rows."""
    lines = dict.fromkeys(
        f"{row.processor}, {row.device}"
        + (f", {row.threads} thread{'s' if row.threads > 1 else ''}" if row.threads else "")
        for row in rows
    )
    return "\n".join(lines) or None


def _milliseconds(median: float | None, p95: float | None) -> str | None:
    text = _show(median, "{:.1f} ms".format)
    return text if text is None or p95 is None else f"{text}\np95 {p95:.1f}"


def energy_table(report: CompressionReport) -> Table:
    """Return the energy of training and of 1,000 predictions with the range of its blocks; CO2 if the grid is known."""
    found, costs = report.inference or Inference(), report.training or Pair[TrainingCost]()
    table = _comparison_table("Energy, estimated from the load" if found.estimated else "Energy")
    kwh: Pair[float] = found.energy_kwh_per_1000 or Pair()
    ranges: Pair[Interval] = found.range_kwh_per_1000 or Pair()
    before, after = (side or TrainingCost() for side in (costs.baseline, costs.compressed))
    cells = [_energy(*side) for side in ((kwh.baseline, ranges.baseline), (kwh.compressed, ranges.compressed))]
    change = _relative(kwh)
    _row(table, "kWh per 1,000 texts", *cells, f"{change}\n{WITHIN_NOISE}" if sides_overlap(ranges) else change)
    _row(table, "kWh of training", *_both(Pair(before.energy_kwh, after.energy_kwh), short), "")
    if found.country:
        table.add_section()
        _row(table, "g CO2e per 1,000 texts", *_both(found.emissions_g_per_1000, short), "")
        _row(table, "g CO2e of training", *_both(Pair(before.emissions_g, after.emissions_g), short), "")
    table.caption, table.caption_justify = Text("\n".join(about_energy(found, after.energy_kwh))), "left"
    return table


def _energy(value: float | None, blocks: Interval | None) -> str | None:
    text = _show(value, short)
    return text if text is None or blocks is None else f"{text}\n[{short(blocks[0])}, {short(blocks[1])}]"


def findings(row: Export) -> str:
    """Return what the check of an exported file found, in two or three lines, and what its repair cost, in two more."""
    return _checked(row) + ("" if row.repair is None else f"\n{repaired(row, row.repair)}")


def repaired(row: Export, repair: Int8Repair) -> str:
    """Return how many matrices of an int8 file stayed in fp32, and what that cost."""
    kept = f"{len(repair.kept_fp32)} of {repair.matrices} matrices in fp32"
    costs = [] if row.bytes is None else [f"{100 * (row.bytes / repair.plain_bytes - 1):+z.1f} % bytes"]
    cpu = "" if repair.cpu_speed is None else f", CPU time {repair.cpu_speed:.2f}x"
    mark = f" ({BUSY_MACHINE}{cpu})" if repair.busy else ""
    costs += [] if repair.speed is None else [f"{repair.speed:.2f}x the speed of plain int8{mark}"]
    loss = "" if repair.plain_loss is None else f" (loss before: {100 * repair.plain_loss:.1f} points)"
    return f"{kept}{loss}\n{', '.join(costs)}"


def _checked(row: Export) -> str:
    rows = f"{row.rows or 0:,} texts" + (f" of {row.split}" if row.split else "")
    if row.split == HELD_OUT:
        rows = f"{row.rows or 0:,} {row.split}"
    if row.max_abs_difference is not None:
        return f"logits differ by {row.max_abs_difference:.1e}\n{rows}"
    if row.quality is None or row.difference is None or row.difference.main is None:
        return f"predictions compared, without labels\n{rows}"
    name = "accuracy" if row.difference.accuracy is not None else next(iter(row.quality.other))
    changes = {"change": row.difference}
    if row.from_baseline is not None:
        changes = {"of int8 alone": row.difference, "from the baseline": row.from_baseline}
    lines = [f"{metric_title(name)} {number(name, row.quality.by_name[name])}"]
    for title, found in changes.items():
        bounds = "" if found.ci95 is None else f" {interval(name, found.ci95, '+z')}"
        lines.append(f"{title} {_show(found.main, lambda value: number(name, value, '+z'))}{bounds}")
    return "\n".join([*lines, rows])


def _comparison_table(title: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for heading in ("", "baseline", "compressed", "change"):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    return table


def _row(table: Table, *cells: str | None) -> None:
    table.add_row(*(Text(NOT_MEASURED, style="dim") if cell is None else Text(cell) for cell in cells))


def _change_row(table: Table, title: str, values: Pair[T] | None, form: Callable[[T], str]) -> None:
    _row(table, title, *_both(values, form), _relative(values))


def _both(values: Pair[T] | None, form: Callable[[T], str]) -> list[str | None]:
    values = values or Pair()
    return [_show(value, form) for value in (values.baseline, values.compressed)]


def _relative(values: Pair | None) -> str | None:
    if values is None or not values.baseline or values.compressed is None:
        return None
    return f"{100 * (values.compressed / values.baseline - 1):+z.1f} %"


def _show(value: T | None, form: Callable[[T], str]) -> str | None:
    return None if value is None else form(value)
