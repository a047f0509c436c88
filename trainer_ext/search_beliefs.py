"""Search beliefs: what the finished runs say of those that were not made, as pure functions of the results.

Size and speed: arithmetic, corrected by what the nearest finished run measured. Quality: a curve of the loss over the
strength, with factors for the other shape, the other methods, a longer training, the vocabulary and int8. How large these
are is not known: a fixed set of guesses, drawn evenly from wide prior distributions, is weighted by how well each explains
the results (importance sampling); a chance is the weight of the guesses that say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

from .search_goal import Variant
from .search_results import Finished
from .search_space import Candidate

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


class Beliefs:
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
