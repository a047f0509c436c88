"""Benchmark rows: how long each participant takes over one workload, all of them in turn, a few calls each.

A busy moment then meets all of them. Before it is timed each answers uncounted for a while: every runtime has threads of its
own, which go on waiting for work at full speed after a call and take a processor from the next one. Measured: a small
BERT in PyTorch at 1 x 64 tokens took 7.5 ms right after a call of ONNX Runtime or OpenVINO, and 2.6 ms after a tenth of a
second, which made int8 look 2.5 times faster than it is. And its own weights are then where a server would find them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from .latency import timed
from .participants import Entry, Participant
from .runtimes import Batch
from .workloads import Workload

IN_A_ROW = 5  # timed calls of one participant before it is the next one's turn
WARMUP = IN_A_ROW
REST_SECONDS = 0.1  # until the threads of another runtime sleep


@dataclass(frozen=True)
class Row:
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
) -> list[Row]:
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
            Row(
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
