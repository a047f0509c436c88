"""Sweep columns: what a table of a sweep says of each row, and what its signs mean; for the screen and for Markdown.

Sweep tables: what a sweep found, as tables for the screen that are as wide as it is, and as a page of Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from ..hub import markdown as card_markdown
from ..report.energy_text import short
from ..report.metric_names import TITLES, is_fraction
from ..report.tables import number
from .results import BASELINE, SweepResult, SweepRow, frontiers, shapes_of

NOISE = "noise"
FRONTIER = "frontier"  # the heading of the signs
LETTERS = {"speed-up": "s", "MB": "m", "energy": "e"}
BEST = "*"


@dataclass(frozen=True)
class Column:
    """A heading of one or two lines, and what stands below it; None where nothing was measured."""

    heading: str
    cell: Callable[[SweepRow], str | None]


def quality_columns(result: SweepResult) -> list[Column]:
    """Quality, size and speed-up; columns that no row has are left out."""
    sets = {row.split for row in result.rows if row.split}
    percent = " %" if all(is_fraction(row.metric or "accuracy") for row in result.rows) else ""
    signs = marks(result)
    return _measured(
        result,
        *([Column(FRONTIER, lambda row: signs[row.title])] if any(signs.values()) else []),
        *([Column("test set", lambda row: row.split)] if len(sets) > 1 else []),
        Column(metric_title(result) + percent, value),
        Column("difference", difference),
        Column("held out", holdout),
        Column("gone %", lambda row: _show(row.sparsity, lambda share: f"{100 * share:.1f}")),
        Column("MB", lambda row: _show(row.bytes, lambda size: f"{size / 1e6:,.1f}")),
        *(_of_shape(shape, "", "speedup", "{:.2f}x") for shape in shapes_of(result.rows)),
    )


def time_columns(result: SweepResult) -> list[Column]:
    """Per shape the milliseconds, the speed-up, and that which the operations alone promise."""
    parts = (("ms", "median_ms", "{:,.2f}"), ("speed-up", "speedup", "{:.2f}x"), ("ideal", "ideal_speedup", "{:.2f}x"))
    shapes = shapes_of(result.rows)
    return _measured(result, *(_of_shape(shape, word, name, form) for shape in shapes for word, name, form in parts))


def cost_columns(result: SweepResult) -> list[Column]:
    """Memory, training and energy; columns that no row has are left out."""
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


def value(row: SweepRow) -> str | None:
    """The main metric with its interval."""
    return _with_interval(row, row.value, row.low, row.high)


def difference(row: SweepRow) -> str | None:
    """From the baseline, with its paired interval, and whether that is noise."""
    return _with_interval(row, row.difference, row.difference_low, row.difference_high, sign="+z")


def holdout(row: SweepRow) -> str | None:
    """The same difference on the rows that were held out to choose by."""
    return _with_interval(row, *((row.holdout or {}).get(key) for key in ("difference", "low", "high")), sign="+z")


def metric_title(result: SweepResult) -> str:
    """The name of the metric that all rows have, else the word for any."""
    found = {row.metric for row in result.rows if row.metric}
    return TITLES.get(*found, *found) if len(found) == 1 else "quality"


def judged_on(result: SweepResult) -> str:
    """The test sets, their rows and the seeds, in one line; empty where none is known."""
    sets = dict.fromkeys((row.split, row.rows) for row in result.rows if row.rows is not None)
    words = [f"{split or 'test'}: n = {rows:,}" for split, rows in sets]
    seeds = list(dict.fromkeys(row.seed for row in result.rows if row.seed is not None))
    if seeds:
        words.append(f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}")
    return ", ".join(words)


def runtime_title(row: SweepRow) -> str:
    """What runs a model, and in which precision."""
    return f"{row.runtime} {row.precision}"


def ordered(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """The baseline first, then the models in their order, each with all its runtimes."""
    names = list(dict.fromkeys(row.name for row in sorted(rows, key=lambda row: not row.is_baseline)))
    return sorted(rows, key=lambda row: (names.index(row.name), not row.is_baseline))


def marks(result: SweepResult) -> dict[str, str]:
    """By title: the letters of the frontiers that a row is on, and the sign of the best one."""
    found, best = frontiers(result.rows), (result.best or {}).get("title")
    titles = {LETTERS[name]: {row.title for row in rows} for name, rows in found.items()}
    titles[BEST] = {best}
    return {row.title: "".join(sign for sign in titles if row.title in titles[sign]) for row in result.rows}


def legend(result: SweepResult) -> list[str]:
    """What the signs and the numbers mean."""
    found, shapes, lines = frontiers(result.rows), shapes_of(result.rows), []
    if found:
        names = {name: f"{name} at {shapes[-1]}" if name == "speed-up" else name for name in found}
        letters = "; ".join(f"{LETTERS[name]}: {words}" for name, words in names.items())
        lines.append(
            f"On the frontier, where no row is better in one and as good in the other: quality and {letters}."
        )
    lines.append(f"[low, high]: 95 % interval; differences are paired, {NOISE}: the interval contains 0.")
    if shapes:
        lines.append(f"Speed-up over the baseline in torch fp32, texts x tokens per call: {', '.join(shapes)}.")
    return lines


def _measured(result: SweepResult, *columns: Column) -> list[Column]:
    return [column for column in columns if any(column.cell(row) is not None for row in result.rows)]


def _of_shape(shape: str, word: str, name: str, form: str) -> Column:
    return Column(f"{shape}\n{word}".strip(), lambda row: _show(getattr(row, name).get(shape), form.format))


def _with_interval(
    row: SweepRow, number_: float | None, low: float | None, high: float | None, *, sign: str = ""
) -> str | None:
    """A number with its interval; one with a sign is a difference, and may be noise."""
    if number_ is None:
        return None
    metric = row.metric or "accuracy"
    text = number(metric, number_, sign)
    if low is None or high is None:
        return text
    noise = f" {NOISE}" if sign and low <= 0 <= high else ""
    return f"{text} [{number(metric, low, sign)}, {number(metric, high, sign)}]{noise}"


def _show(value_: Any, form: Callable[[Any], str]) -> str | None:
    return None if value_ is None else form(value_)


NOT_MEASURED = "-"
LONGEST_NAME = 34  # of the columns of a screen; more is folded


@dataclass(frozen=True)
class Summary:
    """A sweep on the screen."""

    result: SweepResult

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Both tables, the best row, what the signs mean, what failed, and the notes.

        Where the screen is too narrow, intervals stand below their numbers.
        """
        for title, columns in _tables(self.result).items():
            if columns:
                wide = _table(title, columns, self.result, wide=True)
                fits = console.measure(wide, options=options.update(max_width=10_000)).maximum <= options.max_width
                yield wide if fits else _table(title, columns, self.result, wide=False)
        for line, style in _below(self.result):
            yield Text(line, style=style)


