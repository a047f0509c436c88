"""Frontier: the accuracy of a method at any latency, and ours minus a peer's at equal latency with its interval.

A frontier is what a method's own points reach: those that none of its faster points equals in accuracy. Between two of
them it is the straight line, to the right of the slowest it stays level, and to the left of the fastest there is nothing.
Accuracies are those of single test rows until the end, so that every difference is paired.
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
        name: of the arm.
        latency: milliseconds of a call.
        correct: for each test row the share of seeds whose model answers it rightly, `[rows]`.
    """

    name: str
    latency: float
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.correct.mean())


@dataclass(frozen=True)
class Comparison:
    """Ours minus a peer's accuracy at the latency of one point; the numbers are None where one of the two is not as fast.

    Attributes:
        point: name of the point.
        ours: whether it is one of ours.
        latency: its milliseconds.
        value: the difference, a fraction.
        ci95: its interval over test rows.
        verdict: `above`, `on` (no test row differs), `within noise`, `below`, or `out of reach`: of the peer where the
            point is ours, and of ours where it is the peer's.
    """

    point: str
    ours: bool
    latency: float
    value: float | None
    ci95: tuple[float, float] | None
    verdict: str


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other one equals in both latency and accuracy, the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.latency, -one.accuracy)):
        if not found or point.accuracy > found[-1].accuracy:
            found.append(point)
    return found


def at_latency(frontier: Sequence[Point], latency: float) -> np.ndarray | None:
    """Right answers of a frontier at a latency, `[rows]`; None to the left of its fastest point.

    Args:
        frontier: what `pareto` gave.
        latency: milliseconds.
    """
    if not frontier or latency < frontier[0].latency:
        return None
    for left, right in zip(frontier, frontier[1:], strict=False):
        if latency < right.latency:
            share = (latency - left.latency) / (right.latency - left.latency)
            return (1 - share) * left.correct + share * right.correct
    return frontier[-1].correct


def verdict(value: float, low: float, high: float) -> str:
    """A difference in words, by its interval."""
    if low > 0:
        return ABOVE
    if high < 0:
        return BELOW
    return ON if value == low == high == 0 else NOISE


def compare(ours: Sequence[Point], peer: Sequence[Point], shared: Sequence[Point] = ()) -> list[Comparison]:
    """Both frontiers at the latency of every point that lies on one of them, the fastest first.

    Args:
        ours: our points.
        peer: those of the peer, on the same test rows.
        shared: points that both may use, such as the model before; nothing is compared at these.
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
    """One word for a peer: what is worst for ours.

    `below` if ours is so anywhere, `out of reach` if one of the peer's points is faster than all of ours; else `within
    noise`, unless all that can be compared is `above`, or all `on`.
    """
    words = {one.verdict for one in comparisons if one.ours is False or one.verdict != FASTER}
    for word in (BELOW, FASTER, NOISE):
        if word in words:
            return word
    return NOISE if len(words) > 1 else words.pop() if words else ABOVE
