"""Benchmark tables: what was measured for the screen, as Markdown, and as rows of a run's report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..report.schema import Latency
from .runner import BUSY, Benchmark, BenchmarkRow, Size
from .targets import Entry

MEMORY_NOTE = (
    "weights: on disk. memory: peak of a new process that loads the model and answers the largest batch; "
    "in brackets what its runtime takes without a model."
)
SPEED_NOTE = "speed-up: against the first. ideal: what the operations alone promise, matrix products counted."


def tables(results: Benchmark) -> Group:
    """What each participant needs, then one table per batch size and length."""
    sizes = _table("Size", ("model", "runtime", "parameters", "weights MB", "memory MB"), MEMORY_NOTE)
    for size in results.sizes:
        sizes.add_row(*map(Text, _size_cells(size)))
    parts = [sizes]
    for title, rows in by_workload(results).items():
        view = _table(f"{title}, milliseconds", ("model", "runtime", "median", "p95", "texts/s", "speed-up", "ideal"))
        for row in rows:
            view.add_row(*map(Text, _cells(row)))
        parts.append(view)
    parts[-1].caption = Text(f"{SPEED_NOTE}\n{machine(results)}")
    return Group(*parts)


def markdown(results: Benchmark) -> str:
    """One table: a row per participant, a column of speed-ups per batch size and length, and milliseconds of the first."""
    found = by_workload(results)
    lines = ["| model | runtime | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]
    for rows in zip(*found.values(), strict=True):
        speeds = [f"{row.speedup:.2f}x" for row in rows]
        if rows[0].entry == results.rows[0].entry:
            speeds = [f"{milliseconds(row.median_ms)} ms" for row in rows]
        lines.append(f"| {rows[0].entry.name} | {runtime_title(rows[0].entry)} | " + " | ".join(speeds) + " |")
    return "\n".join([*lines, "", machine(results)]) + "\n"


def by_workload(results: Benchmark) -> dict[str, list[BenchmarkRow]]:
    """The rows of each batch size and length, under its title."""
    found: dict[str, list[BenchmarkRow]] = {}
    for row in results.rows:
        length = f"{row.sequence_length} tokens" if row.sequence_length else f"texts of {results.texts}"
        found.setdefault(f"{row.batch_size} x {length}", []).append(row)
    return found


def machine(results: Benchmark) -> str:
    """What was measured on, in one line."""
    threads = f", threads: {results.threads}" if results.device == "cpu" else ""
    busy = f", load {results.load:.1f} before the start" if results.load >= BUSY else ""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items() if name != "python")
    return f"{results.processor}{threads}{busy}; {versions}"


def report_rows(results: Benchmark) -> list[Latency]:
    """Rows of the report of a run: its compressed model, whatever runs it, beside its baseline in PyTorch and fp32."""
    found = []
    for before, *others in by_workload(results).values():
        found += [_latency(results, before, row) for row in others if row.entry.name != before.entry.name]
    return found


def merged(before: list[Latency], new: list[Latency]) -> list[Latency]:
    """The rows of a report with new ones, which take the place of those measured in the same way."""
    return list({_key(row): row for row in [*before, *new]}.values())


def _key(row: Latency) -> tuple:
    return (row.runtime, row.precision, row.device, row.processor, row.threads, row.batch_size, row.sequence_length)


def _latency(results: Benchmark, before: BenchmarkRow, row: BenchmarkRow) -> Latency:
    return Latency(
        runtime=row.entry.runtime,
        precision=row.entry.precision,
        device=results.device,
        processor=results.processor,
        threads=results.threads if results.device == "cpu" else None,
        batch_size=row.batch_size,
        sequence_length=row.sequence_length,
        baseline_ms=before.median_ms,
        compressed_ms=row.median_ms,
        baseline_p95_ms=before.p95_ms,
        compressed_p95_ms=row.p95_ms,
        speedup=row.speedup,
        ideal_speedup=row.ideal_speedup,
        runs=row.runs,
    )


def _table(title: str, headings: tuple[str, ...], caption: str = "") -> Table:
    view = Table(title=Text(title), title_justify="left", caption=Text(caption), caption_justify="left")
    for heading in headings:
        words = heading in ("model", "runtime")
        view.add_column(heading, justify="left" if words else "right", overflow="fold")
    return view


def _cells(row: BenchmarkRow) -> tuple[str, ...]:
    return (
        row.entry.name,
        runtime_title(row.entry),
        milliseconds(row.median_ms),
        milliseconds(row.p95_ms),
        f"{row.texts_per_s:,.0f}",
        f"{row.speedup:.2f}x",
        _show(row.ideal_speedup, "{:.2f}x".format),
    )


def _size_cells(size: Size) -> tuple[str, ...]:
    memory = size.memory and f"{size.memory.peak / 1e6:,.0f} ({size.memory.runtime / 1e6:,.0f})"
    return (
        size.entry.name,
        runtime_title(size.entry),
        _show(size.parameters, "{:,}".format),
        _show(size.bytes, lambda value: f"{value / 1e6:,.1f}"),
        memory or "-",
    )


def runtime_title(entry: Entry) -> str:
    """What runs a participant, and in which precision."""
    return f"{entry.runtime} {entry.precision}"


def milliseconds(value: float) -> str:
    """Three figures or more."""
    return f"{value:,.{2 if value < 10 else 1 if value < 1000 else 0}f}"


def _show(value: Any, form: Callable[[Any], str]) -> str:
    return "-" if value is None else form(value)
