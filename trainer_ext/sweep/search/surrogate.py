"""Search beliefs: what the finished runs say of those that were not made, as pure functions of the results.

Size and speed: arithmetic, corrected by what the nearest finished run measured. Quality: a curve of the loss over the
strength, with factors for the other shape, the other methods, a longer training, the vocabulary and int8. How large these
are is not known: a fixed set of guesses, drawn evenly from wide prior distributions, is weighted by how well each explains
the results (importance sampling); a chance is the weight of the guesses that say so.

Search prospects: the candidates that no result has closed, with what a run of each is expected to bring.

Quality is taken to fall along the ladder: what was refused closes everything stronger of its kind, what was accepted
everything that costs as much. A smaller vocabulary is tried where the larger one has held, a larger one where every
piece in use was not enough, and alternatives where the main line has come to its end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from scipy import stats

from .goal import Choice, Finished, Goal, Variant, best_of, cost, judge
from .space import MAIN, Candidate, Space

GUESSES = 4096
UNIT = 0.6  # the strength at which the scale is a loss in points
ROWS, CHANGED_ROWS = (
    1000,
    0.03,
)  # before any result: how many are held out, and the share of them that are answered otherwise
# Beside the curve every training has luck of its own: so many points, and such a share of its loss.
LUCK, LUCK_SHARE = 0.25, 0.2
RATIO_ERROR, FIRST_RATIO_ERROR = (
    0.04,
    0.2,
)  # of a predicted speed, in log: with a finished run of that runtime, and without
# Of the time of a call, what no pruning takes away; and how fast a runtime is before any of it is measured: all-MiniLM,
# two threads (recipes/benchmarks).
OVERHEAD = 0.08
FIRST_RATIO = {"torch": 1.0, "onnx": 1.2, "openvino": 1.3, "onnx-int8": 2.0, "openvino-int8": 3.3}
# Of the loss, in log: mean and standard deviation over tasks. Judgement, from few runs; results soon outweigh it.
FAMILY_FACTORS = {
    "longer": (-0.3, 0.3),
    "shape": (0.0, 0.3),
    "movement": (0.0, 0.3),
    "soft_movement": (0.05, 0.3),
    "magnitude": (0.2, 0.3),
    "layers": (0.3, 0.3),
}


@cache
def _guesses() -> dict[str, np.ndarray]:
    """The same points in every process: no random numbers."""
    names = ("scale", "power", "offset", "vocabulary", "int8", *FAMILY_FACTORS)
    points = stats.qmc.Sobol(len(names), scramble=False).random(GUESSES)
    normal = dict(zip(names, stats.norm.ppf((points + 0.5 / GUESSES).clip(max=1 - 0.5 / GUESSES)).T, strict=True))
    found = {name: mean + sd * normal[name] for name, (mean, sd) in FAMILY_FACTORS.items()}
    return found | {
        "scale": np.exp(np.log(0.7) + 1.1 * normal["scale"]),  # points at 60 %: between 0.08 and 6 in 95 of 100 tasks
        "power": 3 + 0.7 * normal["power"],
        "offset": -0.1 + 0.3 * normal["offset"],  # a gain by the longer training alone is common
        "vocabulary": np.exp(0.9 * normal["vocabulary"]),  # points if every text is cut otherwise
        "int8": 0.05 + 0.15 * (normal["int8"] + np.abs(normal["int8"]) ** 3 * np.sign(normal["int8"]) / 2),
    }


class Surrogate:
    """What is expected, given results.

    Args:
        results: finished runs, in any order.
        rows: held out to choose by, if it is known before any result.
    """

    def __init__(self, results: Sequence[Finished], rows: int | None = None):
        self._results = sorted(results, key=lambda result: result.candidate.name)
        errors = [_error(variant) for result in self._results for variant in result.variants]
        self.error = float(np.median(errors)) if errors else typical_error(rows or ROWS)
        self.weights = self._weigh()

    def _weigh(self) -> np.ndarray:
        log = np.zeros(GUESSES)
        for result in self._results:
            for variant in result.variants:
                expected = losses(result.candidate, variant.runtime)
                off = (variant.loss - expected) / np.sqrt(_luck(expected) ** 2 + _error(variant) ** 2)
                # Student's t with 3 degrees of freedom: one strange result does not overrule all others. A training's
                # luck is shared by its variants, so that two of them do not count twice.
                log -= 2 * np.log1p(off**2 / 3) / len(result.variants)
        weights = np.exp(log - log.max())
        return weights / weights.sum()

    def chance_within(self, candidate: Candidate, runtime: str, points: float) -> float:
        """How likely a run's measured loss is at most so many points."""
        expected = losses(candidate, runtime)
        spread = np.sqrt(_luck(expected) ** 2 + self.error**2)
        return float(self.weights @ stats.norm.cdf((points - expected) / spread))

    def expected_gain(self, candidate: Candidate, runtime: str, loss: float) -> float:
        """Points by which it is expected to lose less than `loss`; 0 where it loses more, luck apart."""
        return float(self.weights @ np.maximum(0.0, loss - losses(candidate, runtime)))

    def expected_loss(self, candidate: Candidate, runtime: str) -> float:
        """Points that it is expected to lose."""
        return float(self.weights @ losses(candidate, runtime))

    def bytes(self, candidate: Candidate, runtime: str) -> float:
        """On disk, corrected by the nearest finished run."""
        ratio, _ = self._ratio(candidate, runtime, lambda one: one.bytes[runtime], lambda variant: variant.bytes)
        return candidate.bytes[runtime] * (ratio or 1.0)

    def speedup(self, candidate: Candidate, runtime: str) -> float:
        """Measured speed-up, as expected from the nearest finished run of the runtime."""
        ratio, _ = self._ratio(candidate, runtime, promised_speedup, lambda variant: variant.speedup)
        return promised_speedup(candidate) * (ratio or FIRST_RATIO.get(runtime, 1.0))

    def chance_of_speed(self, candidate: Candidate, runtime: str, speedup: float) -> float:
        """How likely it is at least so fast."""
        ratio, far = self._ratio(candidate, runtime, promised_speedup, lambda variant: variant.speedup)
        error = FIRST_RATIO_ERROR if ratio is None else RATIO_ERROR + min(0.1 * far, FIRST_RATIO_ERROR)
        return float(stats.norm.cdf(math.log(self.speedup(candidate, runtime) / speedup) / error))

    def _ratio(self, candidate, runtime, predicted, measured) -> tuple[float | None, float]:
        """Measured over predicted of the finished run that is most like it, and how unlike it is."""
        known = [(_unlike(candidate, r.candidate), r, v) for r in self._results if (v := r.of(runtime)) is not None]
        if not known:
            return None, math.inf
        unlike, result, variant = min(known, key=lambda row: row[0])
        return measured(variant) / predicted(result.candidate), unlike


