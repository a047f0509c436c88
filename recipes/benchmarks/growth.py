"""Measure whether the memory, file handles or threads of a process grow over time.

A line is fitted to the second half of the samples, when everything is loaded. Neighbouring samples are correlated, so the
line is fitted to the means of a few long blocks; through all samples its interval would be too narrow.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import psutil
from scipy import stats

BLOCKS = 12  # in the second half
HOUR_S = 3600.0
MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """The state of a process at one moment.

    Attributes:
        seconds: Seconds since the first sample.
        memory_mib: Resident memory in units of 2^20 bytes.
        handles: Number of open files, sockets and pipes.
        threads: Number of threads.
    """

    seconds: float
    memory_mib: float
    handles: int
    threads: int


QUANTITIES = tuple(field.name for field in fields(Sample))[1:]
UNITS = {"memory_mib": "MiB", "handles": "handles", "threads": "threads"}
# Growth per hour that is accepted: after a day of it, a process on a small machine would still run.
BOUNDS = {"memory_mib": 30.0, "handles": 6.0, "threads": 6.0}


@dataclass(frozen=True)
class Growth:
    """The growth of one quantity of a process.

    Attributes:
        start: The first sample.
        end: The last sample.
        most: The largest sample.
        per_hour: Slope over the second half.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        bound: The largest accepted slope per hour.
    """

    start: float
    end: float
    most: float
    per_hour: float
    low: float
    high: float
    bound: float

    @property
    def verdict(self) -> str:
        """The result in words; only `GROWS`, more than the bound and more than noise, is a failure."""
        if self.low <= 0 <= self.high:
            return "steady" if self.high <= self.bound else "below the noise"
        if self.high < 0:
            return "falls"
        return "below the bound" if self.per_hour <= self.bound else "GROWS"


def hold(process: psutil.Process, began: float) -> Sample:
    """Take a sample of a process; raises `psutil.NoSuchProcess` if it has ended."""
    with process.oneshot():
        memory_mib = process.memory_info().rss / MIB
        return Sample(time.monotonic() - began, memory_mib, process.num_fds(), process.num_threads())


def watch(
    process_id: int, *, seconds: float, every: float, each: Callable[[Sample], None] = lambda _: None
) -> list[Sample]:
    """Sample a process until the time is over or it ends.

    Args:
        process_id: Id of the process.
        seconds: Duration.
        every: Seconds between two samples.
        each: Called with each new sample.
    """
    samples, began = [], time.monotonic()
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        process = psutil.Process(process_id)
        while time.monotonic() - began < seconds and process.status() != psutil.STATUS_ZOMBIE:
            samples.append(hold(process, began))
            each(samples[-1])
            time.sleep(every)
    return samples


def slope(times: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Return the slope and both ends of its 95 % interval, by least squares through the means of blocks.

    Args:
        times: Times of the samples, [n].
        values: Values of the samples, [n].

    Raises:
        ValueError: There are fewer than eight samples.
    """
    blocks = min(BLOCKS, len(times) // 2)
    if blocks < 4:
        raise ValueError(f"{len(times)} samples in the second half are too few for a slope; measure for longer.")
    means = [[part.mean() for part in np.array_split(column, blocks)] for column in (times, values)]
    if np.ptp(means[1]) == 0:  # scipy would return NaN as its error
        return 0.0, 0.0, 0.0
    fit = stats.linregress(*means)
    reach = stats.t.ppf(0.975, blocks - 2) * fit.stderr
    return fit.slope, fit.slope - reach, fit.slope + reach


def growth(samples: Sequence[Sample], bounds: dict[str, float] = BOUNDS) -> dict[str, Growth]:
    """Return the growth of each quantity by its name; raises as :func:`slope` does."""
    table = np.array([astuple(sample) for sample in samples], dtype=float).reshape(len(samples), -1)
    later = table[len(table) // 2 :]
    found = {}
    for column, name in enumerate(QUANTITIES, start=1):
        whole = table[:, column]
        line = [HOUR_S * value for value in slope(later[:, 0], later[:, column])]
        found[name] = Growth(whole[0], whole[-1], whole.max(), *line, bounds[name])
    return found
