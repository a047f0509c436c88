"""Scores: what is learned about every unit, and the mask it gives through a straight-through estimator.

Movement pruning (Sanh, Wolf and Rush 2020, arXiv 2005.07683, section 4): the gradient of the mask passes unchanged to
the scores, so that a score rises while its weights move away from zero. The estimator is nn_pruning's.
"""

from __future__ import annotations

import torch
from nn_pruning.modules.binarizer import TopKBinarizer
from torch import nn

from . import budgets


class UnitScores(nn.Module):
    """The scores of one kind of unit for the whole model, and the mask they give.

    The mask is the `kept` best of `scores + offsets`. Offsets lift the units of the floor during the ramp, and write
    down the final choice at its end; they and `kept` are buffers, so that a checkpoint is the sub-network it was.
    Scores stay fp32 whatever the model is cast to: near -2.2 two bf16 numbers are 0.016 apart and small steps are lost.
    """

    def __init__(self, sizes: list[int], *, learned: bool, device: torch.device):
        super().__init__()
        self.sizes = sizes
        scores = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
        if learned:
            self.scores = nn.Parameter(scores)
        else:
            self.register_buffer("scores", scores)
        self.register_buffer("offsets", torch.zeros_like(scores))
        self.register_buffer("kept", torch.tensor(sum(sizes), device=device))
        self.register_buffer("frozen", torch.tensor(False, device=device))
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
        """Fraction of these units that is closed now."""
        return 1.0 - self._mirror[0] / sum(self.sizes)

    @torch.no_grad()
    def close_fraction(self, fraction: float) -> None:
        """Close this fraction of the units by rank, except those of the floor."""
        self._set(budgets.floor_offsets(self.scores, self.sizes), budgets.kept_units(self.sizes, fraction), False)

    @torch.no_grad()
    def freeze(self, keep: torch.Tensor) -> None:
        """Fix the mask for good: `keep` is a bool `[units]`."""
        offsets = torch.where(keep.to(self.scores.device), budgets.LIFT, -budgets.LIFT)
        self._set(offsets, int(keep.sum()), True)

    def _set(self, offsets: torch.Tensor, kept: int, frozen: bool) -> None:
        self.offsets.copy_(offsets)
        self.kept.fill_(kept)
        self.frozen.fill_(frozen)
        self._mirror = (kept, frozen)

    def mask(self) -> torch.Tensor:
        """The mask `[units]` in fp32, 1 open and 0 closed; its gradient goes to the scores until it is frozen."""
        kept, frozen = self._mirror
        # Half a unit more than the count: TopKBinarizer truncates `fraction * units`, which can fall just below it.
        fraction = (kept + 0.5) / sum(self.sizes)
        mask = TopKBinarizer.apply(self.scores + self.offsets, fraction)
        return mask.detach() if frozen else mask


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
