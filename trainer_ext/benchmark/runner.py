"""Time models and exported files side by side, with the disk space and memory that they need.

The targets take turns, a few calls each, so that all meet the same conditions. Before its timed calls, each target runs
untimed for a tenth of a second: after a call, the threads of a runtime keep waiting for work at full speed and take CPU
time from the next one. Measured with a small BERT in PyTorch at 1 x 64 tokens: 7.5 ms right after a call of ONNX Runtime
or OpenVINO, 2.6 ms after a tenth of a second. It also brings the weights of the target into the caches, as on a server.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import nn

from .._version import __version__
from ..errors import InputError
from ..models.loading import load_model
from ..models.runtimes import Batch
from ..report.io import utc_now
from ..utils.progress import progress_bar
from .busy import Watch, undisturbed
from .latency import accelerator_name, processor_name, timed
from .memory import Memory, fresh_memory
from .size import count_parameters, forward_flops, weight_bytes
from .targets import HINT, PRECISIONS, TORCH, BenchmarkEntry, BenchmarkTarget, list_entries, open_entry, weight_files
from .workloads import InputLimits, Workload, fixed_workloads, input_limits, read_texts, text_workloads

IN_A_ROW = 5  # timed calls of one target per turn
WARMUP = IN_A_ROW
REST_SECONDS = 0.1  # untimed calls before each turn, until the threads of the other runtimes sleep
BUSY = 0.5  # load average from which a warning is shown


@dataclass(frozen=True)
class BenchmarkRow:
    """The times of one target at one batch size and length.

    Attributes:
        entry: what was timed.
        batch_size: texts per call.
        sequence_length: tokens per text; None for texts of a file.
        mean_length: mean length of the padded batches, in tokens.
        median_ms: median time of a call.
        p95_ms: 95th percentile.
        texts_per_s: at the median time if all batches are alike, else over all batches.
        speedup: `texts_per_s` relative to the first target.
        ideal_speedup: ratio of the floating-point operations; None if unknown.
        runs: number of timed calls.
        busy: whether other work disturbed the timing, also when it was repeated; None on a device other than the CPU.
        cpu_speedup: of a disturbed timing, the ratio of the CPU times to that of the first target.
    """

    entry: BenchmarkEntry
    batch_size: int
    sequence_length: int | None
    mean_length: float
    median_ms: float
    p95_ms: float
    texts_per_s: float
    speedup: float
    ideal_speedup: float | None
    runs: int
    busy: bool | None = None
    cpu_speedup: float | None = None


@dataclass(frozen=True)
class Size:
    """The size of one target: bytes of its weights on disk, and the peak memory of a process that runs it."""

    entry: BenchmarkEntry
    parameters: int | None
    bytes: int | None
    memory: Memory | None


@dataclass(frozen=True)
class Benchmark:
    """The result of a benchmark; all rows are compared with the first target.

    Attributes:
        created: ISO 8601.
        command: the command line, without private values.
        versions: of Python and packages, by name.
        device: `cpu` or `cuda`.
        processor: name of the CPU or accelerator.
        threads: CPU threads of every runtime.
        load: load average of the minute before the start.
        texts: name of the file whose texts were used; None for random tokens.
        sizes: of every target.
        rows: of every target at every batch size and length.
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
    """Time models and exported files; they take turns.

    Args:
        paths: see `targets.list_entries`.
        shapes: texts per call and tokens per text; None for 64 tokens, or for fewer if a model reads fewer.
        texts: a file to read texts from instead of random tokens. All models read the same texts, each with its own
            tokenizer (not timed); a batch is padded to its longest text.
        text_column: the column of texts, if the file is a table.
        precisions: of PyTorch models.
        device: `cpu` or `cuda`.
        repeats: timed calls of each target, at least 3.
        threads: CPU threads of every runtime; None for the current setting of torch.
        memory: whether to measure the peak memory too, in a new process per target.
        command: the command line, as it may be published.
        console: for progress.

    Raises:
        InputError: A path is not a model, a number is out of range, or there are no texts.
    """
    load = os.getloadavg()[0]
    _check(shapes, texts, repeats, threads, device)
    entries = list_entries(paths, precisions=precisions, device=device)
    lines = read_texts(texts, column=text_column) if texts else []
    threads = threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    with console.status("opening"):
        targets = [open_entry(entry, threads=threads, device=device) for entry in entries]
        limits = {entry: input_limits(entry) for entry in entries}
        if texts:
            workloads = text_workloads(limits, [size for size, _ in shapes], lines, count=repeats)
        else:
            workloads = fixed_workloads(limits, shapes)
        models = _models(targets)
    if load >= BUSY:
        note = (
            f"This machine is not idle (load {load:.1f} on {os.cpu_count()} cores): times are longer and less certain."
        )
        console.print(Text(note, style="yellow"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns, console=console) as progress:
        memories = {}
        for entry in progress.track(entries, description="memory") if memory else ():
            shape = max((workload.largest(entry) for workload in workloads), key=math.prod)
            vocabulary = limits[entry].vocabulary
            memories[entry] = fresh_memory(entry, shape=shape, vocabulary=vocabulary, threads=threads, device=device)
        flops = {source: cache(partial(forward_flops, model, 1)) for source, model in models.items()}
        rows = []
        for workload in workloads:
            bar = progress.add_task(workload.title, total=WARMUP + repeats)
            rows += time_workload(
                workload, targets, flops, repeats, torch.device(device), partial(progress.advance, bar)
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
                _bytes_on_disk(entry, limits[entry]),
                memories.get(entry),
            )
            for entry in entries
        ],
        rows=rows,
    )


