"""No target is timed while the threads of another runtime are still awake."""

import itertools
import time

import numpy as np
import torch

from trainer_ext.benchmark import runner
from trainer_ext.benchmark.targets import BenchmarkEntry, BenchmarkTarget
from trainer_ext.benchmark.workloads import Workload


def test_a_target_runs_untimed_before_it_is_timed(monkeypatch):
    monkeypatch.setattr(runner, "REST_SECONDS", 0.02)
    calls: list[tuple[str, float]] = []

    def target(name: str) -> BenchmarkTarget:
        entry = BenchmarkEntry(name, name, "torch", "fp32", name)
        return BenchmarkTarget(entry, lambda batch: calls.append((name, time.perf_counter())))

    targets = [target("a"), target("b")]
    batch = {"input_ids": np.zeros((1, 4), dtype=np.int64)}
    workload = Workload(1, 4, {one.entry: [batch] for one in targets})
    steps = []
    rows = runner.time_workload(workload, targets, {}, 7, torch.device("cpu"), lambda: steps.append(1))
    assert [row.runs for row in rows] == [7, 7]
    assert len(steps) == runner.WARMUP + 7
    turns = [list(group) for _, group in itertools.groupby(calls, key=lambda call: call[0])]
    assert (
        len(turns) >= 3
    )  # every other round is in reverse order, so that two turns of one target may follow each other
    for turn in turns:
        assert turn[-1][1] - turn[0][1] >= 0.019


def test_without_untimed_calls_the_first_timed_call_follows_at_once(monkeypatch):
    """Negative control: nothing else separates the first timed call from the last call of another target."""
    monkeypatch.setattr(runner, "REST_SECONDS", 0.0)
    calls: list[float] = []
    entry = BenchmarkEntry("a", "a", "torch", "fp32", "a")
    batch = {"input_ids": np.zeros((1, 4), dtype=np.int64)}
    one = BenchmarkTarget(entry, lambda batch: calls.append(time.perf_counter()))
    runner.time_workload(Workload(1, 4, {entry: [batch]}), [one], {}, 5, torch.device("cpu"), lambda: None)
    assert len(calls) == 12  # two turns of one untimed and five timed calls
