"""Search prospects: the candidates that no result has closed, with what a run of each is expected to bring.

Quality is taken to fall along the ladder: what was refused closes everything stronger of its kind, what was accepted
everything that costs as much. A smaller vocabulary is tried where the larger one has held, a larger one where every
piece in use was not enough, and alternatives where the main line has come to its end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .search_beliefs import Beliefs
from .search_goal import Goal, cost, judge
from .search_results import Choice, Finished, best_of
from .search_space import MAIN, Candidate, Space

WORTH_IT = 0.03  # of size or time, in log: less is no gain
WORTH_POINTS = 0.2  # likewise where the goal is quality
WORTH_A_RUN = 0.01  # gain of size or time, in log, times its chance
MOST_ALTERNATIVES = 2  # that brought nothing
MOST_MISSING = 2  # exports that were not kept, and none that was: this runtime is not for this model
LIKELY = 0.1  # a chance below it is none
NEAR = 0.05  # strengths that are one place on the ladder


@dataclass(frozen=True)
class Prospect:
    """A candidate in one runtime that was not trained.

    Attributes:
        candidate, runtime: which.
        chance: that it is accepted.
        gain: if it is: of size or time in log, of quality in points.
        cost: expected bytes, or one over the speed-up; points lost where the goal is quality.
    """

    candidate: Candidate
    runtime: str
    chance: float
    gain: float
    cost: float

    @property
    def worth(self) -> float:
        """What a run is expected to bring."""
        return self.chance * self.gain if self.chance >= LIKELY else 0.0


def prospects(goal: Goal, space: Space, results: Sequence[Finished]) -> list[Prospect]:
    """What stays open, the best first; alternatives only if nothing of the main line is worth a run."""
    beliefs, best = Beliefs(results, space.facts.rows), best_of(goal, results)
    places = [place for runtime in space.facts.runtimes for place in _open(goal, space, results, runtime)]
    found = (_of_quality if goal.kind == "best" else _of_cost)(goal, places, beliefs, best)
    found.sort(key=lambda one: (-one.worth, -one.chance, one.candidate.name, one.runtime))
    main = [one for one in found if one.candidate.family == MAIN]
    if (main and is_worth_a_run(goal, main[0], best)) or _tried_in_vain(goal, results) >= MOST_ALTERNATIVES:
        return main
    return found


def is_worth_a_run(goal: Goal, prospect: Prospect, best: Choice | None) -> bool:
    """Whether it is expected to bring enough; where nothing is fast enough yet, whatever may be is."""
    if goal.kind == "best":
        return best is None or prospect.worth >= WORTH_POINTS
    return prospect.worth >= WORTH_A_RUN


def _tried_in_vain(goal: Goal, results: Sequence[Finished]) -> int:
    """Alternatives that were run and did not beat the main line."""
    main = best_of(goal, [result for result in results if result.candidate.family == MAIN])
    beside = [result for result in results if result.candidate.family != MAIN]
    found = [best_of(goal, [result]) for result in beside]
    return sum(
        one is None or (main is not None and cost(goal, one.variant) >= cost(goal, main.variant)) for one in found
    )


def _of_cost(goal: Goal, places: list[tuple[Candidate, str]], beliefs: Beliefs, best: Choice | None) -> list[Prospect]:
    def expected(candidate: Candidate, runtime: str) -> float:
        return (
            beliefs.bytes(candidate, runtime) if goal.kind == "smallest" else 1 / beliefs.speedup(candidate, runtime)
        )

    costs = {place: expected(*place) for place in places}
    if best is not None:
        most = cost(goal, best.variant)[0]
    elif places:  # of the runtime that promises most, a little more than the mildest candidate would cost
        _, leading = min(places, key=costs.__getitem__)
        most = 1.1 * max(value for (_, runtime), value in costs.items() if runtime == leading)
    limit = goal.points - (1.96 * beliefs.error if goal.sure else 0.0)
    found = []
    for candidate, runtime in places:
        gain = math.log(most / costs[candidate, runtime])
        if gain >= WORTH_IT:
            chance = beliefs.chance_within(candidate, runtime, limit)
            found.append(Prospect(candidate, runtime, chance, gain, costs[candidate, runtime]))
    return found


def _of_quality(
    goal: Goal, places: list[tuple[Candidate, str]], beliefs: Beliefs, best: Choice | None
) -> list[Prospect]:
    chances = {place: beliefs.chance_of_speed(*place, goal.speedup) for place in places}
    losses = {place: beliefs.expected_loss(*place) for place in places if chances[place] >= LIKELY}
    found = []
    for place, loss in losses.items():
        # Until something is fast enough, whatever may be is worth a run, and the mildest most.
        gain = beliefs.expected_gain(*place, best.variant.loss) if best else (1 + max(0.0, loss)) ** -0.5
        found.append(Prospect(*place, chances[place], gain, loss))
    return found


def _open(goal: Goal, space: Space, results: Sequence[Finished], runtime: str) -> list[tuple[Candidate, str]]:
    """Every candidate that was not run, and that no result in this runtime has closed."""
    measured = [result for result in results if result.variants]
    if len(measured) >= MOST_MISSING and not any(result.of(runtime) for result in measured):
        return []
    accepted, refused = [], []
    for result in results:
        variant = result.of(runtime)
        if variant is not None and judge(goal, variant).accepted:
            accepted.append(result.candidate)
        elif result.variants and not _in_doubt(goal, result, runtime):
            refused.append(result.candidate)  # an export that is missing was not good enough to be kept
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
    """Pieces that are not in use are cheap to give up: they come back where that was not enough, step by step."""
    not_enough = any(other.level == smaller and _as_strong(other, one) for other in refused)
    return not not_enough and not any(other.level == one.level and other.fields for other in accepted)


def _in_doubt(goal: Goal, result: Finished, runtime: str) -> bool:
    """The baseline was not trained: what it loses in int8 closes everything else only where its interval says so."""
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
    # Beside the main line where that was refused, and beyond where a candidate of this kind has held.
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
    """By the encoder alone, one place on the ladder being one."""
    return one.strength > other.strength - NEAR


def _harsher(one: Candidate, other: Candidate) -> bool:
    """At least as strong in everything."""
    return one.strength >= other.strength and one.level >= other.level
