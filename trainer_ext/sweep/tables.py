"""The tables of a sweep, for the terminal and as a page of Markdown.

To add a column, add a `Column` to `quality_columns`, `time_columns` or `cost_columns`; terminal and Markdown both show
these lists. To write a number to `sweep.csv` as well, add its field to `results.CSV_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from ..hub import markdown as card_markdown
from ..report.formatting import TITLES, is_fraction, number, short
from .results import SweepResult, SweepRow, frontiers, last_shape, shapes_of

T = TypeVar("T")
NOISE = "noise"
FRONTIER = "frontier"  # heading of the column of signs
LETTERS = {"speed-up": "s", "MB": "m", "energy": "e"}  # sign of each frontier
BEST = "*"
NOT_MEASURED = "-"
NAME_WIDTH = 34  # in a terminal; longer names are wrapped


@dataclass(frozen=True)
class Column:
    """A heading of one or two lines, and the text of each cell; None where nothing was measured."""

    heading: str
    cell: Callable[[SweepRow], str | None]


def quality_columns(result: SweepResult) -> list[Column]:
    """Return the columns of quality, size and speed-up; those that are empty in every row are left out."""
    splits = {row.split for row in result.rows if row.split}
    signs = marks(result)
    title = metric_title(result) + (" %" if in_percent(result) else "")
    return _measured(
        result,
        *([Column(FRONTIER, lambda row: signs[row.title])] if any(signs.values()) else []),
        *([Column("test set", lambda row: row.split)] if len(splits) > 1 else []),
        Column(title, lambda row: _with_interval(row, row.value, row.low, row.high)),
        Column(
            "difference",
            lambda row: _with_interval(row, row.difference, row.difference_low, row.difference_high, sign="+z"),
        ),
        Column("held out", _holdout),
        Column("gone %", lambda row: _show(row.sparsity, lambda share: f"{100 * share:.1f}")),
        Column("MB", lambda row: _show(row.bytes, lambda size: f"{size / 1e6:,.1f}")),
        *(_of_shape(shape, "", "speedup", "{:.2f}x") for shape in shapes_of(result.rows)),
    )


def time_columns(result: SweepResult) -> list[Column]:
    """Return per shape the milliseconds, the speed-up, and the ratio of floating-point operations."""
    parts = (("ms", "median_ms", "{:,.2f}"), ("speed-up", "speedup", "{:.2f}x"), ("ideal", "ideal_speedup", "{:.2f}x"))
    shapes = shapes_of(result.rows)
    return _measured(result, *(_of_shape(shape, word, name, form) for shape in shapes for word, name, form in parts))


def cost_columns(result: SweepResult) -> list[Column]:
    """Return the columns of parameters, memory, training and energy; those that are empty in every row are left out."""
    return _measured(
        result,
        Column("million\nparam.", lambda row: _show(row.parameters, lambda count: f"{count / 1e6:,.2f}")),
        Column("peak\nMiB", lambda row: _show(row.memory_mib, "{:,.0f}".format)),
        Column("train\ns", lambda row: _show(row.train_seconds, "{:,.0f}".format)),
        Column("train\nkWh", lambda row: _show(row.train_kwh, short)),
        Column("train\ng CO2e", lambda row: _show(row.train_g, short)),
        Column("Wh per\n1,000", lambda row: _show(row.kwh_per_1000, lambda kwh: short(1000 * kwh))),
        Column("g CO2e\nper 1,000", lambda row: _show(row.g_per_1000, short)),
    )


def _measured(result: SweepResult, *columns: Column) -> list[Column]:
    return [column for column in columns if any(column.cell(row) is not None for row in result.rows)]


def _of_shape(shape: str, word: str, name: str, form: str) -> Column:
    return Column(f"{shape}\n{word}".strip(), lambda row: _show(getattr(row, name).get(shape), form.format))


def _show(value: T | None, form: Callable[[T], str]) -> str | None:
    return None if value is None else form(value)


def _holdout(row: SweepRow) -> str | None:
    return _with_interval(row, *((row.holdout or {}).get(key) for key in ("difference", "low", "high")), sign="+z")


def _with_interval(
    row: SweepRow, value: float | None, low: float | None, high: float | None, *, sign: str = ""
) -> str | None:
    """Return a number with its interval; a number with a sign is a difference, which may be noise."""
    if value is None:
        return None
    text = number(row.metric_name, value, sign)
    if low is None or high is None:
        return text
    noise = f" {NOISE}" if sign and low <= 0 <= high else ""
    return f"{text} [{number(row.metric_name, low, sign)}, {number(row.metric_name, high, sign)}]{noise}"


def metric_title(result: SweepResult) -> str:
    """Return the name of the main metric; `quality` if the rows have different ones."""
    found = {row.metric for row in result.rows if row.metric}
    return TITLES.get(name := found.pop(), name) if len(found) == 1 else "quality"


def in_percent(result: SweepResult) -> bool:
    """Return whether the main metric of all rows is a fraction, shown in per cent."""
    return all(is_fraction(row.metric_name) for row in result.rows)


def judged_on(result: SweepResult) -> str:
    """Return the test sets with their rows, and the seeds, in one line; empty if neither is known."""
    sets = dict.fromkeys((row.split, row.rows) for row in result.rows if row.rows is not None)
    parts = [f"{split or 'test'}: n = {rows:,}" for split, rows in sets]
    seeds = list(dict.fromkeys(row.seed for row in result.rows if row.seed is not None))
    if seeds:
        parts.append(f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}")
    return ", ".join(parts)


def runtime_title(row: SweepRow) -> str:
    """Return the runtime and the precision of a row."""
    return f"{row.runtime} {row.precision}"


def ordered(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """Return the baselines first, then the models in their order, each with all its runtimes."""
    names = list(dict.fromkeys(row.name for row in sorted(rows, key=lambda row: not row.is_baseline)))
    return sorted(rows, key=lambda row: (names.index(row.name), not row.is_baseline))


def marks(result: SweepResult) -> dict[str, str]:
    """Return by title the letters of the frontiers that a row is on, and the sign of the best row."""
    titles: dict[str, set[str | None]] = {
        LETTERS[name]: {row.title for row in rows} for name, rows in frontiers(result.rows).items()
    }
    titles[BEST] = {result.best_title}
    return {row.title: "".join(sign for sign in titles if row.title in titles[sign]) for row in result.rows}


def legend(result: SweepResult) -> list[str]:
    """Return lines that explain the signs and the numbers."""
    found, shapes, lines = frontiers(result.rows), shapes_of(result.rows), []
    if found:
        names = {name: f"{name} at {last_shape(result.rows)}" if name == "speed-up" else name for name in found}
        letters = "; ".join(f"{LETTERS[name]}: {title}" for name, title in names.items())
        lines.append(
            f"On the frontier, where no row is better in one and as good in the other: quality and {letters}."
        )
    if any(row.is_agreement for row in result.rows):
        lines.append(f"{_capital(metric_title(result))}: texts without labels that the baseline answers alike.")
        lines.append("[low, high]: 95 % interval.")
    else:
        lines.append(f"[low, high]: 95 % interval; differences are paired, {NOISE}: the interval contains 0.")
    if shapes:
        one = "the baseline" if sum(row.is_baseline for row in result.rows) <= 1 else "the baseline of each model"
        lines.append(f"Speed-up over {one} in torch fp32, texts x tokens per call: {', '.join(shapes)}.")
    return lines


def _tables(result: SweepResult) -> dict[str, list[Column]]:
    """Return the columns of the two tables that the terminal shows, by title."""
    where = judged_on(result)
    title = f"{_capital(metric_title(result))}, size and speed" + (f" ({where})" if where else "")
    return {title: quality_columns(result), "Cost": cost_columns(result)}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Summary:
    """The tables for the terminal; names from outside are plain text, never markup."""

    result: SweepResult

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the tables, the best row, the legend, the failed runs and the notes.

        In a narrow terminal, intervals are below their numbers.
        """
        result = self.result
        for title, columns in _tables(result).items():
            if columns:
                wide = _table(title, columns, result, wide=True)
                fits = console.measure(wide, options=options.update(max_width=10_000)).maximum <= options.max_width
                yield wide if fits else _table(title, columns, result, wide=False)
        if result.best:
            yield Text(f"{BEST} Best: {result.best['title']}. Why: {result.best['why']}", style="bold")
        for line in (*legend(result), result.machine):
            yield Text(line, style="dim")
        for name, line in result.failed.items():
            yield Text(f"Without a result: {name}: {line}", style="red")
        for note in result.notes:
            yield Text(f"Note: {note}")


