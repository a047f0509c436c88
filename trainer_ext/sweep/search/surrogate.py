"""The surrogate model of a search: loss, size and speed-up that are expected of candidates, given the finished runs.

Size and speed-up are arithmetic, corrected by what the most similar finished run measured. The loss is a curve over the
strength, with factors for the other shape, the other methods, a longer training, the vocabulary and int8. Its parameters are
unknown: a fixed set of samples from wide priors is weighted by how well each explains the results (importance sampling).
A probability is the total weight of the samples that agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from scipy import stats

from .goal import Finished, Variant
from .space import Candidate

Predicted = Callable[[Candidate], float]
SAMPLES = 4096
UNIT = 0.6  # the sparsity at which the loss equals the curve's scale, in percentage points
# Before any result: number of held-out rows, and the share of them that are answered differently.
ROWS, CHANGED_ROWS = 1000, 0.03
# Standard deviation between trainings of the same candidate: a constant in points, and a share of the loss.
NOISE, NOISE_SHARE = 0.25, 0.2
# Standard deviation of the log of a predicted speed-up, with and without a finished run in that runtime.
SPEED_ERROR, FIRST_SPEED_ERROR = 0.04, 0.2
OVERHEAD = 0.08  # share of the time of a call that no pruning removes
# Speed of a runtime before it is measured: all-MiniLM, two threads (recipes/benchmarks).
FIRST_SPEED = {"torch": 1.0, "onnx": 1.2, "openvino": 1.3, "onnx-int8": 2.0, "openvino-int8": 3.3}
# Log-normal prior of each family's factor on the loss: mean and standard deviation of the log, a guess from few runs.
FAMILY_FACTORS = {
    "longer": (-0.3, 0.3),
    "shape": (0.0, 0.3),
    "obs": (-0.5, 0.5),
    "movement": (0.3, 0.4),
    "soft_movement": (0.3, 0.4),
    "magnitude": (0.2, 0.3),
    "layers": (0.3, 0.3),
}


@cache
def _prior() -> dict[str, np.ndarray]:
    """Return samples of the parameters, `[samples]` each; a Sobol sequence, so the same in every process."""
    names = ("scale", "power", "offset", "vocabulary", "int8", *FAMILY_FACTORS)
    points = stats.qmc.Sobol(len(names), scramble=False).random(SAMPLES)
    normal = dict(zip(names, stats.norm.ppf((points + 0.5 / SAMPLES).clip(max=1 - 0.5 / SAMPLES)).T, strict=True))
    found = {name: mean + sd * normal[name] for name, (mean, sd) in FAMILY_FACTORS.items()}
    return found | {
        "scale": np.exp(np.log(0.7) + 1.1 * normal["scale"]),  # points lost at 60 %: 0.08 to 6 in 95 of 100 tasks
        "power": 3 + 0.7 * normal["power"],
        "offset": -0.1 + 0.3 * normal["offset"],  # the longer training alone often gains a little
        "vocabulary": np.exp(0.9 * normal["vocabulary"]),  # points lost if every text is tokenized differently
        "int8": 0.05 + 0.15 * (normal["int8"] + np.abs(normal["int8"]) ** 3 * np.sign(normal["int8"]) / 2),
    }


class Surrogate:
    """Expectations about candidates, given results.

    Args:
        results: finished runs, in any order.
        rows: number of held-out rows, if known before any result.
    """

    def __init__(self, results: Sequence[Finished], rows: int | None = None):
        self._results = sorted(results, key=lambda result: result.candidate.name)
        errors = [_error(variant) for result in self._results for variant in result.variants]
        self.error = float(np.median(errors)) if errors else 100 * math.sqrt(CHANGED_ROWS / (rows or ROWS))
        self.weights = self._weigh()

    def _weigh(self) -> np.ndarray:
        log = np.zeros(SAMPLES)
        for result in self._results:
            for variant in result.variants:
                expected = _losses(result.candidate, variant.runtime)
                off = (variant.loss - expected) / np.sqrt(_noise(expected) ** 2 + _error(variant) ** 2)
                # Student's t with 3 degrees of freedom, so that one strange result does not overrule all others. The
                # variants of a run share the noise of its training, so together they count once.
                log -= 2 * np.log1p(off**2 / 3) / len(result.variants)
        weights = np.exp(log - log.max())
        return weights / weights.sum()

    def chance_within(self, candidate: Candidate, runtime: str, points: float) -> float:
        """Return the probability that a run of this candidate loses at most so many points, as measured."""
        expected = _losses(candidate, runtime)
        spread = np.sqrt(_noise(expected) ** 2 + self.error**2)
        return float(self.weights @ stats.norm.cdf((points - expected) / spread))

    def expected_gain(self, candidate: Candidate, runtime: str, loss: float) -> float:
        """Return the expected improvement on a loss, in points, without the noise of a training."""
        return float(self.weights @ np.maximum(0.0, loss - _losses(candidate, runtime)))

    def expected_loss(self, candidate: Candidate, runtime: str) -> float:
        """Return the points that this candidate is expected to lose."""
        return float(self.weights @ _losses(candidate, runtime))

    def bytes(self, candidate: Candidate, runtime: str) -> float:
        """Return the expected size on disk."""
        ratio, _ = self._correction(candidate, runtime, lambda one: one.bytes[runtime], lambda one: one.bytes)
        return candidate.bytes[runtime] * (ratio or 1.0)

    def speedup(self, candidate: Candidate, runtime: str) -> float:
        """Return the expected speed-up."""
        ratio, _ = self._correction(candidate, runtime, predicted_speedup, lambda one: one.speedup)
        return predicted_speedup(candidate) * (ratio or FIRST_SPEED.get(runtime, 1.0))

    def chance_of_speed(self, candidate: Candidate, runtime: str, speedup: float) -> float:
        """Return the probability that this candidate is at least so fast."""
        ratio, distance = self._correction(candidate, runtime, predicted_speedup, lambda one: one.speedup)
        error = FIRST_SPEED_ERROR if ratio is None else SPEED_ERROR + min(0.1 * distance, FIRST_SPEED_ERROR)
        return float(stats.norm.cdf(math.log(self.speedup(candidate, runtime) / speedup) / error))

    def _correction(
        self, candidate: Candidate, runtime: str, predicted: Predicted, measured: Callable[[Variant], float]
    ) -> tuple[float | None, float]:
        """Return measured / predicted of the nearest finished run in this runtime, and the distance to it."""
        known = [
            (_distance(candidate, result.candidate), result, variant)
            for result in self._results
            if (variant := result.of(runtime)) is not None
        ]
        if not known:
            return None, math.inf
        distance, result, variant = min(known, key=lambda row: row[0])
        return measured(variant) / predicted(result.candidate), distance


def predicted_speedup(candidate: Candidate) -> float:
    """Return the speed-up in PyTorch by the operations and the overhead of a call."""
    return 1 / (OVERHEAD + (1 - OVERHEAD) / candidate.speedup)


def _losses(candidate: Candidate, runtime: str) -> np.ndarray:
    """Return the points lost by each sample, `[samples]`."""
    prior = _prior()
    curve = prior["scale"] * _curve(candidate.strength, prior["power"])
    if candidate.family in FAMILY_FACTORS:
        curve = curve * np.exp(prior[candidate.family])
    int8 = prior["int8"] if runtime.endswith("int8") else 0.0
    # The baseline has no fields: it is not trained further, so it has no offset.
    return curve + (prior["offset"] if candidate.fields else 0.0) + prior["vocabulary"] * candidate.changed + int8


def _curve(strength: float, power: np.ndarray) -> np.ndarray:
    """Return a curve that is flat at first and steep at the end; 1 at `UNIT`."""
    return strength**power / (1 - strength) / (UNIT**power / (1 - UNIT))


def _noise(expected: np.ndarray) -> np.ndarray:
    return NOISE + NOISE_SHARE * np.maximum(0.0, expected)


def _error(variant: Variant) -> float:
    """Return the standard error of a measured loss, in points."""
    return max(0.05, 100 * (variant.high - variant.low) / (2 * stats.norm.ppf(0.975)))


def _distance(first: Candidate, second: Candidate) -> float:
    """Return how different two candidates are in what decides about size and speed."""
    return abs(math.log(first.speedup / second.speedup)) + 0.2 * abs(first.layers - second.layers)
