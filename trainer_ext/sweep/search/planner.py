"""Decide which candidate to train next and when to stop, and explain both in words.

The decision follows from the results alone: nothing is random and nothing is remembered. So a search that was killed
continues where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError
from .acquisition import Prospect, is_worth_a_run, prospects
from .goal import Choice, Finished, Goal, Variant, best_of, cost, judge_all
from .space import FINE_STRENGTHS, Candidate, Facts, Space
from .surrogate import CHANGED_ROWS

MOST_RUNS = 12
MOST_FAILURES = 3  # if nothing succeeds
NEXT_BEST = {
    "smallest": "the next smaller one that was tried",
    "fastest": "the next faster one that was tried",
    "best": "the fastest of those that lose less, but are too slow",
}


@dataclass(frozen=True)
class NextRun:
    """The candidate to train next, and why, in one line."""

    candidate: Candidate
    why: str


@dataclass(frozen=True)
class Stop:
    """The end of a search."""

    reason: str  # why, in words with numbers
    best: Choice | None  # the answer, or None if nothing was accepted


def space_for(goal: Goal, facts: Facts) -> Space:
    """Return the candidates for a goal: the vocabulary is cut for size only, and a speed-up needs finer steps."""
    if goal.kind == "best":
        return Space(facts, trims=False, strengths=FINE_STRENGTHS)
    return Space(facts, trims=goal.kind == "smallest")


def next_step(goal: Goal, space: Space, results: Sequence[Finished], most_runs: int = MOST_RUNS) -> NextRun | Stop:
    """Return the next run, or the end of the search.

    Args:
        goal: what to look for.
        space: the candidates, see `space_for`.
        results: every run that ended, including failed ones, in any order. The exported baseline may be among them as
            `space.baseline`; it does not count as a run.
        most_runs: limit of runs, at least 1.

    Raises:
        InputError: The limit is less than 1.
    """
    if most_runs < 1:
        raise InputError(f"--max-runs must be 1 or more; it is {most_runs}.")
    runs = [result for result in results if result.candidate.fields]
    best = best_of(goal, results)
    failed = sum(not result.variants for result in runs)
    if len(runs) >= most_runs:
        return Stop(explain_stop(goal, results, best, f"{len(runs)} of {most_runs} runs used"), best)
    if failed == len(runs) >= MOST_FAILURES:
        return Stop(explain_stop(goal, results, best, "no further run was tried"), best)
    found = prospects(goal, space, results)
    if found and is_worth_a_run(goal, found[0], best):
        return NextRun(found[0].candidate, f"{_name(found[0])}: {_expectation(goal, found[0])}")
    ended = "no candidate is left"
    if found:
        ended = f"the best candidate left, {_name(found[0])}, is not worth a run: {_expectation(goal, found[0])}"
    return Stop(explain_stop(goal, results, best, ended), best)


def explain_stop(goal: Goal, results: Sequence[Finished], best: Choice | None, ended: str) -> str:
    """Return what a search found and why it stopped; `ended` is such as `12 of 12 runs used`."""
    refused = [choice for choice in judge_all(goal, results) if not choice.verdict.accepted]
    if best is not None:
        parts = [f"{goal.words[0].upper()}{goal.words[1:]}: {_measured(best)} ({best.verdict.word})"]
        # What was refused and would have been better: the one nearest to the answer.
        better = [one for one in refused if cost(goal, one.variant) < cost(goal, best.variant)]
        if better:
            key = (lambda one: one.speedup) if goal.kind == "best" else (lambda one: cost(goal, one)[0])
            nearest = max(better, key=lambda one: (key(one.variant), one.candidate.name))
            parts.append(f"{NEXT_BEST[goal.kind]}, {_measured(nearest)}")
        if goal.kind != "best" and best.verdict.word != "shown":
            parts.append(_rows_needed(goal, best.variant))
    elif refused:
        limit = f"reaches {goal.limit:g}x" if goal.kind == "best" else f"is within {goal.limit:g} points"
        key = (lambda one: -one.speedup) if goal.kind == "best" else (lambda one: one.loss)
        nearest = min(refused, key=lambda one: (key(one.variant), one.candidate.name))
        parts = [f"Nothing {limit}{' beyond doubt' if goal.sure else ''}", f"the nearest, {_measured(nearest)}"]
    else:
        parts = ["Nothing was measured"]
    if best is None and goal.sure and goal.limit:
        rows = CHANGED_ROWS * (196 / goal.limit) ** 2
        parts.append(f"to show it where nothing is lost takes about {_rounded(rows)} held-out rows")
    if failed := sorted(result.candidate.name for result in results if not result.variants):
        parts.append(f"{len(failed)} failed ({', '.join(failed)})")
    return "; ".join((*parts, ended)) + "."


def _measured(choice: Choice) -> str:
    variant = choice.variant
    size = f"{variant.bytes / 1e6:.1f} MB, {variant.speedup:.2f}x"
    return f"{choice.candidate.words} in {variant.runtime} ({size}), {variant.words}"


def _name(prospect: Prospect) -> str:
    return f"{prospect.candidate.words} ({prospect.runtime})"


def _expectation(goal: Goal, prospect: Prospect) -> str:
    chance = f"{100 * prospect.chance:.0f} % likely"
    if goal.kind == "best":
        return f"{chance} to be fast enough, about {max(0.0, prospect.cost):.1f} points lost"
    amount = f"{prospect.cost / 1e6:.1f} MB" if goal.kind == "smallest" else f"{1 / prospect.cost:.1f}x"
    return f"{chance} to be within {goal.limit:g} points, at about {amount}"


def _rows_needed(goal: Goal, variant: Variant) -> str:
    """Return how many held-out rows would be enough to show the loss, if the estimate stays the same."""
    room = goal.limit - variant.loss
    half = 50 * (variant.high - variant.low)
    if room <= 0.02 * half:
        return f"its interval leaves open whether the loss is below {goal.limit:g} points"
    rows = math.ceil(variant.rows * (half / room) ** 2)
    return f"its interval reaches below {-goal.limit:g} points; about {_rounded(rows)} rows would settle it"


def _rounded(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}"
