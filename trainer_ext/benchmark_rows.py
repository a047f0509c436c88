"""Benchmark rows: how long each participant takes over one workload, all of them in turn.

A busy moment then meets all of them. Each answers once uncounted before it is timed: the threads of the one before have
come to rest by then, and its own weights are where a server would find them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from .latency import take_turns, timed
from .participants import Entry, Participant
from .runtimes import Batch
from .workloads import Workload

WARMUP = 5


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
    """Time everyone on one workload; who answers has answered the same batch once just before, uncounted.

    Args:
        workload: batches for each participant.
        found: the participants; the first is the one that the others are compared with.
        flops: operations of one text by its length, for each source whose model is known.
        repeats: timed calls of each.
        device: where PyTorch models run.
        on_step: called `WARMUP + repeats` times.
    """

    def call(one: Participant, index: int) -> float:
        batches = workload.batches[one.entry]
        batch = batches[index % len(batches)]
        one.run(batch)
        return timed(lambda: one.run(batch), device)

    calls = {one.entry: partial(call, one) for one in found}
    times = take_turns(calls, repeats=repeats, warmup=WARMUP, on_step=on_step)
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


def _texts_per_s(workload: Workload, milliseconds: list[float]) -> float:
    """At the median where all batches are alike; else of the whole, since short and long texts are not."""
    typical = np.median(milliseconds) if workload.sequence_length else np.mean(milliseconds)
    return float(1000 * workload.batch_size / typical)


def _operations(batches: list[Batch], flops: Callable[[int], int] | None) -> int:
    """Of all batches, padding included; 0 where the model is not known."""
    shapes = [batch["input_ids"].shape for batch in batches] if flops else []
    return sum(rows * flops(length) for rows, length in shapes)
