"""The acquisition function of a search: how much a run of each open candidate is expected to improve on the best result.

The expected improvement is the gain of a candidate times its chance to be accepted. Quality is assumed to decrease
with sparsity: a rejected candidate rules out those of its family that remove more, an accepted one those that cost more. A
smaller vocabulary is tried after the larger one was accepted, a larger one if the smaller was rejected, and alternatives
where the main family was rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .goal import Choice, Finished, Goal, best_of, cost, judge
from .space import MAIN, Candidate, Space
from .surrogate import Surrogate

LEAST_GAIN = 0.03  # of size or time, in log
WORTH_POINTS = 0.2  # least expected improvement for a run, in points
WORTH_LOG = 0.01  # the same in log of size or time
LEAST_CHANCE = 0.1
MOST_ALTERNATIVES = 2  # without an improvement
MOST_MISSING = 2  # runs of which no export was good enough to keep: this runtime does not fit this model
SAME_STEP = 0.05  # strengths closer than this are one step of the ladder
Open = list[tuple[Candidate, str]]


@dataclass(frozen=True)
class Prospect:
    """What is expected of a candidate that was not trained."""

    candidate: Candidate  # what to train
    runtime: str  # in which it would be the answer
    chance: float  # probability that it is accepted
    gain: float  # improvement if it is: log of size or time, or points of quality
    cost: float  # expected bytes, 1 / speed-up, or points lost, whichever the goal minimizes

    @property
    def improvement(self) -> float:
        """The expected improvement of a run."""
        return self.chance * self.gain if self.chance >= LEAST_CHANCE else 0.0


def prospects(goal: Goal, space: Space, results: Sequence[Finished]) -> list[Prospect]:
    """Return the open candidates, best first; alternatives only if nothing of the main line is worth a run."""
    surrogate, best = Surrogate(results, space.facts.rows), best_of(goal, results)
    left = [one for runtime in space.facts.runtimes for one in _open(goal, space, results, runtime)]
    found = (_of_quality if goal.kind == "best" else _of_cost)(goal, left, surrogate, best)
    found.sort(key=lambda one: (-one.improvement, -one.chance, one.candidate.name, one.runtime))
    main = [one for one in found if one.candidate.family == MAIN]
    if (main and is_worth_a_run(goal, main[0], best)) or _fruitless(goal, results) >= MOST_ALTERNATIVES:
        return main
    return found


def is_worth_a_run(goal: Goal, prospect: Prospect, best: Choice | None) -> bool:
    """Return whether the improvement is worth a run. With the goal `best`, every run is until one reaches the speed-up."""
    if goal.kind == "best":
        return best is None or prospect.improvement >= WORTH_POINTS
    return prospect.improvement >= WORTH_LOG


def _fruitless(goal: Goal, results: Sequence[Finished]) -> int:
    """Return how many alternatives were trained and did not beat the main line."""
    main = best_of(goal, [result for result in results if result.candidate.family == MAIN])
    found = [best_of(goal, [result]) for result in results if result.candidate.family != MAIN]
    return sum(
        one is None or (main is not None and cost(goal, one.variant) >= cost(goal, main.variant)) for one in found
    )


def _of_cost(goal: Goal, left: Open, surrogate: Surrogate, best: Choice | None) -> list[Prospect]:
    """Return the prospects of a goal that minimizes size or time."""
    if goal.kind == "smallest":
        costs = {one: surrogate.bytes(*one) for one in left}
    else:
        costs = {one: 1 / surrogate.speedup(*one) for one in left}
    if best is not None:
        most = cost(goal, best.variant)[0]
    elif left:  # a little more than the mildest candidate of the most promising runtime would cost
        _, leading = min(left, key=costs.__getitem__)
        most = 1.1 * max(value for (_, runtime), value in costs.items() if runtime == leading)
    limit = goal.limit - (1.96 * surrogate.error if goal.sure else 0.0)
    found = []
    for (candidate, runtime), expected in costs.items():
        gain = math.log(most / expected)
        if gain >= LEAST_GAIN:
            chance = surrogate.chance_within(candidate, runtime, limit)
            found.append(Prospect(candidate, runtime, chance, gain, expected))
    return found


def _of_quality(goal: Goal, left: Open, surrogate: Surrogate, best: Choice | None) -> list[Prospect]:
    """Return the prospects of a goal that minimizes the loss."""
    chances = {one: surrogate.chance_of_speed(*one, goal.limit) for one in left}
    found = []
    for one, chance in chances.items():
        if chance >= LEAST_CHANCE:
            loss = surrogate.expected_loss(*one)
            # Until one is fast enough, every candidate that may be is worth a run, and the mildest most.
            gain = surrogate.expected_gain(*one, best.variant.loss) if best else (1 + max(0.0, loss)) ** -0.5
            found.append(Prospect(*one, chance, gain, loss))
    return found


def _open(goal: Goal, space: Space, results: Sequence[Finished], runtime: str) -> Open:
    """Return every candidate that was not trained and that no result in this runtime has closed."""
    measured = [result for result in results if result.variants]
    if len(measured) >= MOST_MISSING and not any(result.of(runtime) for result in measured):
        return []
    accepted, refused = [], []
    for result in results:
        variant = result.of(runtime)
        if variant is not None and judge(goal, variant).accepted:
            accepted.append(result.candidate)
        elif result.variants and not _in_doubt(goal, result, runtime):
            refused.append(result.candidate)  # a missing export was not good enough to keep
    done = {result.candidate.name for result in results}
    closed = _closed_by_speed if goal.kind == "best" else _closed_by_quality
    smaller = dict(pairwise(sorted(space.levels)))
    return [
        (one, runtime)
        for one in space.candidates.values()
        if one.name not in done
        and not (one.level < 0 and one.level in smaller and _held_back(one, smaller[one.level], refused, accepted))
        and not closed(one, refused, accepted)
    ]


def _held_back(one: Candidate, smaller: int, refused: list[Candidate], accepted: list[Candidate]) -> bool:
    """Return whether to defer a larger vocabulary: it is tried only if the next smaller one was rejected."""
    not_enough = any(other.level == smaller and _as_strong(other, one) for other in refused)
    return not not_enough and not any(other.level == one.level and other.fields for other in accepted)


def _in_doubt(goal: Goal, result: Finished, runtime: str) -> bool:
    """Return whether this is the exported baseline and its loss may be noise; it then rules out nothing."""
    variant = result.of(runtime)
    return not result.candidate.fields and (variant is None or judge(goal, variant).word == "not refuted")


def _closed_by_quality(one: Candidate, refused: list[Candidate], accepted: list[Candidate]) -> bool:
    if any(_harsher(one, other) and other.family == one.family for other in refused):
        return True
    if one.level > 0 and not any(
        other.level >= one.level or (other.level == one.level - 1 and _as_strong(other, one)) for other in accepted
    ):
        return True
    if one.family == MAIN:
        return False
    # An alternative is open at a sparsity at which the main family was rejected, and above it once one of its own family
    # was accepted.
    main = [other for other in refused if other.family == MAIN]
    if any(_as_strong(one, other) and _as_strong(other, one) and one.level == other.level for other in main):
        return False
    held = any(other.family == one.family for other in accepted)
    return not (held and any(_harsher(one, other) for other in main))


def _closed_by_speed(one: Candidate, slow: list[Candidate], fast: list[Candidate]) -> bool:
    if any(one.family == other.family and one.speedup <= other.speedup for other in slow):
        return True
    if any(one.family == other.family and _harsher(one, other) and other.fields for other in fast):
        return True
    return one.family != MAIN and not fast


def _as_strong(one: Candidate, other: Candidate) -> bool:
    """Return whether a candidate removes as much of the encoder, up to one step of the ladder."""
    return one.strength > other.strength - SAME_STEP


def _harsher(one: Candidate, other: Candidate) -> bool:
    """Return whether a candidate removes at least as much of everything."""
    return one.strength >= other.strength and one.level >= other.level
