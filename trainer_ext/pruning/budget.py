"""Budget: choose how many heads and neurons each layer keeps, so that the sum of the errors is smallest within a cost.

Each block, the attention or the feed-forward of one layer, offers levels: what it costs, and the error that it makes. One
level of each is chosen by dynamic programming over a discretized cost, as in SPDY (Frantar and Alistarh 2022,
arXiv 2201.13096, section 3.2). The cost is a number of weights, or a measured time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BUCKETS = 4000  # of the budget; the cost of a level is rounded up to whole ones


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
    least = sum(min(block.costs) for block in blocks)
    if least > budget:
        raise ValueError(f"The cheapest choice costs {least:g}, above the budget of {budget:g}.")
    unit = max(budget - least, 1e-9 * max(budget, 1.0)) / BUCKETS
    best = np.zeros(BUCKETS + 1)  # smallest error of the blocks so far, by buckets that are left to spend
    chosen: list[np.ndarray] = []
    for block in blocks:
        cheapest = min(block.costs)
        # A tiny tolerance: a cost that is a whole number of buckets must not become one more by rounding.
        steps = np.ceil((np.asarray(block.costs) - cheapest) / unit - 1e-9).astype(int)
        options = np.full((len(steps), BUCKETS + 1), np.inf)
        for level, (step, error) in enumerate(zip(steps, block.errors, strict=True)):
            if step <= BUCKETS:
                options[level, step:] = best[: BUCKETS + 1 - step] + error
        chosen.append(options.argmin(0))
        best = options.min(0)
    left, counts = BUCKETS, []
    for block, levels in zip(reversed(blocks), reversed(chosen), strict=True):
        level = int(levels[left])
        counts.append(block.counts[level])
        left -= int(np.ceil((block.costs[level] - min(block.costs)) / unit - 1e-9))
    return counts[::-1]
