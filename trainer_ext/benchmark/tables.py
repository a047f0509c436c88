"""Show a benchmark as rich tables, as Markdown, and as rows of the report of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..report.schema import Latency
from ..report.tables import BUSY_NOTE, speedup
from .runner import BUSY, Benchmark, BenchmarkRow, Size

T = TypeVar("T")

MEMORY_NOTE = (
    "weights: on disk. memory: peak of a new process that loads the model and runs the largest batch; "
    "in brackets that of its runtime without a model."
)
SPEED_NOTE = "speed-up: relative to the first model. ideal: ratio of the FLOPs of the matrix products."


def tables(results: Benchmark) -> Group:
    """Return a table of sizes, then one table of times per batch size and length."""
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
    """Return one table: a row per target, a column of speed-ups per batch size and length; milliseconds for the first."""
    found = by_workload(results)
    lines = ["| model | runtime | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]
    for rows in zip(*found.values(), strict=True):
        speeds = [(speedup(row) or "-").replace("\n", ", ") for row in rows]
        if rows[0].entry == results.rows[0].entry:
            speeds = [f"{milliseconds(row.median_ms)} ms" for row in rows]
        lines.append(f"| {rows[0].entry.name} | {rows[0].entry.runtime_title} | " + " | ".join(speeds) + " |")
    return "\n".join([*lines, "", machine(results)]) + "\n"


def by_workload(results: Benchmark) -> dict[str, list[BenchmarkRow]]:
    """Return the rows by title of their batch size and length."""
    found: dict[str, list[BenchmarkRow]] = {}
    for row in results.rows:
        length = f"{row.sequence_length} tokens" if row.sequence_length else f"texts of {results.texts}"
        found.setdefault(f"{row.batch_size} x {length}", []).append(row)
    return found


def machine(results: Benchmark) -> str:
    """Return the processor, threads, load and versions in one line."""
    threads = f", threads: {results.threads}" if results.device == "cpu" else ""
    busy = f", load {results.load:.1f} before the start" if results.load >= BUSY else ""
    if any(row.busy for row in results.rows):
        busy += f"; {BUSY_NOTE}"
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items() if name != "python")
    return f"{results.processor}{threads}{busy}; {versions}"


def report_rows(results: Benchmark) -> list[Latency]:
    """Return the rows of the report: the compressed model in each runtime, compared with the baseline in PyTorch fp32."""
    found = []
    for before, *others in by_workload(results).values():
        found += [_latency(results, before, row) for row in others if row.entry.name != before.entry.name]
    return found


def merged(before: list[Latency], new: list[Latency]) -> list[Latency]:
    """Return the rows of a report with new ones, which replace those measured in the same way."""
    return list({_key(row): row for row in [*before, *new]}.values())


def _key(row: Latency) -> tuple:
    return (row.runtime, row.precision, row.device, row.processor, row.threads, row.batch_size, row.sequence_length)


def _latency(results: Benchmark, before: BenchmarkRow, row: BenchmarkRow) -> Latency:
    if row.sequence_length is None:
        raise ValueError("A report has no row for texts of several lengths.")
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
        busy=row.busy,
        cpu_speedup=row.cpu_speedup,
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
        row.entry.runtime_title,
        milliseconds(row.median_ms),
        milliseconds(row.p95_ms),
        f"{row.texts_per_s:,.0f}",
        speedup(row) or "-",
        _show(row.ideal_speedup, "{:.2f}x".format),
    )


def _size_cells(size: Size) -> tuple[str, ...]:
    memory = size.memory and f"{size.memory.peak / 1e6:,.0f} ({size.memory.runtime / 1e6:,.0f})"
    return (
        size.entry.name,
        size.entry.runtime_title,
        _show(size.parameters, "{:,}".format),
        _show(size.bytes, lambda value: f"{value / 1e6:,.1f}"),
        memory or "-",
    )


def milliseconds(value: float) -> str:
    """Return a time with at least three significant digits."""
    return f"{value:,.{2 if value < 10 else 1 if value < 1000 else 0}f}"


def _show(value: T | None, form: Callable[[T], str]) -> str:
    return "-" if value is None else form(value)
