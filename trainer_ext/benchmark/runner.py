"""Benchmark: models and exported files timed side by side, with what they need of disk and memory.

Benchmark rows: how long each participant takes over one workload, all of them in turn, a few calls each.

A busy moment then meets all of them. Before it is timed each answers uncounted for a while: every runtime has threads of its
own, which go on waiting for work at full speed after a call and take a processor from the next one. Measured: a small
BERT in PyTorch at 1 x 64 tokens took 7.5 ms right after a call of ONNX Runtime or OpenVINO, and 2.6 ms after a tenth of a
second, which made int8 look 2.5 times faster than it is. And its own weights are then where a server would find them.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from .._version import __version__
from ..errors import InputError
from ..models.loading import load_model
from ..models.runtimes import Batch
from ..report.io import utc_now
from .latency import accelerator_name, processor_name, timed
from .memory import Memory, fresh_memory
from .size import count_parameters, forward_flops, weight_bytes
from .targets import PRECISIONS, TORCH, WAY_OUT, Entry, Participant, list_entries, open_entry, weight_files
from .workloads import Workload, fixed_workloads, read_texts, reader_of, text_workloads

IN_A_ROW = 5  # timed calls of one participant before it is the next one's turn
WARMUP = IN_A_ROW
REST_SECONDS = 0.1  # until the threads of another runtime sleep


@dataclass(frozen=True)
class BenchmarkRow:
    """One participant at one batch size and length.

    ``sequence_length`` is None where texts of a file were read, ``mean_length`` that of the padded batches;
    ``speedup`` is the ratio of ``texts_per_s`` to the first participant's (of medians where all batches are alike),
    ``ideal_speedup`` that of the floating-point operations.
    """

    entry: Entry
    batch_size: int
    sequence_length: int | None
    mean_length: float
    median_ms: float
    p95_ms: float
    texts_per_s: float
    speedup: float
    ideal_speedup: float | None
    runs: int


def time_workload(
    workload: Workload,
    found: list[Participant],
    flops: dict[str, Callable[[int], int]],
    repeats: int,
    device: torch.device,
    on_step: Callable[[], None],
) -> list[BenchmarkRow]:
    """Time everyone on one workload; who answers has answered the same batch just before, uncounted.

    Args:
        workload: batches for each participant.
        found: the participants; the first is the one that the others are compared with.
        flops: operations of one text by its length, for each source whose model is known.
        repeats: timed calls of each.
        device: where PyTorch models run.
        on_step: called `WARMUP + repeats` times.
    """
    times: dict[Entry, list[float]] = {one.entry: [] for one in found}
    for start in range(-WARMUP, repeats, IN_A_ROW):
        for one in found if start // IN_A_ROW % 2 == 0 else reversed(found):
            batches = workload.batches[one.entry]
            chosen = [batches[index % len(batches)] for index in range(start, min(start + IN_A_ROW, repeats))]
            _rest(one, chosen[0])
            measured = [timed(partial(one.run, batch), device) for batch in chosen]
            if start >= 0:
                times[one.entry] += measured
        for _ in chosen:
            on_step()
    rows, first = [], found[0].entry
    speed = {entry: _texts_per_s(workload, values) for entry, values in times.items()}
    work = {entry: _operations(workload.batches[entry], flops.get(entry.source)) for entry in times}
    for entry, values in times.items():
        rows.append(
            BenchmarkRow(
                entry=entry,
                batch_size=workload.batch_size,
                sequence_length=workload.sequence_length,
                mean_length=float(np.mean([batch["input_ids"].shape[1] for batch in workload.batches[entry]])),
                median_ms=float(np.median(values)),
                p95_ms=float(np.percentile(values, 95)),
                texts_per_s=speed[entry],
                speedup=speed[entry] / speed[first],
                ideal_speedup=work[first] / work[entry] if work[first] and work[entry] else None,
                runs=len(values),
            )
        )
    return rows


def _rest(one: Participant, batch: Batch) -> None:
    """Answer uncounted, once at least, until the threads of the participant before sleep."""
    rested = time.perf_counter() + REST_SECONDS
    one.run(batch)
    while time.perf_counter() < rested:
        one.run(batch)


def _texts_per_s(workload: Workload, milliseconds: list[float]) -> float:
    """At the median where all batches are alike; else of the whole, since short and long texts are not."""
    typical = np.median(milliseconds) if workload.sequence_length else np.mean(milliseconds)
    return float(1000 * workload.batch_size / typical)


def _operations(batches: list[Batch], flops: Callable[[int], int] | None) -> int:
    """Of all batches, padding included; 0 where the model is not known."""
    shapes = [batch["input_ids"].shape for batch in batches] if flops else []
    return sum(rows * flops(length) for rows, length in shapes)


BUSY = 0.5  # programs that run or wait to, from which on times are doubtful


@dataclass(frozen=True)
class Size:
    """What one participant needs: bytes of its weights on disk, and of memory in a process of its own."""

    entry: Entry
    parameters: int | None
    bytes: int | None
    memory: Memory | None


@dataclass(frozen=True)
class Benchmark:
    """What was measured and on what; the first participant is the one compared with.

    ``load`` is how many programs ran or waited to in the minute before the start, ``texts`` the name of the file that
    was read.
    """

    created: str
    command: str | None
    versions: dict[str, str]
    device: str
    processor: str
    threads: int
    load: float
    texts: str | None
    sizes: list[Size]
    rows: list[BenchmarkRow]


def benchmark(
    paths: Sequence[str],
    *,
    shapes: Sequence[tuple[int, int | None]],
    texts: Path | None = None,
    text_column: str = "text",
    precisions: Sequence[str] = ("fp32",),
    device: str = "cpu",
    repeats: int,
    threads: int | None = None,
    memory: bool = True,
    command: str | None = None,
    console: Console,
) -> Benchmark:
    """Time models interleaved.

    CUDA was written by its documentation and never run.

    Args:
        paths: see `participants.list_entries`.
        shapes: texts per call and tokens per text; None takes 64 tokens, or the most that all models read.
        texts: a file whose texts are read instead, each model by its own tokenizer (not timed), the same texts for
            all, a batch padded to its longest.
        text_column: the column of texts, if that is a table.
        precisions: what PyTorch models compute in.
        device: `cpu` or `cuda`.
        repeats: timed calls of each participant, at least 3.
        threads: processor threads of every runtime; None takes what torch took.
        memory: whether each is also loaded in a process of its own, and that one's peak memory reported.
        command: the command line, as it may be published.
        console: where progress goes.

    Raises:
        InputError: no model there, a number out of range, or nothing to read.
    """
    load = os.getloadavg()[0]
    _check(shapes, texts, repeats, threads, device)
    entries = list_entries(paths, precisions=precisions, device=device)
    lines = read_texts(texts, column=text_column) if texts else []
    threads = threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    place = {"threads": threads, "device": device}
    with console.status("opening"):
        found = [open_entry(entry, **place) for entry in entries]
        readers = {entry: reader_of(entry) for entry in entries}
        if texts:
            workloads = text_workloads(readers, [size for size, _ in shapes], lines, count=repeats)
        else:
            workloads = fixed_workloads(readers, shapes)
        models = _models(found)
    if load >= BUSY:
        note = (
            f"This machine is not idle (load {load:.1f} on {os.cpu_count()} cores): times are longer and less certain."
        )
        console.print(Text(note, style="yellow"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        memories = {}
        for entry in progress.track(entries, description="memory") if memory else ():
            shape = max((workload.largest(entry) for workload in workloads), key=math.prod)
            memories[entry] = fresh_memory(entry, shape=shape, vocabulary=readers[entry].vocabulary, **place)
        flops = {source: cache(partial(forward_flops, model, 1)) for source, model in models.items()}
        rows = []
        for workload in workloads:
            bar = progress.add_task(workload.title, total=WARMUP + repeats)
            rows += time_workload(
                workload, found, flops, repeats, torch.device(device), lambda bar=bar: progress.advance(bar)
            )
    return Benchmark(
        created=utc_now(),
        command=command,
        versions=_versions(entries),
        device=device,
        processor=processor_name() if device == "cpu" else accelerator_name(torch.device(device)),
        threads=threads,
        load=load,
        texts=texts.name if texts else None,
        sizes=[
            Size(
                entry,
                count_parameters(models[entry.source]).total if entry.source in models else None,
                _bytes(entry, readers[entry].folder),
                memories.get(entry),
            )
            for entry in entries
        ],
        rows=rows,
    )


def _check(shapes, texts, repeats, threads, device) -> None:
    lengths = [length for _, length in shapes if length is not None]
    for name, value, least in (
        ("--batch-size", min(size for size, _ in shapes), 1),
        ("--sequence-length", min(lengths, default=1), 1),
        ("--repeats", repeats, 3),
        ("--threads", threads if threads is not None else 1, 1),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}.")
    if texts and lengths:
        raise InputError("--sequence-length and --texts both say how long texts are; leave one out.")
    if device not in PRECISIONS:
        raise InputError(f"--device {device}: choose one of {', '.join(PRECISIONS)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; leave it out to time on the processor.")


def _models(found: list[Participant]) -> dict[str, torch.nn.Module]:
    """The PyTorch model of each source, for its operations: those that take part, and those that only their exports do."""
    models = {one.entry.source: one.model for one in reversed(found) if one.model is not None}
    for source in {one.entry.source for one in found if one.entry.source != one.entry.path} - models.keys():
        models[source] = load_model(source, option="The model", way_out=WAY_OUT).eval()
    return models


def _bytes(entry: Entry, folder: Path) -> int | None:
    """Size of the weights on disk; None for a model that is stored otherwise than we do."""
    if entry.runtime != TORCH:
        return sum(file.stat().st_size for file in weight_files(entry))
    try:
        return weight_bytes(folder)
    except ValueError:
        return None


def _versions(entries: list[Entry]) -> dict[str, str]:
    names = dict.fromkeys(["torch", "transformers", *(entry.runtime for entry in entries)])
    return {"python": platform.python_version(), "trainer_ext": __version__, **{name: version(name) for name in names}}
