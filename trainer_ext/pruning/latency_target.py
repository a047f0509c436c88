"""Latency target: choose what stays so that a model becomes a given number of times faster, from a table of times.

An attention or feed-forward block has a fixed cost and a cost per head or neuron, so removing one block competes with
narrowing several: depth and width are one knapsack problem with one choice per block, which `budget.choose` solves. After
Kurtic, Frantar and Alistarh 2023 (ZipLM, arXiv 2302.04089, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .budget import Levels, choose
from .selection import OutOfReach, Structure, best_ids, more_room

WIDTHS = 64  # feed-forward widths that are tried per layer


@dataclass(frozen=True)
class LatencyTable:
    """Time of the blocks of a layer, in milliseconds of a forward pass, on the machine that measured it.

    Attributes:
        heads: numbers of heads, ascending.
        attention_ms: time that an attention block with so many heads adds.
        neurons: numbers of neurons, ascending.
        ffn_ms: time that a feed-forward block with so many neurons adds.
        fixed_ms: time of a model without any block.
        correction: divisor of the budget, because the times of the parts do not exactly add up.
        machine: what was measured and where: model, device, dtype, batch size and so on.
    """

    heads: list[int]
    attention_ms: list[float]
    neurons: list[int]
    ffn_ms: list[float]
    fixed_ms: float
    correction: float
    machine: dict[str, Any]

    def attention(self, heads: int | np.ndarray) -> float | np.ndarray:
        """Return the milliseconds of one attention block with so many heads."""
        return np.interp(heads, self.heads, self.attention_ms)

    def ffn(self, neurons: int | np.ndarray) -> float | np.ndarray:
        """Return the milliseconds of one feed-forward block with so many neurons."""
        return np.interp(neurons, self.neurons, self.ffn_ms)

    def budget(self, dense_ms: float, speedup: float, *, least: float, more_room: str) -> float:
        """Return the milliseconds that the blocks may take, so that a model is so many times as fast as the dense one.

        Args:
            dense_ms: time of the dense model.
            speedup: target.
            least: milliseconds of the blocks with everything removed that may be.
            more_room: words that say how more may be removed, from `selection.more_room`.

        Raises:
            OutOfReach: If the blocks take at least more, with the highest speed-up that can be reached.
        """
        budget = dense_ms / (speedup * self.correction) - self.fixed_ms
        if least <= budget:
            return budget
        highest = dense_ms / (self.fixed_ms + least) / self.correction
        most = f"with everything removed that may be, the model runs {highest:.2f} times as fast on this machine"
        raise OutOfReach("speedup", speedup, most, f"Lower the speed-up, or {more_room}")

    def total_ms(self, heads: Sequence[int], neurons: Sequence[int], uses: Sequence[int]) -> float:
        """Return the milliseconds of a model with so many heads and neurons per layer, each layer run `uses` times."""
        blocks = self.attention(np.asarray(heads)) + self.ffn(np.asarray(neurons))
        return self.fixed_ms + float((np.asarray(uses) * blocks).sum())


def fastest_structure(
    head_scores: Sequence[torch.Tensor],
    neuron_scores: Sequence[torch.Tensor],
    *,
    head_costs: Sequence[int],
    neuron_costs: Sequence[int],
    uses: Sequence[int],
    table: LatencyTable,
    dense_ms: float,
    speedup: float,
    prune_heads: bool,
    prune_neurons: bool,
    equal: bool,
) -> Structure:
    """Choose the most valuable units that fit into `dense_ms / speedup`.

    The value of a unit is its number of weights times its rank, from 0 to 1, among all heads or all neurons of the model.
    Ranks have a common scale; the scores of heads and of neurons do not.

    Args:
        head_scores: per layer `[heads]`.
        neuron_scores: per layer `[neurons]`.
        head_costs: weights of one head, per layer.
        neuron_costs: weights of one neuron, per layer.
        uses: how often each layer runs.
        table: the measured times.
        dense_ms: time of the model that the speed-up is relative to.
        speedup: target, at least 1.
        prune_heads: whether heads may be removed.
        prune_neurons: whether neurons may be removed.
        equal: whether every layer keeps all heads and the same number of neurons.

    Raises:
        OutOfReach: If the speed-up cannot be reached, with the highest one that can.
    """
    room = more_room(prune_heads, prune_neurons, plain=equal)
    if equal:
        heads, neurons = ([len(part) for part in scores] for scores in (head_scores, neuron_scores))
        least = table.total_ms(heads, [0] * len(uses) if prune_neurons else neurons, uses) - table.fixed_ms
        budget = table.budget(dense_ms, speedup, least=least, more_room=room)
        return _equal(head_scores, neuron_scores, table, uses, budget)
    blocks = [
        *_blocks(head_scores, head_costs, uses, table.attention, steps=None, free=prune_heads),
        *_blocks(neuron_scores, neuron_costs, uses, table.ffn, steps=WIDTHS, free=prune_neurons),
    ]
    least = sum(min(block.costs) for block in blocks)
    budget = table.budget(dense_ms, speedup, least=least, more_room=room)
    kept = choose(blocks, budget)
    best = [best_ids(scores, count) for scores, count in zip([*head_scores, *neuron_scores], kept, strict=True)]
    return Structure(best[: len(uses)], best[len(uses) :])


def _blocks(scores, costs, uses, price, *, steps: int | None, free: bool) -> list[Levels]:
    """Return per layer how many units may stay, with their time and the value that is lost with the others."""
    flat = torch.cat([part.detach().double().cpu() for part in scores])
    ranks = torch.empty_like(flat)
    ranks[flat.argsort(stable=True)] = torch.arange(1, len(flat) + 1, dtype=flat.dtype) / max(1, len(flat))
    found = []
    for part, cost, times in zip(ranks.split([len(part) for part in scores]), costs, uses, strict=True):
        worth = np.concatenate([[0.0], np.cumsum(np.sort(part.numpy())[::-1])]) * cost
        step = 1 if steps is None else max(1, len(part) // steps)
        counts = np.unique([*range(0, len(part), step), len(part)]) if free else np.array([len(part)])
        found.append(Levels(counts.tolist(), (times * price(counts)).tolist(), (worth[-1] - worth[counts]).tolist()))
    return found


def _equal(head_scores, neuron_scores, table: LatencyTable, uses, budget: float) -> Structure:
    """Choose all heads and the largest common width that fits; at least one neuron, which a stock config needs."""
    heads = [len(part) for part in head_scores]
    widths = np.arange(1, len(neuron_scores[0]) + 1)
    times = sum(uses) * table.ffn(widths) + sum(u * table.attention(h) for u, h in zip(uses, heads, strict=True))
    width = int(widths[times <= budget].max(initial=1))
    return Structure([list(range(size)) for size in heads], [best_ids(scores, width) for scores in neuron_scores])