def typical_error(rows: int) -> float:
    """Standard error of a paired difference over so many rows, in points."""
    return 100 * math.sqrt(CHANGED_ROWS / rows)


def promised_speedup(candidate: Candidate) -> float:
    """What the operations promise, less what a call takes besides."""
    return 1 / (OVERHEAD + (1 - OVERHEAD) / candidate.speedup)


def losses(candidate: Candidate, runtime: str) -> np.ndarray:
    """`[guesses]`: points lost, by each guess."""
    guess = _guesses()
    curve = guess["scale"] * _curve(candidate.strength, guess["power"])
    if candidate.family in FAMILY_FACTORS:
        curve = curve * np.exp(guess[candidate.family])
    int8 = guess["int8"] if runtime.endswith("int8") else 0.0
    # Nothing was trained where there are no fields: no gain by it either.
    return curve + (guess["offset"] if candidate.fields else 0.0) + guess["vocabulary"] * candidate.changed + int8


def _curve(strength: float, power: np.ndarray) -> np.ndarray:
    """Flat at first and steep at the end; 1 at `UNIT`."""
    return strength**power / (1 - strength) / (UNIT**power / (1 - UNIT))


def _luck(expected: np.ndarray) -> np.ndarray:
    return LUCK + LUCK_SHARE * np.maximum(0.0, expected)


def _error(variant: Variant) -> float:
    return max(0.05, 100 * (variant.high - variant.low) / (2 * stats.norm.ppf(0.975)))


def _unlike(first: Candidate, second: Candidate) -> float:
    """How far two candidates are apart in what decides about size and speed."""
    return abs(math.log(first.speedup / second.speedup)) + 0.2 * abs(first.layers - second.layers)


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
    beliefs, best = Surrogate(results, space.facts.rows), best_of(goal, results)
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


def _of_cost(
    goal: Goal, places: list[tuple[Candidate, str]], beliefs: Surrogate, best: Choice | None
) -> list[Prospect]:
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
    goal: Goal, places: list[tuple[Candidate, str]], beliefs: Surrogate, best: Choice | None
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