def _check(
    shapes: Sequence[tuple[int, int | None]], texts: Path | None, repeats: int, threads: int | None, device: str
) -> None:
    lengths = [length for _, length in shapes if length is not None]
    for name, value, least in (
        ("--batch-size", min(size for size, _ in shapes), 1),
        ("--sequence-length", min(lengths, default=1), 1),
        ("--repeats", repeats, 3),
        ("--threads", threads if threads is not None else 1, 1),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}.")
    if threads is not None and threads > (most := os.cpu_count() or threads):
        raise InputError(f"--threads {threads}: this machine has {most}; give at most that many.")
    if texts and lengths:
        raise InputError("--sequence-length and --texts both say how long texts are; leave one out.")
    if device not in PRECISIONS:
        raise InputError(f"--device {device}: choose one of {', '.join(PRECISIONS)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; leave it out to time on the CPU.")


def _models(targets: Sequence[BenchmarkTarget]) -> dict[str, nn.Module]:
    """Return the PyTorch model of each source, to count its operations, even if only its exports are timed."""
    models = {target.entry.source: target.model for target in reversed(targets) if target.model is not None}
    for source in {one.entry.source for one in targets if one.entry.source != one.entry.path} - models.keys():
        models[source] = load_model(source, option="The model", way_out=HINT).eval()
    return models


def _bytes_on_disk(entry: BenchmarkEntry, limits: InputLimits) -> int | None:
    """Return the size of the weights; None if the model has no safetensors files."""
    if entry.runtime != TORCH:
        return sum(file.stat().st_size for file in weight_files(entry))
    try:
        return weight_bytes(limits.folder)
    except ValueError:
        return None


def _versions(entries: Sequence[BenchmarkEntry]) -> dict[str, str]:
    names = dict.fromkeys(["torch", "transformers", *(entry.runtime for entry in entries)])
    return {"python": platform.python_version(), "trainer_ext": __version__, **{name: version(name) for name in names}}


def time_workload(
    workload: Workload,
    targets: Sequence[BenchmarkTarget],
    flops: Mapping[str, Callable[[int], int]],
    repeats: int,
    device: torch.device,
    on_step: Callable[[], object],
) -> list[BenchmarkRow]:
    """Time all targets on one workload; on the CPU once more if other work disturbs them.

    Args:
        workload: batches for each target.
        targets: the first is the one that the others are compared with.
        flops: floating-point operations of one text by its length, for each source whose model is known.
        repeats: timed calls of each target.
        device: of PyTorch models.
        on_step: called `WARMUP + repeats` times.
    """
    on_cpu = device.type == "cpu"
    (times, watch) = undisturbed(
        lambda watch, again: _times(workload, targets, repeats, device, watch, (lambda: None) if again else on_step),
        patient=on_cpu,
    )
    busy = watch.is_busy if on_cpu else None
    first = targets[0].entry
    speed = {entry: _texts_per_s(workload, values) for entry, values in times.items()}
    work = {entry: _operations(workload.batches[entry], flops.get(entry.source)) for entry in times}
    return [
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
            busy=busy,
            cpu_speedup=watch.cpu_speedup(first, entry) if busy else None,
        )
        for entry, values in times.items()
    ]


def _times(
    workload: Workload,
    targets: Sequence[BenchmarkTarget],
    repeats: int,
    device: torch.device,
    watch: Watch,
    on_step: Callable[[], object],
) -> dict[BenchmarkEntry, list[float]]:
    """Return the milliseconds of the timed calls of each target; the arguments are those of `time_workload`."""
    times: dict[BenchmarkEntry, list[float]] = {target.entry: [] for target in targets}
    for start in range(-WARMUP, repeats, IN_A_ROW):
        indices = range(start, min(start + IN_A_ROW, repeats))
        for target in targets if start // IN_A_ROW % 2 == 0 else reversed(targets):
            batches = workload.batches[target.entry]
            chosen = [batches[index % len(batches)] for index in indices]
            _run_untimed(target, chosen[0])
            calls = [partial(timed, partial(target.run, batch), device) for batch in chosen]
            if start < 0:
                for call in calls:
                    call()
                continue
            with watch.watching():
                times[target.entry] += [watch.timed(target.entry, call) for call in calls]
        for _ in indices:
            on_step()
    return times


def _run_untimed(target: BenchmarkTarget, batch: Batch) -> None:
    """Run at least once, until the threads of the previous target sleep."""
    end = time.perf_counter() + REST_SECONDS
    target.run(batch)
    while time.perf_counter() < end:
        target.run(batch)


def _texts_per_s(workload: Workload, milliseconds: Sequence[float]) -> float:
    """Return texts per second at the median if all batches are alike, else over all batches, which differ in length."""
    typical = np.median(milliseconds) if workload.sequence_length else np.mean(milliseconds)
    return float(1000 * workload.batch_size / typical)


def _operations(batches: Sequence[Batch], flops: Callable[[int], int] | None) -> int:
    """Return the floating-point operations of all batches, with padding; 0 if the model is unknown."""
    if flops is None:
        return 0
    return sum(rows * flops(length) for rows, length in (batch["input_ids"].shape for batch in batches))
