"""Selection: which units stay, as pure functions of scores, costs and a target sparsity.

A unit is a block of an attention matrix, an attention head or a feed-forward neuron. Sparsity is the fraction of
prunable weights that is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import Diverged
from ..utils.finite import DIVERGED_HINT

# As in nn_pruning (its `min_elements`), at least half a percent of every matrix stays, and never less than one unit.
FLOOR_FRACTION = 0.005
# Far above any learned score, and exact in fp32: it moves a unit above all others, or below them.
LIFT = 1e6
# Kernels compute vectors of outputs: a matrix of 1,539 rows takes a third longer than one of 1,536 (fp32, AVX-512). Widths
# below `WIDE` are not rounded: eight neurons would be too large a part of them.
VECTOR, WIDE = 8, 1024


class OutOfReach(ValueError):
    """Raised when a target cannot be met with what may be pruned. The message names the fields of the training arguments.

    Attributes:
        target: `sparsity` or `speedup`.
        asked: the target.
        most: words that say what can be had.
        way_out: words that say what to do instead.
    """

    def __init__(self, target: str, asked: float, most: str, way_out: str):
        super().__init__(target, asked, most, way_out)
        self.target, self.asked, self.most, self.way_out = target, asked, most, way_out

    def __str__(self) -> str:
        return f"prune_{self.target}={self.asked:.6g} cannot be reached: {self.most}. {self.way_out}."


@dataclass(frozen=True)
class Structure:
    """What stays after shrinking: ids of heads and neurons, per layer, in ascending order."""

    heads: list[list[int]]
    neurons: list[list[int]]


def floor_of(units: int) -> int:
    """Return how many of the units of a matrix must stay open, whatever their scores."""
    return min(units, max(1, int(FLOOR_FRACTION * units)))


def best(scores: torch.Tensor, kept: int) -> torch.Tensor:
    """Return a bool mask `[units]` of the `kept` highest scores; ties go to the lower id, on every device."""
    # A stable sort, because topk breaks ties in any order.
    order = scores.argsort(descending=True, stable=True)[:kept]
    return torch.zeros_like(scores, dtype=torch.bool).index_fill(0, order, True)


def best_ids(scores: torch.Tensor, kept: int) -> list[int]:
    """Return the ids of the `kept` highest scores, in ascending order."""
    return best(scores, kept).nonzero().flatten().tolist()


def as_offsets(keep: torch.Tensor) -> torch.Tensor:
    """Return offsets `[units]` that move the kept units above all scores and the others below them."""
    return torch.where(keep, LIFT, -LIFT)


def whole_vectors(kept: int, size: int) -> int:
    """Return the number of neurons nearest to `kept` that fills whole vectors.

    Args:
        kept: number of neurons to round. All, none, and any number in a narrow layer are returned as they are.
        size: number of neurons of the layer.
    """
    if size < WIDE or kept in (0, size):
        return kept
    return min(size, max(VECTOR, VECTOR * round(kept / VECTOR)))


def floor_offsets(scores: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Return offsets `[units]` that move the best units of every matrix above all others, the floor of a global ranking.

    Args:
        scores: `[units]`, the matrices one after the other.
        sizes: number of units of each matrix.
    """
    return LIFT * torch.cat([best(part, floor_of(part.numel())) for part in scores.split(list(sizes))]).to(scores)


def kept_units(sizes: Sequence[int], fraction_gone: float) -> int:
    """Return how many units stay open when a fraction of them closes, never fewer than the floors.

    Args:
        sizes: number of units of each matrix.
        fraction_gone: fraction of all units to close, in [0, 1].
    """
    total = sum(sizes)
    return max(total - round(fraction_gone * total), sum(floor_of(size) for size in sizes))


def top_units(scores: torch.Tensor, sizes: Sequence[int], kept: int) -> list[list[int]]:
    """Return the ids of the best units per matrix, ranked over the whole model above the floor of each matrix.

    Args:
        scores: `[units]`, the matrices one after the other; ties go to the lower id, on every device.
        sizes: number of units of each matrix.
        kept: how many units stay in all; at least the sum of the floors.
    """
    scores = scores.detach().double().cpu()
    mask = best(scores + floor_offsets(scores, sizes), kept)
    return [part.nonzero().flatten().tolist() for part in mask.split(list(sizes))]


