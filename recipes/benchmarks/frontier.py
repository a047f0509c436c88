"""Compute the accuracy of a method at any latency, and our accuracy minus a peer's at equal latency.

The frontier of a method contains its Pareto-optimal points. It is linear between two points, constant to the right of the
slowest, and undefined to the left of the fastest. All values are kept by test row, so that every difference is paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer_ext.tasks.intervals import bootstrap_interval

ABOVE, ON, NOISE, BELOW, FASTER = "above", "on", "within noise", "below", "out of reach"


@dataclass(frozen=True)
class Point:
    """A model of a method.

    Attributes:
        name: Name of the arm.
        latency: Milliseconds per call.
        correct: For each test row, the share of seeds whose model is right, [rows].
    """

    name: str
    latency: float
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """Fraction of right answers."""
        return float(self.correct.mean())


@dataclass(frozen=True)
class Comparison:
    """Our accuracy minus a peer's at the latency of one point.

    Attributes:
        point: Name of the point.
        ours: Whether it is one of our points.
        latency: Milliseconds per call.
        value: The difference, a fraction; None if one of the two methods has no model that is so fast.
        ci95: Its interval over test rows, or None.
        verdict: `above`, `on` (no test row differs), `within noise`, `below`, or `out of reach` if the method that the
            point does not belong to is not so fast.
    """

    point: str
    ours: bool
    latency: float
    value: float | None
    ci95: tuple[float, float] | None
    verdict: str


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the Pareto-optimal points, the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.latency, -one.accuracy)):
        if not found or point.accuracy > found[-1].accuracy:
            found.append(point)
    return found


def at_latency(frontier: Sequence[Point], latency: float) -> np.ndarray | None:
    """Return the right answers of a frontier at a latency, [rows]; None to the left of its fastest point.

    Args:
        frontier: The points that `pareto` returned.
        latency: Milliseconds per call.
    """
    if not frontier or latency < frontier[0].latency:
        return None
    for left, right in zip(frontier, frontier[1:], strict=False):
        if latency < right.latency:
            share = (latency - left.latency) / (right.latency - left.latency)
            return (1 - share) * left.correct + share * right.correct
    return frontier[-1].correct


def verdict(value: float, low: float, high: float) -> str:
    """Return the verdict for a difference and its interval."""
    if low > 0:
        return ABOVE
    if high < 0:
        return BELOW
    return ON if value == low == high == 0 else NOISE


def compare(ours: Sequence[Point], peer: Sequence[Point], shared: Sequence[Point] = ()) -> list[Comparison]:
    """Compare two frontiers at the latency of every point of either, the fastest first.

    Args:
        ours: Our points.
        peer: The points of the peer, on the same test rows.
        shared: Points that both may use, such as the baseline; they are not compared.
    """
    frontiers = {True: pareto([*ours, *shared]), False: pareto([*peer, *shared])}
    given = {id(point) for point in shared}
    own = [(point, side) for side, points in frontiers.items() for point in points if id(point) not in given]
    found = []
    for point, is_ours in own:
        sides = [at_latency(frontiers[side], point.latency) for side in (True, False)]
        if sides[0] is None or sides[1] is None:
            found.append(Comparison(point.name, is_ours, point.latency, None, None, FASTER))
            continue
        difference = sides[0] - sides[1]
        value, interval = float(difference.mean()), bootstrap_interval(np.mean, difference)
        found.append(Comparison(point.name, is_ours, point.latency, value, interval, verdict(value, *interval)))
    return sorted(found, key=lambda one: one.latency)


def overall(comparisons: Sequence[Comparison]) -> str:
    """Return one verdict for a peer, the worst for our method.

    It is `below` if our frontier is below anywhere, `out of reach` if a point of the peer is faster than all of ours,
    `above` or `on` if all comparisons are, and else `within noise`.
    """
    words = {one.verdict for one in comparisons if one.ours is False or one.verdict != FASTER}
    for word in (BELOW, FASTER, NOISE):
        if word in words:
            return word
    return NOISE if len(words) > 1 else words.pop() if words else ABOVE
