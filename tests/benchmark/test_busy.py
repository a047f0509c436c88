"""Busy machines: the decision on given figures, and two timings on this machine, of which one meets other work."""

import json
import os
import subprocess
import sys

import pytest

from trainer_ext.benchmark import busy
from trainer_ext.benchmark.busy import Watch, is_busy, undisturbed, unevenness

# Wall seconds, CPU seconds, seconds in the run queue, spread of the pairs: as measured, or as the kernel would count them.
QUIET = {
    "one thread": (1.0, 1.0, 0.001, 0.04),
    "one thread, a small model": (0.05, 0.05, 0.001, 0.35),
    "two threads": (1.0, 1.9, 0.004, 0.05),
    "sixteen threads, of which some idle": (1.0, 9.0, 0.06, 0.1),
    "two threads, the kernel does not say": (1.0, 1.7, None, 0.05),
    "threads that sleep between layers": (1.0, 1.02, 0.01, 0.1),
    "too short to say": (0.01, 0.002, 0.005, 2.0),
}
BUSY = {
    "one thread that shares its core": (1.0, 0.5, 0.5, 0.2),
    "two threads on two cores, one of them shared": (1.0, 1.5, 0.45, 0.25),
    "two threads on two shared cores": (1.0, 0.56, 1.3, 0.6),
    "the kernel does not say": (1.0, 0.6, None, 0.1),
    "nice hides the queue, the pairs disagree": (1.0, 0.93, 0.02, 0.5),
    "a virtual machine that loses its processor": (1.0, 0.7, 0.0, 0.2),
}


@pytest.mark.parametrize("figures", QUIET.values(), ids=QUIET)
def test_an_undisturbed_timing_is_not_marked(figures):
    assert not is_busy(*figures)


@pytest.mark.parametrize("figures", BUSY.values(), ids=BUSY)
def test_a_disturbed_timing_is_marked(figures):
    assert is_busy(*figures)


def test_unevenness_is_that_of_the_pairs_and_not_of_the_times():
    both_slower = [[10, 20, 10, 40, 10, 20], [5, 10, 5, 20, 5, 10]]  # a slow moment that meets both models
    assert unevenness(both_slower) == 0
    assert unevenness([[10, 20, 10, 40, 10, 20], [5, 5, 5, 5, 5, 5]]) > 0.5
    assert unevenness([[10, 10, 11, 10]]) < 0.1, "a model alone"
    assert unevenness([]) == 0


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made; none takes time."""
    made = []
    monkeypatch.setattr(busy.time, "sleep", made.append)
    return made


def attempts(*waited):
    """A timing whose attempts wait so long in the run queue, per second of calls."""
    left = iter(waited)

    def attempt(watch, again):
        watch.wall = watch.cpu = 1.0
        watch.waited = next(left)
        return again

    return attempt


def test_a_disturbed_timing_is_repeated_once_after_a_pause(pauses):
    assert undisturbed(attempts(0.0))[0] is False
    assert pauses == []
    repeated, watch = undisturbed(attempts(0.5, 0.0))
    assert (repeated, watch.is_busy, len(pauses)) == (True, False, 1)
    repeated, watch = undisturbed(attempts(0.9, 0.5))
    assert (repeated, watch.is_busy, len(pauses)) == (True, True, 2), "there is no third attempt"
    repeated, watch = undisturbed(attempts(0.5, 0.9))
    assert (repeated, watch.waited) == (False, 0.5), "the less disturbed one counts"
    assert undisturbed(attempts(0.5), patient=False)[0] is False
    assert len(pauses) == 3


def test_a_pause_is_as_long_as_the_timing_within_bounds(pauses):
    for seconds in (0.0, 3.0, 1000.0):
        busy.pause(seconds)
    assert pauses == [busy.SHORTEST_PAUSE, 3.0, busy.LONGEST_PAUSE]


def test_the_ratio_of_cpu_times_is_that_of_the_medians():
    watch = Watch(cpu_ms={"a": [4.0, 6.0, 60.0], "b": [2.0, 3.0, 3.5]})
    assert watch.cpu_speedup("a", "b") == 2.0
    assert watch.cpu_speedup("a", "unknown") is None


def test_the_kernel_counts_what_threads_wait():
    found = busy.run_queue_seconds()
    assert found is None or found >= 0


SPIN = "import os\nos.sched_setaffinity(0, {int(__import__('sys').argv[1])})\nprint(flush=True)\nwhile True: pass"
TIMED = """
import json, os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
from trainer_ext.benchmark.busy import Watch
watch, end = Watch(), time.perf_counter() + 1.0
def call():
    start = time.perf_counter()
    sum(range(200_000))
    return 1000 * (time.perf_counter() - start)
while time.perf_counter() < end:
    with watch.watching():
        for name in "ab":
            watch.timed(name, call)
print(json.dumps([watch.is_busy, watch.disturbance, watch.cpu_speedup("a", "b")]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pins processes to a core")
def test_two_busy_processes_beside_a_timing_mark_it():
    """Whatever else runs here: on one core with two processes that never sleep, a third gets a third of it."""
    core = str(max(os.sched_getaffinity(0)))
    others = [subprocess.Popen([sys.executable, "-c", SPIN, core], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for other in others:
            other.stdout.readline()
        done = subprocess.run([sys.executable, "-c", TIMED, core], capture_output=True, text=True, check=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
            other.stdout.close()
    marked, disturbance, ratio = json.loads(done.stdout)
    assert marked
    assert disturbance > 0.3
    assert 0.8 < ratio < 1.25, "the same work has the same CPU time"