def summary(result: SweepResult) -> Summary:
    """The tables for the screen; names from outside are plain text, never markup."""
    return Summary(result)


def markdown(result: SweepResult, picture: str | None = None) -> str:
    """A page: on what was measured, tables, what failed, notes; names from outside are words, never markup.

    Args:
        result: of the sweep.
        picture: file name of the plot beside the page, where there is one.
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
        table = card_markdown.table(("run", "the last it said"), result.failed.items(), right=(False, False))
        parts += ["## Without a result", table]
    if result.notes:
        parts += ["## Notes", "\n".join(f"- {escape(note)}" for note in result.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _tables(result: SweepResult) -> dict[str, list[Column]]:
    where = judged_on(result)
    title = f"{_capital(metric_title(result))}, size and speed" + (f" ({where})" if where else "")
    return {title: quality_columns(result), "Cost": cost_columns(result)}


def _table(title: str, columns: list[Column], result: SweepResult, *, wide: bool) -> Table:
    table = Table(title=Text(title), title_justify="left", padding=(0, 1 if wide else 0))
    table.add_column("model", overflow="fold", min_width=12, max_width=LONGEST_NAME)
    for column in columns:
        table.add_column(Text("" if column.heading == FRONTIER else column.heading), justify="right", no_wrap=True)
    signs, rows = marks(result), ordered(result.rows)
    for row, before, after in zip(rows, [None, *rows], [*rows[1:], None], strict=False):
        again = before is not None and row.name == before.name
        name = Text(f"  {runtime_title(row)}" if again else row.title)
        ends = row.name == BASELINE and after is not None and after.name != BASELINE
        style = "bold" if BEST in signs[row.title] else ""
        table.add_row(name, *(_cell(column.cell(row), wide=wide) for column in columns), style=style, end_section=ends)
    return table


def _cell(text: str | None, *, wide: bool) -> Text:
    if text is None:
        return Text(NOT_MEASURED, style="dim")
    number, opened, interval = text.partition(" [")
    if wide or not opened:
        return Text(text)
    interval, _, noise = interval.partition("]")
    return Text(f"{number}{noise}\n[{interval}]")


def _below(result: SweepResult) -> Iterator[tuple[str, str]]:
    """Lines with their styles."""
    if result.best:
        yield f"{BEST} Best: {result.best['title']}. Why: {result.best['why']}", "bold"
    for line in (*legend(result), result.machine):
        yield line, "dim"
    for name, line in result.failed.items():
        yield f"Without a result: {name}: {line}", "red"
    for note in result.notes:
        yield f"Note: {note}", ""


def _markdown_table(columns: list[Column], result: SweepResult) -> str:
    headings = ["model", "runtime", *(" ".join(column.heading.split("\n")) for column in columns)]
    lines = []
    for row in ordered(result.rows):
        cells = ["–" if (text := column.cell(row)) is None else text for column in columns]
        lines.append([row.name, runtime_title(row), *(cell.replace(f" {NOISE}", f", {NOISE}") for cell in cells)])
    return card_markdown.table(headings, lines, right=[index > 1 for index in range(len(headings))])


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
