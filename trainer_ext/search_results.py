"""Search results: the runs that ended, and the best of what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .search_goal import Goal, Variant, Verdict, cost, judge
from .search_space import Candidate


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
