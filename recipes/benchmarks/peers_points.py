"""Points of the benchmark of peers: the result file as accuracy and latency by view and method, and what is compared.

A view is a runtime and a size of a call. Every method may also use the baseline as it is, which therefore ends each
frontier, ours too. In int8 the baseline is a peer by itself, `int8 alone`, and then ours has to do without it.
"""

from __future__ import annotations

from itertools import groupby
from statistics import mean
from typing import Any

import numpy as np

from recipes.benchmarks.frontier import Comparison, Point, compare
from recipes.benchmarks.peers_arms import BASELINE, INT8_ALONE, OURS
from recipes.benchmarks.peers_training import INT8
from trainer_ext.tasks.intervals import bootstrap_interval

View = tuple[str, int, int]


def views(record: dict[str, Any]) -> list[View]:
    """Runtime, texts and tokens of a call, in the order of the file."""
    return list(dict.fromkeys((row["runtime"], row["batch_size"], row["sequence_length"]) for row in record["times"]))


def title(view: View) -> str:
    """How a view is called."""
    return f"{view[0]}, {view[1]} x {view[2]}"


def by_arm(record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Results of each arm, one per seed, the baseline first, then in the order of the file."""
    names = list(dict.fromkeys([BASELINE, *(result["arm"] for result in record["results"])]))
    return {name: [result for result in record["results"] if result["arm"] == name] for name in names}


def correct(results: list[dict[str, Any]], runtime: str) -> np.ndarray:
    """For each test row the share of seeds whose model is right, `[rows]`."""
    return np.mean([[int(digit) for digit in result["correct"][runtime]] for result in results], axis=0)


def milliseconds(record: dict[str, Any], arm: str, view: View) -> float:
    """Median of a call, its mean over the seeds of an arm."""
    return mean(
        row["median_ms"]
        for row in record["times"]
        if (row["arm"], row["runtime"], row["batch_size"], row["sequence_length"]) == (arm, *view)
    )


def estimate(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over test rows and its interval."""
    return float(values.mean()), *bootstrap_interval(np.mean, values)


def points(record: dict[str, Any], view: View) -> dict[str, list[Point]]:
    """The points of each method, without the baseline."""
    found: dict[str, list[Point]] = {}
    for arm, results in by_arm(record).items():
        if arm != BASELINE:
            point = Point(arm, milliseconds(record, arm, view), correct(results, view[0]))
            found.setdefault(results[0]["method"], []).append(point)
    return found


def baseline_point(record: dict[str, Any], view: View) -> Point:
    """The baseline as it is, in the runtime of the view."""
    return Point(BASELINE, milliseconds(record, BASELINE, view), correct(by_arm(record)[BASELINE], view[0]))


def comparisons(record: dict[str, Any]) -> dict[View, dict[str, list[Comparison]]]:
    """Ours against every peer.

    Returns:
        For each view the comparisons at the points of ours and of the peer, by name of the peer.
    """
    found: dict[View, dict[str, list[Comparison]]] = {}
    for view in views(record):
        known, dense = points(record, view), baseline_point(record, view)
        ours = known.pop(OURS, [])
        found[view] = {name: compare(ours, own, [dense]) for name, own in known.items()}
        if view[0] == INT8:
            found[view][INT8_ALONE] = compare(ours, [dense])
    return found


def seeds(results: list[dict[str, Any]]) -> str:
    """The seeds of an arm."""
    return ", ".join(str(seed) for seed, _ in groupby(sorted(result["seed"] for result in results)))