def _table(title: str, columns: list[Column], result: SweepResult, *, wide: bool) -> Table:
    table = Table(title=Text(title), title_justify="left", padding=(0, 1 if wide else 0))
    table.add_column("model", overflow="fold", min_width=12, max_width=NAME_WIDTH)
    for column in columns:
        table.add_column(Text("" if column.heading == FRONTIER else column.heading), justify="right", no_wrap=True)
    signs, rows = marks(result), ordered(result.rows)
    for row, before, after in zip(rows, [None, *rows], [*rows[1:], None], strict=False):
        again = before is not None and row.name == before.name
        name = Text(f"  {runtime_title(row)}" if again else row.title)
        ends = row.is_of_baseline and after is not None and not after.is_of_baseline
        style = "bold" if BEST in signs[row.title] else ""
        table.add_row(name, *(_cell(column.cell(row), wide=wide) for column in columns), style=style, end_section=ends)
    return table


def _cell(text: str | None, *, wide: bool) -> Text:
    if text is None:
        return Text(NOT_MEASURED, style="dim")
    value, opened, interval = text.partition(" [")
    if wide or not opened:
        return Text(text)
    interval, _, noise = interval.partition("]")
    return Text(f"{value}{noise}\n[{interval}]")


def markdown(result: SweepResult, picture: str | None = None) -> str:
    """Return a page with the conditions, tables, failed runs and notes; names from outside are text, never markup.

    Args:
        result: of the sweep.
        picture: file name of the plot in the same folder, if there is one.
    """
    escape, parts = card_markdown.escape, [f"# Sweep: {card_markdown.escape(result.recipe)}"]
    facts = {"date": result.created, "machine": result.machine, "scale": result.scale, "judged on": judged_on(result)}
    parts.append("\n".join(f"- {name}: {escape(text)}" for name, text in facts.items() if text))
    if result.command:
        parts.append(card_markdown.fenced(result.command, "sh"))
    if result.best:
        parts.append(f"**Best: {escape(result.best['title'])}**. Why: {escape(result.best['why'])}")
    if picture:
        parts.append(f"![{escape(_capital(metric_title(result)))} against speed-up, size and energy]({picture})")
    for title, columns in (_tables(result) | {"Time per call": time_columns(result)}).items():
        if columns:
            parts += [f"## {escape(title)}", _markdown_table(columns, result)]
    parts.append(" ".join(map(escape, legend(result))))
    if result.failed:
        table = card_markdown.table(("run", "last message"), result.failed.items(), right=(False, False))
        parts += ["## Without a result", table]
    if result.notes:
        parts += ["## Notes", "\n".join(f"- {escape(note)}" for note in result.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _markdown_table(columns: list[Column], result: SweepResult) -> str:
    headings = ["model", "runtime", *(" ".join(column.heading.split("\n")) for column in columns)]
    lines = []
    for row in ordered(result.rows):
        cells = ["–" if (text := column.cell(row)) is None else text for column in columns]
        lines.append([row.name, runtime_title(row), *(cell.replace(f" {NOISE}", f", {NOISE}") for cell in cells)])
    return card_markdown.table(headings, lines, right=[index > 1 for index in range(len(headings))])
