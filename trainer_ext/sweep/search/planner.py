"""Search words: why a candidate is next and why a search stopped, in lines with numbers.

Search plan: which candidate to train next, and when to stop, from the results alone.

The candidate is trained whose gain times its chance is largest. Nothing is drawn by chance and nothing remembered, so a
search that was killed goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError
from .goal import Choice, Finished, Goal, Variant, best_of, cost, judged
from .space import FINE, Candidate, Facts, Space
from .surrogate import CHANGED_ROWS, Prospect, is_worth_a_run, prospects

NEXT = {
    "smallest": "the next smaller one that was tried",
    "fastest": "the next faster one that was tried",
    "best": "the fastest of those that lose less, but are too slow",
}


def why(goal: Goal, prospect: Prospect) -> str:
    """Why this candidate is next."""
    return f"{prospect.candidate.words} ({prospect.runtime}): {_expected(goal, prospect)}"


def left(goal: Goal, found: Sequence[Prospect]) -> str:
    """What was not tried, and why not."""
    if not found:
        return "the ladder holds nothing else that may be"
    prospect = found[0]
    return (
        f"of what is left, {prospect.candidate.words} ({prospect.runtime}) promises most, too little for a run: "
        + (_expected(goal, prospect))
    )


def reason(goal: Goal, results: Sequence[Finished], best: Choice | None, ended: str) -> str:
    """Why a search stopped.

    Args:
        goal: of the search.
        results: all of them.
        best: the answer, or None.
        ended: what ended it, such as `12 of 12 runs used`.
    """
    refused = [choice for choice in judged(goal, results) if not choice.verdict.accepted]
    parts = []
    if best is None:
        limit = f"reaches {goal.speedup:g}x" if goal.kind == "best" else f"is within {goal.points:g} points"
        parts.append(f"Nothing {limit}{' beyond doubt' * goal.sure}" if refused else "Nothing was measured")
        if refused:
            least = (lambda one: -one.variant.speedup) if goal.kind == "best" else (lambda one: one.variant.loss)
            nearest = min(refused, key=lambda one: (least(one), one.candidate.name))
            parts.append(f"the nearest, {_what(nearest)}")
        if goal.sure and goal.points:
            rows = CHANGED_ROWS * (196 / goal.points) ** 2
            parts.append(f"to show it where nothing is lost takes about {_rounded(rows)} held-out rows")
    else:
        parts.append(f"{goal.words[0].upper()}{goal.words[1:]}: {_what(best)} ({best.verdict.word})")
        if border := _border(goal, refused, best):
            parts.append(f"{NEXT[goal.kind]}, {_what(border)}")
        if goal.kind != "best" and best.verdict.word != "shown":
            parts.append(_rows_needed(goal, best.variant))
    if broken := [result for result in results if not result.variants]:
        parts.append(f"{len(broken)} failed ({', '.join(sorted(result.candidate.name for result in broken))})")
    return "; ".join(part for part in (*parts, ended) if part) + "."


def _border(goal: Goal, refused: Sequence[Choice], best: Choice) -> Choice | None:
    """Of what was refused and would have been better, the one nearest to the answer."""
    cheaper = [one for one in refused if cost(goal, one.variant) < cost(goal, best.variant)]
    if goal.kind == "best":
        return max(cheaper, key=lambda one: (one.variant.speedup, one.candidate.name), default=None)
    return max(cheaper, key=lambda one: (cost(goal, one.variant)[0], one.candidate.name), default=None)


def _what(choice: Choice) -> str:
    variant = choice.variant
    size = f"{variant.bytes / 1e6:.1f} MB, {variant.speedup:.2f}x"
    return f"{choice.candidate.words} in {variant.runtime} ({size}), {variant.words}"


def _expected(goal: Goal, prospect: Prospect) -> str:
    chance = f"{100 * prospect.chance:.0f} % likely"
    if goal.kind == "best":
        return f"{chance} to be fast enough, about {max(0.0, prospect.cost):.1f} points lost"
    amount = f"{prospect.cost / 1e6:.1f} MB" if goal.kind == "smallest" else f"{1 / prospect.cost:.1f}x"
    return f"{chance} to be within {goal.points:g} points, at about {amount}"


def _rows_needed(goal: Goal, variant: Variant) -> str:
    """How many rows would show what this many leave open, if the estimate stays."""
    room = goal.points - variant.loss
    half = 50 * (variant.high - variant.low)
    if room <= 0.02 * half:
        return f"its interval leaves open whether the loss is below {goal.points:g} points"
    rows = math.ceil(variant.rows * (half / room) ** 2)
    return f"its interval reaches below {-goal.points:g} points; about {_rounded(rows)} rows would settle it"


def _rounded(number: float) -> str:
    return f"{float(f'{number:.2g}'):,.0f}"


MOST_RUNS = 12
MOST_FAILURES = 3  # in a search in which nothing succeeds


@dataclass(frozen=True)
class NextRun:
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


def next_step(goal: Goal, space: Space, results: Sequence[Finished], most_runs: int = MOST_RUNS) -> NextRun | Stop:
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
        return Stop(reason(goal, results, best, f"{len(runs)} of {most_runs} runs used"), best)
    if failed == len(runs) >= MOST_FAILURES:
        return Stop(reason(goal, results, best, "nothing else was tried"), best)
    found = prospects(goal, space, results)
    if not found or not is_worth_a_run(goal, found[0], best):
        return Stop(reason(goal, results, best, left(goal, found[:1])), best)
    return NextRun(found[0].candidate, why(goal, found[0]))
