"""Sweep tables: what a sweep found, as tables for the screen that are as wide as it is, and as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from . import card_markdown
from .sweep_columns import (
    BEST,
    FRONTIER,
    NOISE,
    Column,
    cost_columns,
    judged_on,
    legend,
    marks,
    metric_title,
    ordered,
    quality_columns,
    runtime_title,
    time_columns,
)
from .sweep_rows import BASELINE, SweepResult

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
