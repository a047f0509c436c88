"""Schedules: pure functions from a training step to a value."""

from __future__ import annotations


def phase_steps(max_steps: int, *, start: float, end: float) -> tuple[int, int]:
    """First and last step of the sparsity ramp.

    Phases are fractions of the run, never counts: counts borrowed from a long run are never reached by a short one.

    Args:
        max_steps: optimizer steps of the whole run, at least 1.
        start: fraction of the run trained dense, in [0, 1).
        end: fraction of the run at which the final structure is fixed, in (start, 1].

    Returns:
        `(first, last)` with `0 <= first < last <= max_steps`.

    Raises:
        ValueError: if a bound is violated.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}.")
    if not 0 <= start < end <= 1:
        raise ValueError(f"Need 0 <= start < end <= 1, got start={start}, end={end}.")
    first = min(int(start * max_steps), max_steps - 1)
    return first, max(first + 1, int(end * max_steps))


def cubic_ramp(step: int, *, first: int, last: int, final: float) -> float:
    """Sparsity at a step: 0 until `first`, then `final * (1 - (1 - p)^3)` with `p` from 0 to 1, `final` from `last` on.

    The cubic removes much while much is redundant and little towards the end (Zhu and Gupta 2017, arXiv 1710.01878,
    section 2; the schedule of block movement pruning, arXiv 2109.04838, section 4).

    Args:
        step: optimizer steps done so far.
        first: step at which the ramp leaves 0.
        last: step at which it reaches `final`; greater than `first`.
        final: sparsity at the end, a fraction in [0, 1).
    """
    if first >= last:
        raise ValueError(f"The ramp must last at least one step, got first={first}, last={last}.")
    progress = min(max((step - first) / (last - first), 0.0), 1.0)
    return final * (1.0 - (1.0 - progress) ** 3)
