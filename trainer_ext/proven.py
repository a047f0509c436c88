"""Proven: a model with masks becomes the small one, and both are shown to compute the same."""

from __future__ import annotations

from dataclasses import dataclass

from . import equivalence, masks
from .errors import Diverged
from .finite import WAY_OUT, check_trained
from .shrink import shrink, shrink_plain
from .units import PruningSpec

SHRINK = {"compact": shrink, "plain": shrink_plain}


@dataclass(frozen=True)
class Compression:
    """What `train()` made of the model: heads and neurons that stayed per layer, sparsity, and the equality found.

    `masked_vs_shrunk` is the largest difference of logits over `rows` texts of random tokens.
    """

    heads: list[list[int]]
    neurons: list[list[int]]
    sparsity: float
    masked_vs_shrunk: float
    rows: int


def smaller_of(masked) -> tuple:
    """`(smaller, heads, neurons)` of a model with masks, which loses them, by the structure that its spec asks for."""
    structure = PruningSpec(**masked.config.pruning).structure
    return SHRINK[structure](masks.merge(masked))


def shrink_masked(masked) -> tuple:
    """Fix the structure where that has not happened, merge the masks, shrink, and compare the logits.

    Args:
        masked: a model with masks; it loses them, and is left in fp32.

    Returns:
        `(smaller, compression)`; the smaller model has the precision that `masked` had.

    Raises:
        Diverged: if the model is left with NaN or infinite numbers.
        RuntimeError: if the outputs differ by more than rounding explains.
    """
    # In fp32: other shapes sum in another order, and rounding to half precision is far above the tolerance.
    precision = masked.dtype
    masked.float()
    if not masked.pruning.is_frozen:
        masks.close(masked)
    sparsity = masks.current_sparsity(masked)
    batch = equivalence.synthetic_batch(masked)
    before = equivalence.logits(masked, batch)
    if not before.isfinite().all():
        check_trained(masked, "The training")
        raise Diverged(f"The model with masks answers NaN or infinite logits; {WAY_OUT}.")
    smaller, heads, neurons = smaller_of(masked)
    difference = (equivalence.logits(smaller, batch) - before).abs().max().item()
    allowed = equivalence.allowed_difference(before)
    if not difference <= allowed:
        raise RuntimeError(
            f"The shrunk model differs from the masked one by {difference:.1e}, above {allowed:.0e}; "
            "the last checkpoint still holds the masked one (trainer_ext.load_masked)."
        )
    return smaller.to(precision), Compression(heads, neurons, sparsity, difference, len(before))
