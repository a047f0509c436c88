"""Busy: whether other work disturbed a timing, told by what the calls waited for and not by how busy the machine looks.

A call that computes is on a processor all the time. Where other work wants the same processors, its threads wait in the
run queue, which Linux counts for each thread (`/proc/self/task/*/schedstat`). Where the kernel does not say, the CPU time of
the process says it: a call that got less CPU time than it took wall time waited, since at least one of its threads always
has something to do. The load average says neither: it counts this process too.

Measured on two cores beside five to fifteen other processes, with BERT models of 0.5 to 600 ms: the threads waited for 0.5
to 1.8 of the time of the calls, which got 0.14 to 0.7 of it as CPU time, and a model of a quarter of the width was 1.09 times
as fast by the clock and 1.5 times by CPU time. With a core of its own, a thread waited for 0.00 to 0.01 of the time and got
0.99 to 1.00 of it, and the quartiles of the pairs were 0.02 to 0.07 apart. The limits below lie between.
"""

from __future__ import annotations

import contextlib
import glob
import math
import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

T = TypeVar("T")
MOST_WAITING = 0.1  # seconds in the run queue, of all threads, per second of calls
LEAST_CPU = 0.85  # CPU seconds per second of calls
UNEVEN, SOME_WAITING, NEARLY_ALL_CPU = 0.3, 0.03, 0.95  # where the pairs disagree, less of either is enough
SHORTEST = 0.02  # seconds of calls below which nothing can be said
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 20.0  # seconds before a timing is repeated: as long as it took, within these


@dataclass
class Watch:
    """What the calls of a timing cost. Of several timings, each has a watch of its own.

    Attributes:
        wall: seconds of the timed calls.
        cpu: CPU seconds of this process during them.
        waited: seconds that its threads waited for a processor; None where the kernel does not say.
        cpu_ms: CPU milliseconds of each call, by model.
        wall_ms: its milliseconds.
        load: load average of the minute before.
    """

    wall: float = 0.0
    cpu: float = 0.0
    waited: float | None = 0.0
    cpu_ms: dict[Hashable, list[float]] = field(default_factory=dict)
    wall_ms: dict[Hashable, list[float]] = field(default_factory=dict)
    load: float = field(default_factory=lambda: os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count the time in the run queue during some calls."""
        before = run_queue_seconds()
        yield
        after = run_queue_seconds()
        if before is None or after is None or self.waited is None:
            self.waited = None
        else:
            self.waited += max(0.0, after - before)  # a thread that ended takes its time along

    def timed(self, name: Hashable, call: Callable[[], float]) -> float:
        """Return what a call returns, the milliseconds of a model, and count its CPU time."""
        cpu = time.process_time()
        milliseconds = call()
        cpu = time.process_time() - cpu
        self.wall += milliseconds / 1000
        self.cpu += cpu
        self.cpu_ms.setdefault(name, []).append(1000 * cpu)
        self.wall_ms.setdefault(name, []).append(milliseconds)
        return milliseconds

    @property
    def is_busy(self) -> bool:
        """Whether other work disturbed the calls."""
        return is_busy(self.wall, self.cpu, self.waited, unevenness(list(self.wall_ms.values())))

    @property
    def disturbance(self) -> float:
        """How much they were disturbed, to choose the better of two timings: the waiting, or the CPU time that is missing."""
        if not self.wall:
            return 0.0
        return self.waited / self.wall if self.waited is not None else max(0.0, 1 - self.cpu / self.wall)

    def cpu_speedup(self, before: Hashable, after: Hashable) -> float | None:
        """Return the ratio of the CPU times of two models, which other work changes less than their wall times."""
        one, two = (float(np.median(self.cpu_ms.get(name, [0.0]))) for name in (before, after))
        return one / two if one > 0 and two > 0 else None


def is_busy(wall: float, cpu: float, waited: float | None, uneven: float) -> bool:
    """Return whether other work disturbed a timing.

    Args:
        wall: seconds of the timed calls.
        cpu: CPU seconds of this process during them.
        waited: seconds that its threads waited for a processor; None if unknown.
        uneven: see `unevenness`.
    """
    if wall < SHORTEST:
        return False
    share = cpu / wall
    if share < LEAST_CPU or (waited is not None and waited / wall > MOST_WAITING):
        return True
    some = share < NEARLY_ALL_CPU or (waited is not None and waited / wall > SOME_WAITING)
    return uneven > UNEVEN and some


def unevenness(calls: Sequence[Sequence[float]]) -> float:
    """Return how much the interleaved pairs disagree: the spread of the ratios of the first model's times to another's.

    It is the distance between their quartiles, relative to their median; of several models the median over them. A model
    alone is compared with its own median.

    Args:
        calls: milliseconds of each call, per model, in the order of the rounds.
    """
    if not calls:
        return 0.0
    first, *others = (np.asarray(values, dtype=float) for values in calls)
    ratios = [first[: len(other)] / other[: len(first)] for other in others if len(other)] or [first]
    spreads = []
    for each in ratios:
        low, middle, high = np.percentile(each, [25, 50, 75])
        spreads.append((high - low) / middle if middle > 0 else 0.0)
    return float(np.median(spreads))


def run_queue_seconds() -> float | None:
    """Return how long the threads of this process have waited for a processor so far; None where the kernel does not say."""
    total, found = 0, False
    for file in glob.iglob("/proc/self/task/*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # a thread may end at any time
            with open(file, encoding="ascii") as opened:
                total += int(opened.read().split()[1])
            found = True
    return total / 1e9 if found else None


def pause(seconds: float) -> None:
    """Wait before a timing that was disturbed is repeated.

    Args:
        seconds: how long the timing took.
    """
    time.sleep(min(max(seconds, SHORTEST_PAUSE), LONGEST_PAUSE))


def undisturbed(attempt: Callable[[Watch, bool], T], *, patient: bool = True) -> tuple[T, Watch]:
    """Return a timing, repeated once after a pause if other work disturbed it; of two the less disturbed one.

    Args:
        attempt: times everything, with a watch; it is told whether it is repeated.
        patient: whether to repeat it at all.
    """
    best: tuple[T, Watch] | None = None
    for again in (False, True):
        start, watch = time.perf_counter(), Watch()
        found = attempt(watch, again)
        if best is None or watch.disturbance < best[1].disturbance:
            best = found, watch
        if not watch.is_busy or not patient:
            return found, watch
        if not again:
            pause(time.perf_counter() - start)
    assert best is not None
    return best
