"""Scores: what is learned about every unit, and the mask it gives through a straight-through estimator.

Movement pruning (Sanh, Wolf and Rush 2020, arXiv 2005.07683, section 4): the gradient of the mask passes unchanged to
the scores, so that a score rises while its weights move away from zero. The estimator is nn_pruning's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from nn_pruning.modules.binarizer import TopKBinarizer
from torch import nn

from . import selection

# The soft method, after the configurations released with block movement pruning: the threshold ends at 0.1, and the
# penalty is of the order of theirs, 10. Here it is in proportion to how much of the target is missing, with all its
# weight from a tenth on, and opens where too much is closed: a score that was pushed far down would not come back.
FINAL_THRESHOLD = 0.1
PENALTY_WEIGHT, FULL_FROM = 100.0, 0.1


class UnitScores(nn.Module):
    """The scores of one kind of unit for the whole model, and the mask they give.

    The mask is the `kept` best of `scores + offsets`. Offsets lift the units of the floor during the ramp, and write
    down the final choice at its end; they and `kept` are buffers, so that a checkpoint is the sub-network it was.
    Scores stay fp32 whatever the model is cast to: near -2.2 two bf16 numbers are 0.016 apart and small steps are lost.

    Args:
        sizes: units of each matrix.
        learned: whether the scores are parameters.
        soft: whether a threshold and a penalty close units until the final choice, and not their rank.
        uniform: whether every matrix closes the same fraction, and not the whole model; a threshold does not ask.
        device: of the model.
    """

    def __init__(
        self, sizes: list[int], *, learned: bool, device: torch.device, soft: bool = False, uniform: bool = False
    ):
        super().__init__()
        self.sizes, self.soft, self.uniform = sizes, soft, uniform
        scores = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
        if learned:
            self.scores = nn.Parameter(scores)
        else:
            self.register_buffer("scores", scores)
        self.register_buffer("offsets", torch.zeros_like(scores))
        self.register_buffer("kept", torch.tensor(sum(sizes), device=device))
        self.register_buffer("frozen", torch.tensor(False, device=device))
        if soft:
            self.register_buffer("threshold", torch.zeros((), dtype=torch.float32, device=device))
            self.register_buffer("penalty_weight", torch.zeros((), dtype=torch.float32, device=device))
        self._mirror = (sum(sizes), False)  # kept and frozen on the host: reading a buffer would wait for the device

    def _apply(self, fn, recurse=True):
        def keep_dtype(tensor):
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(keep_dtype, recurse)

    def _load_from_state_dict(self, *args, **kwargs):
        super()._load_from_state_dict(*args, **kwargs)
        self._mirror = (int(self.kept), bool(self.frozen))

    @property
    def is_frozen(self) -> bool:
        """Whether the final choice has been made."""
        return self._mirror[1]

    @property
    def sparsity(self) -> float:
        """Fraction of these units that is closed now; with the soft method the device is read for it."""
        if self.soft and not self.is_frozen:
            return 1.0 - self.mask().mean().item()
        return 1.0 - self._mirror[0] / sum(self.sizes)

    @torch.no_grad()
    def close_fraction(self, fraction: float, *, progress: float = 1.0) -> None:
        """Close this fraction of the units by rank, except those of the floor.

        The soft method instead moves its threshold, and steers its penalty towards this fraction.

        Args:
            fraction: in [0, 1].
            progress: of the ramp, in [0, 1].
        """
        if self.uniform and not self.soft:
            parts = self.scores.split(self.sizes)
            kept = [selection.kept_units([size], fraction) for size in self.sizes]
            keep = [selection.best(part, count) for part, count in zip(parts, kept, strict=True)]
            self._set(selection.as_offsets(torch.cat(keep)), sum(kept), False)
            return
        kept = selection.kept_units(self.sizes, fraction)
        self._set(selection.floor_offsets(self.scores, self.sizes), kept, False)
        if self.soft:
            self.threshold.fill_(FINAL_THRESHOLD * progress)
            missing = fraction - (1.0 - self.mask().mean())
            self.penalty_weight.copy_(PENALTY_WEIGHT * (missing / FULL_FROM).clamp(-1, 1))

    @torch.no_grad()
    def freeze(self, keep: torch.Tensor) -> None:
        """Fix the mask for good: `keep` is a bool `[units]`."""
        keep = keep.to(self.scores.device)
        self._set(selection.as_offsets(keep), int(keep.sum()), True)

    def _set(self, offsets: torch.Tensor, kept: int, frozen: bool) -> None:
        self.offsets.copy_(offsets)
        self.kept.fill_(kept)
        self.frozen.fill_(frozen)
        self._mirror = (kept, frozen)

    def mask(self) -> torch.Tensor:
        """The mask `[units]` in fp32, 1 open and 0 closed; its gradient goes to the scores until it is frozen."""
        kept, frozen = self._mirror
        if frozen:  # whatever the scores are: the choice is written down in the offsets
            return (self.offsets > 0).to(self.offsets.dtype)
        if self.soft:
            # Not nn_pruning's ThresholdBinarizer: its check of the fewest open units waits for the device at each step.
            return open_above(self.scores + self.offsets, self.threshold)
        # Half a unit more than the count: TopKBinarizer truncates `fraction * units`, which can fall just below it.
        fraction = (kept + 0.5) / sum(self.sizes)
        return TopKBinarizer.apply(self.scores + self.offsets, fraction)

    def penalty(self) -> torch.Tensor:
        """The soft method's penalty, a scalar: `penalty_weight` times `soft_penalty`; below 0 where too much is closed."""
        return self.penalty_weight * soft_penalty(self.scores, self.sizes)


