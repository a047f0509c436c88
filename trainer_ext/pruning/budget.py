"""Budget: choose how many heads and neurons each layer keeps, so that the sum of the errors is smallest within a cost.

Each block, the attention or the feed-forward of one layer, offers levels: what it costs, and the error that it makes. One
level of each is chosen by dynamic programming over a discretized cost, as in SPDY (Frantar and Alistarh 2022,
arXiv 2201.13096, section 3.2). The cost is a number of weights, or a measured time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BUCKETS = (
    4000  # of the budget; the cost of a level is rounded up to whole ones, and the rounding given back at the end
)


@dataclass(frozen=True)
class Levels:
    """The levels of one block.

    Attributes:
        counts: heads or neurons that stay, one per level.
        costs: cost of each level.
        errors: error of each level.
    """

    counts: Sequence[int]
    costs: Sequence[float]
    errors: Sequence[float]


def choose(blocks: Sequence[Levels], budget: float) -> list[int]:
    """Return for each block the number of heads or neurons that stay: the smallest sum of errors within the budget.

    Args:
        blocks: the levels of each block.
        budget: largest sum of the costs.

    Raises:
        ValueError: If the cheapest levels together cost more than the budget.
    """
    cheapest = [min(block.costs) for block in blocks]
    least = sum(cheapest)
    if least > budget:
        raise ValueError(f"The cheapest choice costs {least:g}, above the budget of {budget:g}.")
    unit = max(budget - least, 1e-9 * max(budget, 1.0)) / BUCKETS
    # A tiny tolerance: a cost that is a whole number of buckets must not become one more by rounding.
    steps = [
        np.ceil((np.asarray(block.costs) - low) / unit - 1e-9).astype(int)
        for block, low in zip(blocks, cheapest, strict=True)
    ]
    most = BUCKETS + len(blocks)  # each cost is rounded up by less than one bucket
    best = np.zeros(most + 1)  # smallest error of the blocks so far, by buckets that are left to spend
    chosen: list[np.ndarray] = []
    for block, needed in zip(blocks, steps, strict=True):
        options = np.full((len(needed), most + 1), np.inf)
        for level, (step, error) in enumerate(zip(needed, block.errors, strict=True)):
            if step <= most:
                options[level, step:] = best[: most + 1 - step] + error
        chosen.append(options.argmin(0))
        best = options.min(0)
    for left in range(most, BUCKETS - 1, -1):  # the first that is within the budget when nothing is rounded
        levels = _levels(chosen, steps, left)
        cost = sum(block.costs[level] for block, level in zip(blocks, levels, strict=True))
        if cost <= budget + 1e-9 * unit * BUCKETS or left == BUCKETS:
            break
    return [block.counts[level] for block, level in zip(blocks, levels, strict=True)]


def _levels(chosen: Sequence[np.ndarray], steps: Sequence[np.ndarray], left: int) -> list[int]:
    """Follow the choices back from the last block, with so many buckets to spend."""
    levels = []
    for options, needed in zip(reversed(chosen), reversed(steps), strict=True):
        level = int(options[left])
        levels.append(level)
        left -= int(needed[level])
    return levels[::-1]
