"""Benchmark: models and exported files timed side by side, with what they need of disk and memory."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ._version import __version__
from .benchmark_rows import WARMUP, Row, time_workload
from .errors import InputError
from .fresh_memory import Memory, fresh_memory
from .latency import accelerator_name, processor_name
from .measure import count_parameters, forward_flops, weight_bytes
from .opening import open_classifier
from .participants import PRECISIONS, TORCH, WAY_OUT, Entry, Participant, list_entries, open_entry, weight_files
from .report import utc_now
from .workloads import fixed_workloads, read_texts, reader_of, text_workloads

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
    rows: list[Row]


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
        models[source] = open_classifier(source, option="The model", way_out=WAY_OUT).eval()
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