def structure_for(
    head_scores: Sequence[torch.Tensor],
    neuron_scores: Sequence[torch.Tensor],
    *,
    head_costs: Sequence[int],
    neuron_costs: Sequence[int],
    sparsity: float,
    prune_heads: bool,
    prune_neurons: bool,
    dropped: int = 0,
) -> Structure:
    """Choose whole heads and neurons by global ranking, so that a given fraction of the weights is removed.

    Attention and feed-forward part lose the same fraction. Heads are coarse, so they are chosen first, and neurons (if
    they may be pruned) make up the difference: the target is met to within one neuron.

    Args:
        head_scores: per layer `[heads]`.
        neuron_scores: per layer `[neurons]`.
        head_costs: weights of one head, per layer.
        neuron_costs: weights of one neuron, per layer.
        sparsity: fraction of all prunable weights to remove, in [0, 1).
        prune_heads: whether heads may be removed.
        prune_neurons: whether neurons may be removed.
        dropped: weights of layers that were dropped before: an error message counts them as removed.

    Raises:
        OutOfReach: If the target cannot be reached with what may be pruned.
    """
    head_sizes, neuron_sizes = [len(part) for part in head_scores], [len(part) for part in neuron_scores]
    attention = sum(size * cost for size, cost in zip(head_sizes, head_costs, strict=True))
    ffn = sum(size * cost for size, cost in zip(neuron_sizes, neuron_costs, strict=True))
    sizes, costs = [*head_sizes, *neuron_sizes], [*head_costs, *neuron_costs]
    allowed = [prune_heads] * len(head_sizes) + [prune_neurons] * len(neuron_sizes)
    off = "" if prune_heads and prune_neurons else f"with prune_{'ffn' if prune_heads else 'attention'} off "
    way_out = f"Lower the sparsity, or {more_room(prune_heads, prune_neurons)}"
    _check_reachable(sizes, costs, allowed, sparsity, dropped=dropped, limits=off, way_out=way_out)
    target = sparsity * (attention + ffn)
    share = target / (attention * prune_heads + ffn * prune_neurons)

    kept_heads = kept_units(head_sizes, share) if prune_heads else sum(head_sizes)
    heads = top_units(torch.cat(list(head_scores)), head_sizes, kept_heads)
    gone = sum((size - len(ids)) * cost for size, ids, cost in zip(head_sizes, heads, head_costs, strict=True))
    rest = max(target - gone, 0.0) / ffn if prune_neurons else 0.0
    kept_neurons = kept_units(neuron_sizes, rest)
    return Structure(heads, top_units(torch.cat(list(neuron_scores)), neuron_sizes, kept_neurons))


def equal_structure(
    head_scores: Sequence[torch.Tensor],
    neuron_scores: Sequence[torch.Tensor],
    *,
    head_costs: Sequence[int],
    neuron_costs: Sequence[int],
    sparsity: float,
    dropped: int = 0,
) -> Structure:
    """Choose all heads and the same number of neurons in every layer, which a stock config can describe.

    The arguments are those of `structure_for`; the layers must have equally many neurons.

    Raises:
        OutOfReach: If the target cannot be reached with neurons alone.
    """
    head_sizes, neuron_sizes = [len(part) for part in head_scores], [len(part) for part in neuron_scores]
    sizes, costs = [*head_sizes, *neuron_sizes], [*head_costs, *neuron_costs]
    allowed = [False] * len(head_sizes) + [True] * len(neuron_sizes)
    limits = "prune_structure=plain removes neurons only, so that "
    way_out = f"Lower the sparsity, or {more_room(False, True, plain=True)}"
    _check_reachable(sizes, costs, allowed, sparsity, dropped=dropped, limits=limits, way_out=way_out)
    weights = [size * cost for size, cost in zip(sizes, costs, strict=True)]
    width = max(1, neuron_sizes[0] - round(sparsity * sum(weights) / sum(neuron_costs)))
    kept = [best_ids(scores, width) for scores in neuron_scores]
    return Structure([list(range(size)) for size in head_sizes], kept)


def more_room(prune_heads: bool, prune_neurons: bool, *, plain: bool = False) -> str:
    """Return words that say how more of a model may be removed.

    Args:
        prune_heads: whether heads may be removed.
        prune_neurons: whether neurons may be removed.
        plain: whether the structure is plain, which keeps all heads.
    """
    if plain:
        return "choose prune_structure=compact, which removes heads too"
    if prune_heads and prune_neurons:
        return "raise prune_layers, which drops whole layers"
    return "let both parts be pruned"


def _check_reachable(
    sizes: Sequence[int],
    costs: Sequence[int],
    allowed: Sequence[bool],
    sparsity: float,
    *,
    dropped: int,
    limits: str,
    way_out: str,
) -> None:
    """Raise an error if a target is out of reach, because of the floors or of what may be pruned.

    Args:
        sizes: units per matrix.
        costs: weights of a unit.
        allowed: whether units of the matrix may be removed.
        sparsity: fraction of these weights to remove.
        dropped: weights removed before, which count in the message.
        limits: words before what can be removed.
        way_out: words that say what to do.
    """
    total = sum(size * cost for size, cost in zip(sizes, costs, strict=True))
    free = sum((size - floor_of(size)) * cost for size, cost, may in zip(sizes, costs, allowed, strict=True) if may)
    if sparsity * total - free < 0.5:  # of a weight: the highest that is named can be asked for
        return
    whole = total + dropped
    highest = 1000 * (free + dropped) // whole / 1000  # rounded down
    most = f"{limits}at most {highest:.3f} of the encoder's prunable weights can be removed"
    most += ", dropped layers included" if dropped else ""
    raise OutOfReach("sparsity", (sparsity * total + dropped) / whole, most, way_out)


def check_scores(scores: Sequence[torch.Tensor], what: str) -> None:
    """Raise an error if units cannot be ranked by their scores: NaN would sort above all numbers.

    Args:
        scores: `[units]` per layer.
        what: name of the units, for the message.

    Raises:
        Diverged: If a score is NaN, infinite, or so large that the floor of a ranking would not be above it.
    """
    values = torch.cat([part.detach().reshape(-1) for part in scores])
    if bad := int((~(values.abs() < LIFT)).sum()):
        raise Diverged(
            f"The scores of {bad} of {len(values)} {what} are NaN, infinite or above {LIFT:.0e}, so they cannot be ranked: "
            f"the training diverged; {DIVERGED_HINT}."
        )
