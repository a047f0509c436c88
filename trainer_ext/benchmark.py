"""Benchmark: several models timed side by side, with their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from .errors import InputError
from .latency import LatencyStats, measure_latency, processor_name
from .measure import count_parameters
from .opening import open_classifier
from .run_directory import RunDirectory

WARMUP = 5
USUAL_LENGTH = 64


@dataclass(frozen=True)
class Benchmark:
    """Parameters per model, and statistics per batch size and model; the first model is the one compared with."""

    parameters: dict[str, int]
    latency: dict[int, dict[str, LatencyStats]]
    sequence_length: int
    threads: int


def benchmark(
    paths: Sequence[str],
    *,
    batch_sizes: Sequence[int],
    sequence_length: int | None = None,
    repeats: int,
    threads: int | None = None,
    console: Console,
) -> Benchmark:
    """Time models interleaved.

    Args:
        paths: runs (each stands for its two models), or models by folder or Hub id.
        batch_sizes: texts per call.
        sequence_length: tokens per text; None takes 64, or the most that all models read.
        repeats: timed calls of each model, at least 3.
        threads: processor threads; None leaves what torch took.
        console: where progress goes.

    Raises:
        InputError: no model there, or a number out of range.
    """
    for name, value, least in (
        ("--batch-size", min(batch_sizes), 1),
        ("--sequence-length", sequence_length if sequence_length is not None else 1, 1),
        ("--repeats", repeats, 3),
        ("--threads", threads if threads is not None else 1, 1),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}.")
    models = {name: model for path in paths for name, model in _open(path).items()}
    longest = min(getattr(model.config, "max_position_embeddings", USUAL_LENGTH) for model in models.values())
    if sequence_length is None:
        sequence_length = min(USUAL_LENGTH, longest)
    if sequence_length > longest:
        raise InputError(
            f"--sequence-length is {sequence_length}, but one of the models reads at most {longest} tokens."
        )
    if threads is not None:
        torch.set_num_threads(threads)
    latency = {}
    with Progress(console=console) as progress:
        for batch_size in batch_sizes:
            task = progress.add_task(f"batch {batch_size}", total=WARMUP + repeats)
            latency[batch_size] = measure_latency(
                models,
                batch_size=batch_size,
                sequence_length=sequence_length,
                repeats=repeats,
                warmup=WARMUP,
                on_step=lambda task=task: progress.advance(task),
            )
    sizes = {name: count_parameters(model).total for name, model in models.items()}
    return Benchmark(sizes, latency, sequence_length, torch.get_num_threads())


def table(results: Benchmark) -> Table:
    """One row per batch size and model; the speed-up is against the first model at the same batch size."""
    caption = f"{processor_name()}, {results.threads} threads, {results.sequence_length} tokens, torch"
    view = Table(
        title=Text("Latency of a forward pass"), title_justify="left", caption=Text(caption), caption_justify="left"
    )
    view.add_column("batch", justify="right")
    view.add_column("model", overflow="fold")
    for heading in ("parameters", "median ms", "p95 ms", "texts/s", "speed-up"):
        view.add_column(heading, justify="right")
    for batch_size, stats in results.latency.items():
        view.add_section()
        first = next(iter(stats.values()))
        for name, row in stats.items():
            view.add_row(
                str(batch_size),
                Text(name),
                f"{results.parameters[name]:,}",
                f"{row.median_ms:.1f}",
                f"{row.p95_ms:.1f}",
                f"{row.throughput_per_s:,.0f}",
                f"{first.median_ms / row.median_ms:.2f}x",
            )
    return view


def _open(path: str) -> dict[str, torch.nn.Module]:
    run = RunDirectory(Path(path).expanduser())
    if run.holds_run:
        if not (run.baseline.is_dir() and run.compressed.is_dir()):
            raise InputError(f"{path} holds an unfinished run; finish it with trainer-ext compress ... --resume.")
        folders = {f"{run.root.name}/baseline": run.baseline, f"{run.root.name}/compressed": run.compressed}
    else:
        folders = {path: path}
    way_out = "name a finished run, the folder of a classifier or a Hub id"
    return {name: open_classifier(f, option="The model", way_out=way_out).eval() for name, f in folders.items()}
