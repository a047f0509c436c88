"""Growth: what a running process holds over time, and whether it comes to hold more and more.

Memory, file handles and threads are sampled, and a line is fitted to the second half, when everything that is loaded
once is loaded. Neighbouring samples resemble each other, so that the interval of a fit through all of them would be too
narrow: it is fitted to the means of a few long blocks.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import psutil
from scipy import stats

BLOCKS = 12  # of the second half
HOUR_S = 3600.0
MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """What was held at one moment.

    Attributes:
        seconds: since the watch began.
        memory_mib: resident, 2^20 bytes each.
        handles: open files, sockets and pipes.
        threads: that are alive.
    """

    seconds: float
    memory_mib: float
    handles: int
    threads: int


QUANTITIES = tuple(field.name for field in fields(Sample))[1:]
UNITS = {"memory_mib": "MiB", "handles": "handles", "threads": "threads"}
# What may be gained in an hour, and is still not called growth: a day of it would not end a process on a small machine.
BOUNDS = {"memory_mib": 30.0, "handles": 6.0, "threads": 6.0}


@dataclass(frozen=True)
class Growth:
    """One quantity of one process.

    Attributes:
        start: the first sample.
        end: the last sample.
        most: the largest sample.
        per_hour: slope over the second half.
        low: lower end of its 95 % interval.
        high: upper end of its 95 % interval.
        bound: what it may be, per hour.
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
        """In words; only `GROWS` fails: more than the bound, and more than the noise."""
        if self.low <= 0 <= self.high:
            return "steady" if self.high <= self.bound else "below the noise"
        if self.high < 0:
            return "falls"
        return "below the bound" if self.per_hour <= self.bound else "GROWS"


def hold(process: psutil.Process, began: float) -> Sample:
    """What a process holds now; raises `psutil.NoSuchProcess` when it is gone."""
    with process.oneshot():
        memory_mib = process.memory_info().rss / MIB
        return Sample(time.monotonic() - began, memory_mib, process.num_fds(), process.num_threads())


def watch(
    process_id: int, *, seconds: float, every: float, each: Callable[[Sample], None] = lambda _: None
) -> list[Sample]:
    """Sample a process until the time is over or it ends.

    Args:
        process_id: of the process.
        seconds: for how long.
        every: seconds between two samples.
        each: called with each sample as it is taken.
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
    """Slope and both ends of its 95 % interval, by least squares through the means of blocks of neighbours.

    Args:
        times: when, [n].
        values: what was seen then, [n].

    Raises:
        ValueError: there are not two samples for each of four blocks.
    """
    blocks = min(BLOCKS, len(times) // 2)
    if blocks < 4:
        raise ValueError(f"{len(times)} samples in the second half are too few for a slope: watch for longer.")
    means = [[part.mean() for part in np.array_split(column, blocks)] for column in (times, values)]
    if np.ptp(means[1]) == 0:  # of which scipy says that its error is not a number
        return 0.0, 0.0, 0.0
    fit = stats.linregress(*means)
    reach = stats.t.ppf(0.975, blocks - 2) * fit.stderr
    return fit.slope, fit.slope - reach, fit.slope + reach


def growth(samples: Sequence[Sample], bounds: dict[str, float] = BOUNDS) -> dict[str, Growth]:
    """How each quantity went on, by its name; raises as :func:`slope` does."""
    table = np.array([astuple(sample) for sample in samples], dtype=float).reshape(len(samples), -1)
    later = table[len(table) // 2 :]
    found = {}
    for column, name in enumerate(QUANTITIES, start=1):
        whole = table[:, column]
        line = [HOUR_S * value for value in slope(later[:, 0], later[:, column])]
        found[name] = Growth(whole[0], whole[-1], whole.max(), *line, bounds[name])
    return found
