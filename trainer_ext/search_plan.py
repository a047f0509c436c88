"""Search plan: which candidate to train next, and when to stop, from the results alone.

The candidate is trained whose gain times its chance is largest. Nothing is drawn by chance and nothing remembered, so a
search that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import search_words
from .errors import InputError
from .search_facts import Facts
from .search_goal import Goal
from .search_prospects import is_worth_a_run, prospects
from .search_results import Choice, Finished, best_of
from .search_space import FINE, Candidate, Space

MOST_RUNS = 12
MOST_FAILURES = 3  # in a search in which nothing succeeds


@dataclass(frozen=True)
class Run:
    """Train this one next.

    Attributes:
        candidate: what to lay over the recipe.
        why: a line for people to read.
    """

    candidate: Candidate
    why: str


@dataclass(frozen=True)
class Stop:
    """The search is over.

    Attributes:
        reason: why, in words with numbers.
        best: the answer, or None where nothing was accepted.
    """

    reason: str
    best: Choice | None


def space_for(goal: Goal, facts: Facts) -> Space:
    """What a goal looks over: a vocabulary is cut for size alone, and a given speed is met on a finer ladder."""
    if goal.kind == "best":
        return Space(facts, trims=False, strengths=FINE)
    return Space(facts, trims=goal.kind == "smallest")


def next_step(goal: Goal, space: Space, results: Sequence[Finished], most_runs: int = MOST_RUNS) -> Run | Stop:
    """The next run, or the end.

    Args:
        goal: what to find.
        space: what to look over, as `space_for` gives it.
        results: every run that ended, failed ones too, in any order. The exported baseline may be among them as
            `space.baseline`; it is no run.
        most_runs: at least 1.

    Raises:
        InputError: fewer runs than one.
    """
    if most_runs < 1:
        raise InputError(f"--max-runs must be 1 or more; it is {most_runs}.")
    runs = [result for result in results if result.candidate.fields]
    best = best_of(goal, results)
    failed = sum(not result.variants for result in runs)
    if len(runs) >= most_runs:
        return Stop(search_words.reason(goal, results, best, f"{len(runs)} of {most_runs} runs used"), best)
    if failed == len(runs) >= MOST_FAILURES:
        return Stop(search_words.reason(goal, results, best, "nothing else was tried"), best)
    found = prospects(goal, space, results)
    if not found or not is_worth_a_run(goal, found[0], best):
        return Stop(search_words.reason(goal, results, best, search_words.left(goal, found[:1])), best)
    return Run(found[0].candidate, search_words.why(goal, found[0]))
