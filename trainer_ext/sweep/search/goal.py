"""Search goal: what a search is to find, and whether a measured model may be the answer.

Quality is judged on rows that were held out to choose by, never on the test file: the best of many tries looks better
on the rows that chose it than it is.

Search results: the runs that ended, and the best of what came out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import InputError
from .space import Candidate

OPTIONS = {"smallest": "--smallest-within", "fastest": "--fastest-within", "best": "--best-at"}


@dataclass(frozen=True)
class Goal:
    """What to find.

    Attributes:
        kind: `smallest` (bytes) or `fastest` (measured speed-up) within `points` of the baseline, or `best`: the smallest
            loss at `speedup` or more.
        points: of the metric, hundredths, that may be lost; of `smallest` and `fastest`.
        speedup: of the baseline in PyTorch, at least; of `best`.
        sure: accept only what is shown to be within the points, not what is merely not refuted.

    Raises:
        InputError: a number that is missing, not to be given, or out of range.
    """

    kind: Literal["smallest", "fastest", "best"]
    points: float | None = None
    speedup: float | None = None
    sure: bool = False

    def __post_init__(self):
        option = OPTIONS[self.kind]
        value, other = (self.speedup, self.points) if self.kind == "best" else (self.points, self.speedup)
        least, unit = (1, "times the baseline's speed") if self.kind == "best" else (0, "points that may be lost")
        if value is None or not least <= value < math.inf:
            raise InputError(f"{option} must be a number of {least} or more, {unit}; it is {value!r}.")
        if other is not None or (self.sure and self.kind == "best"):
            raise InputError(
                f"{option} {value:g} takes no second limit; give one of {', '.join(OPTIONS.values())} alone."
            )

    @property
    def words(self) -> str:
        """The goal, for people to read."""
        if self.kind == "best":
            return f"the best at {self.speedup:g}x or faster"
        return f"the {self.kind} within {self.points:g} points" + (", shown by its interval" if self.sure else "")


@dataclass(frozen=True)
class Variant:
    """One trained candidate in one runtime, as measured.

    Attributes:
        runtime: `torch`, or the format of an export, such as `openvino-int8`.
        bytes: of its weights on disk.
        speedup: of the baseline's median time in PyTorch.
        difference: its metric minus the baseline's on the same held-out rows, as a fraction; below 0 is a loss.
        low, high: the paired 95 % interval of the difference.
        rows: how many were held out.
    """

    runtime: str
    bytes: int
    speedup: float
    difference: float
    low: float
    high: float
    rows: int

    @property
    def loss(self) -> float:
        """Points lost; below 0 is a gain."""
        return -100 * self.difference

    @property
    def words(self) -> str:
        """What it lost, with its interval, for people to read."""
        interval = f"[{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        points = f"{abs(self.loss):.1f} points"
        verb = "loses nothing" if points == "0.0 points" else ("gains " if self.loss < 0 else "loses ") + points
        return f"{verb} {interval}, n = {self.rows:,}"


@dataclass(frozen=True)
class Verdict:
    """Whether a variant may be the answer, and how sure that is.

    Attributes:
        accepted: it may.
        word: `shown` (the whole interval is within the points), `not refuted` (the estimate is, or is not, but the
            interval holds both), `refuted` (the whole interval is below), or for a speed `fast enough` and `too slow`.
    """

    accepted: bool
    word: Literal["shown", "not refuted", "refuted", "fast enough", "too slow"]


def judge(goal: Goal, variant: Variant) -> Verdict:
    """Hold a variant against the goal's limit; a value on the limit is within it."""
    if goal.kind == "best":
        fast = variant.speedup >= goal.speedup
        return Verdict(fast, "fast enough" if fast else "too slow")
    limit = -goal.points
    # Differences are fractions with rounding errors: 0.5 points of 200 rows must be within 0.5 points.
    difference, low, high = (round(100 * value, 6) for value in (variant.difference, variant.low, variant.high))
    if low >= limit:
        word = "shown"
    else:
        word = "refuted" if high < limit else "not refuted"
    return Verdict(word == "shown" if goal.sure else difference >= limit, word)


def cost(goal: Goal, variant: Variant) -> tuple[float, float]:
    """What the goal wants least of, then what it takes as a tie-break; smaller is better."""
    if goal.kind == "smallest":
        return variant.bytes, variant.loss
    if goal.kind == "fastest":
        return 1 / variant.speedup, variant.loss
    return variant.loss, 1 / variant.speedup


@dataclass(frozen=True)
class Finished:
    """A run that ended.

    Attributes:
        candidate: what was run.
        variants: what came out, one per runtime; none where it failed.
        error: what it said when it failed.
    """

    candidate: Candidate
    variants: tuple[Variant, ...] = ()
    error: str = ""

    def of(self, runtime: str) -> Variant | None:
        """The variant in one runtime."""
        return next((variant for variant in self.variants if variant.runtime == runtime), None)


@dataclass(frozen=True)
class Choice:
    """A variant, and what the goal says of it.

    Attributes:
        candidate: what was trained; its name is `baseline` where nothing was.
        variant: in which runtime, and what was measured.
        verdict: whether it may be the answer, and how sure that is.
    """

    candidate: Candidate
    variant: Variant
    verdict: Verdict


def judged(goal: Goal, results: Sequence[Finished]) -> list[Choice]:
    """Every variant of every run with its verdict; not the baseline in PyTorch, with which all are compared."""
    return [
        Choice(result.candidate, variant, judge(goal, variant))
        for result in results
        for variant in result.variants
        if result.candidate.fields or variant.runtime != "torch"
    ]


def best_of(goal: Goal, results: Sequence[Finished]) -> Choice | None:
    """The accepted variant that costs least; of equals, the first by name."""
    accepted = [choice for choice in judged(goal, results) if choice.verdict.accepted]
    return min(accepted, key=lambda one: (cost(goal, one.variant), one.candidate.name), default=None)