def open_above(scores: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """1 where sigmoid(score) is above the threshold, else 0; the gradient passes unchanged to the scores.

    Args:
        scores: `[units]`.
        threshold: in [0, 1).
    """
    # Detached: gradient checkpointing may build the mask again, and requires that this saves no tensor for backward.
    opened = (torch.sigmoid(scores.detach()) > threshold).to(scores.dtype)
    return opened + (scores - scores.detach())


def soft_penalty(scores: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Mean over matrices of the mean of sigmoid(score), a scalar (movement pruning, section 4.2; nn_pruning's "l1").

    Args:
        scores: `[units]`, the matrices one after the other.
        sizes: units of each matrix.
    """
    return torch.stack([torch.sigmoid(part).mean() for part in scores.split(list(sizes)) if len(part)]).mean()


class Pruning(nn.Module):
    """Owner of all scores of a model, as `model.pruning`; masks refer to it without owning it."""

    def __init__(self, attention: UnitScores | None, ffn: UnitScores | None):
        super().__init__()
        self.attention, self.ffn = attention, ffn
        self._masks: dict[str, torch.Tensor] = {}

    @property
    def groups(self) -> dict[str, UnitScores]:
        """The groups in use, by name."""
        return {name: group for name, group in (("attention", self.attention), ("ffn", self.ffn)) if group is not None}

    @property
    def is_frozen(self) -> bool:
        """Whether the final structure has been fixed."""
        return all(group.is_frozen for group in self.groups.values())

    @property
    def penalty(self) -> torch.Tensor | None:
        """What the soft method adds to the loss until the structure is fixed: the mean over its groups, or None."""
        terms = [group.penalty() for group in self.groups.values() if group.soft and not group.is_frozen]
        return torch.stack(terms).mean() if terms else None

    def mask(self, group: str) -> torch.Tensor:
        """The mask of one group: the one of this forward, else (outside a forward) a new one."""
        return self._masks[group] if group in self._masks else self.groups[group].mask()

    @torch.compiler.disable  # the count of open units is a new constant at every step of the ramp
    def begin_forward(self) -> None:
        """Compute each group's mask once for the whole model, outside autocast."""
        with torch.autocast(device_type=next(self.buffers()).device.type, enabled=False):
            self._masks = {name: group.mask() for name, group in self.groups.items()}

    def end_forward(self) -> None:
        """Forget the masks, so that nothing outlives the graph of its step."""
        self._masks = {}
