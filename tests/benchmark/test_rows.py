"""Benchmark rows: nobody is timed while the threads of another runtime are still awake, and everybody meets the same."""

import itertools
import time

import numpy as np
import torch

from trainer_ext.benchmark import runner
from trainer_ext.benchmark.targets import Entry, Participant
from trainer_ext.benchmark.workloads import Workload


def test_who_is_timed_has_answered_alone_for_a_while(monkeypatch):
    monkeypatch.setattr(runner, "REST_SECONDS", 0.02)
    calls: list[tuple[str, float]] = []

    def participant(name: str) -> Participant:
        entry = Entry(name, name, "torch", "fp32", name)
        return Participant(entry, lambda batch: calls.append((name, time.perf_counter())))

    found = [participant("a"), participant("b")]
    batch = {"input_ids": np.zeros((1, 4), dtype=np.int64)}
    workload = Workload(1, 4, {one.entry: [batch] for one in found})
    steps = []
    rows = runner.time_workload(workload, found, {}, 7, torch.device("cpu"), lambda: steps.append(1))
    assert [row.runs for row in rows] == [7, 7]
    assert len(steps) == runner.WARMUP + 7
    turns = [list(group) for _, group in itertools.groupby(calls, key=lambda call: call[0])]
    assert len(turns) >= 3  # every other round goes backwards, so that two turns may follow each other
    for turn in turns:
        assert turn[-1][1] - turn[0][1] >= 0.019


def test_without_the_rest_the_threads_of_another_are_met(monkeypatch):
    """The control: nothing else keeps the first timed call away from the other's last one."""
    monkeypatch.setattr(runner, "REST_SECONDS", 0.0)
    calls: list[float] = []
    entry = Entry("a", "a", "torch", "fp32", "a")
    batch = {"input_ids": np.zeros((1, 4), dtype=np.int64)}
    one = Participant(entry, lambda batch: calls.append(time.perf_counter()))
    runner.time_workload(Workload(1, 4, {entry: [batch]}), [one], {}, 5, torch.device("cpu"), lambda: None)
    assert len(calls) == 12  # two turns of one uncounted and five timed calls
