"""Schedules: pure functions from a training step to a value."""

from __future__ import annotations


def phase_steps(max_steps: int, *, start: float, end: float) -> tuple[int, int]:
    """Return the first and last step of the sparsity ramp.

    Phases are fractions of the run and not step counts, so that they also fit a shorter run.

    Args:
        max_steps: optimizer steps of the whole run, at least 1.
        start: fraction of the run that is trained dense, in [0, 1).
        end: fraction of the run at which the structure is frozen, in (start, 1].

    Returns:
        `(first, last)` with `0 <= first < last <= max_steps`.

    Raises:
        ValueError: If an argument is out of range.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}.")
    if not 0 <= start < end <= 1:
        raise ValueError(f"Need 0 <= start < end <= 1, got start={start}, end={end}.")
    first = min(int(start * max_steps), max_steps - 1)
    return first, max(first + 1, int(end * max_steps))


def cubic_ramp(step: int, *, first: int, last: int, final: float) -> float:
    """Return the sparsity at a step: `final * (1 - (1 - p)^3)`, with `p` rising from 0 at `first` to 1 at `last`.

    The cubic removes much while much is redundant, and little towards the end (Zhu and Gupta 2017, arXiv 1710.01878,
    section 2; also the schedule of block movement pruning, arXiv 2109.04838, section 4).

    Args:
        step: optimizer steps done so far.
        first: last step at which the sparsity is 0.
        last: first step at which the sparsity is `final`; greater than `first`.
        final: sparsity at the end, a fraction in [0, 1).

    Raises:
        ValueError: If `last` is not greater than `first`.
    """
    if first >= last:
        raise ValueError(f"The ramp must last at least one step, got first={first}, last={last}.")
    progress = min(max((step - first) / (last - first), 0.0), 1.0)
    return final * (1.0 - (1.0 - progress) ** 3)
