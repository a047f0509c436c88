"""What a search looks for, the results of its runs, and whether a measured model may be the answer.

Quality is judged on rows that were held out of the training data, never on the test set: the best of many models looks
better than it is on the rows that chose it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import InputError
from .space import Candidate

Kind = Literal["smallest", "fastest", "best"]
Word = Literal["shown", "not refuted", "refuted", "fast enough", "too slow"]
OPTIONS: dict[Kind, str] = {"smallest": "--smallest-within", "fastest": "--fastest-within", "best": "--best-at"}


@dataclass(frozen=True)
class Goal:
    """What to look for.

    Raises:
        InputError: A number is missing, not allowed, or out of range.
    """

    # `smallest` (on disk) or `fastest` (as measured) that loses at most `points`, or `best`: the smallest loss of all
    # that reach `speedup`
    kind: Kind
    points: float | None = None  # of the main metric (hundredths) that may be lost; for `smallest` and `fastest`
    speedup: float | None = None  # over the baseline in PyTorch that must be reached; for `best`
    sure: bool = False  # whether the whole interval must be within the points, instead of the estimate alone

    def __post_init__(self):
        option, is_best = OPTIONS[self.kind], self.kind == "best"
        least, unit = (1, "times the baseline's speed") if is_best else (0, "points that may be lost")
        if not least <= self.limit < math.inf:
            raise InputError(f"{option} must be a number of {least} or more, {unit}; it is {self.limit!r}.")
        other = self.points if is_best else self.speedup
        if other is not None or (self.sure and is_best):
            raise InputError(
                f"{option} {self.limit:g} takes no second limit; give one of {', '.join(OPTIONS.values())} alone."
            )

    @property
    def limit(self) -> float:
        """The speed-up to reach for `best`, else the points that may be lost; NaN if it is missing."""
        value = self.speedup if self.kind == "best" else self.points
        return math.nan if value is None else value

    @property
    def words(self) -> str:
        """The goal in words."""
        if self.kind == "best":
            return f"the best at {self.limit:g}x or faster"
        return f"the {self.kind} within {self.limit:g} points" + (", shown by its interval" if self.sure else "")


@dataclass(frozen=True)
class Variant:
    """One trained candidate in one runtime, as measured."""

    runtime: str  # `torch`, or an export format such as `openvino-int8`
    bytes: int  # of its weights on disk
    speedup: float  # over the median time of the baseline in PyTorch
    # its metric minus that of the baseline on the same held-out rows, as a fraction; negative is a loss
    difference: float
    # the paired 95 % interval of the difference
    low: float
    high: float
    rows: int  # number of held-out rows

    @property
    def loss(self) -> float:
        """Points lost; negative is a gain."""
        return -100 * self.difference

    @property
    def words(self) -> str:
        """The loss and its interval in words."""
        interval = f"[{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        points = f"{abs(self.loss):.1f} points"
        verb = "loses nothing" if points == "0.0 points" else ("gains " if self.loss < 0 else "loses ") + points
        return f"{verb} {interval}, n = {self.rows:,}"


@dataclass(frozen=True)
class Verdict:
    """Whether a variant may be the answer, and how sure that is."""

    accepted: bool  # whether it may
    # `shown` (the whole interval is within the points), `refuted` (none of it is), `not refuted` (a part of it is), or
    # for a speed-up `fast enough` and `too slow`
    word: Word


def judge(goal: Goal, variant: Variant) -> Verdict:
    """Compare a variant with the limit of the goal; a value on the limit is accepted."""
    if goal.kind == "best":
        fast = variant.speedup >= goal.limit
        return Verdict(fast, "fast enough" if fast else "too slow")
    # Differences are fractions with rounding errors: one of 200 rows must count as 0.5 points.
    difference, low, high = (round(100 * value, 6) for value in (variant.difference, variant.low, variant.high))
    word: Word = "not refuted"
    if low >= -goal.limit:
        word = "shown"
    elif high < -goal.limit:
        word = "refuted"
    return Verdict(word == "shown" if goal.sure else difference >= -goal.limit, word)


def cost(goal: Goal, variant: Variant) -> tuple[float, float]:
    """Return what the goal minimizes, and a tie-breaker."""
    if goal.kind == "smallest":
        return variant.bytes, variant.loss
    if goal.kind == "fastest":
        return 1 / variant.speedup, variant.loss
    return variant.loss, 1 / variant.speedup


@dataclass(frozen=True)
class Finished:
    """A run that ended."""

    candidate: Candidate  # what was trained
    variants: tuple[Variant, ...] = ()  # the measurements, one per runtime; none if the run failed
    error: str = ""  # its last message if it failed

    def of(self, runtime: str) -> Variant | None:
        """Return the variant in one runtime."""
        return next((variant for variant in self.variants if variant.runtime == runtime), None)


@dataclass(frozen=True)
class Choice:
    """A variant of a candidate and its verdict."""

    candidate: Candidate  # what was trained; without fields it is the baseline
    variant: Variant  # the measurements in one runtime
    verdict: Verdict  # whether it may be the answer


def judge_all(goal: Goal, results: Sequence[Finished]) -> list[Choice]:
    """Return every variant of every run with its verdict, without the baseline in PyTorch."""
    return [
        Choice(result.candidate, variant, judge(goal, variant))
        for result in results
        for variant in result.variants
        if result.candidate.fields or variant.runtime != "torch"
    ]


def best_of(goal: Goal, results: Sequence[Finished]) -> Choice | None:
    """Return the accepted variant with the lowest cost; of equal ones the first by name."""
    accepted = [choice for choice in judge_all(goal, results) if choice.verdict.accepted]
    return min(accepted, key=lambda one: (cost(goal, one.variant), one.candidate.name), default=None)
