"""Scores: how each pruning method rates the units, and the mask that follows from the scores.

Movement pruning (Sanh, Wolf and Rush 2020, arXiv 2005.07683, section 4): the gradient of the mask passes unchanged to
the scores (a straight-through estimator, nn_pruning's), so the score of a unit rises while its weights move away from
zero. To add a method, add a row to `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from nn_pruning.modules.binarizer import TopKBinarizer
from torch import nn

from ..models.layers import LINEARS, EncoderLayer
from . import selection
from .config import PruningSpec, spec_of
from .units import attention_grids

# Soft movement follows the released configurations of block movement pruning: the threshold ends at 0.1, and the penalty
# weight is proportional to the target minus the current sparsity: `PENALTY_WEIGHT` from a gap of `FULL_FROM` on, so near
# their constant 10 at a gap of 0.01, and negative if too many units are pruned, because scores do not recover by themselves.
FINAL_THRESHOLD = 0.1
PENALTY_WEIGHT, FULL_FROM = 100.0, 0.1


def _magnitudes(layers: list[EncoderLayer], spec: PruningSpec) -> dict[str, torch.Tensor]:
    """Return the mean absolute weight of every unit, `[units]` for each group."""
    attention: list[torch.Tensor] = []
    ffn = []
    for layer in layers:
        size = {name: getattr(layer, name).original.float().abs() for name in LINEARS}  # means in bf16 would tie
        blocks = []
        for name, ((rows, columns), _, _) in attention_grids(layer, spec).items() if spec.attention != "none" else ():
            weight = size[name]
            sides = (weight.shape[0] // max(1, rows), weight.shape[1] // max(1, columns))  # no heads, no blocks
            blocks.append(weight.view(rows, sides[0], columns, sides[1]).mean((1, 3)).reshape(-1))
        if blocks:
            attention += blocks if spec.attention == "block" else [torch.stack(blocks).mean(0)]
        gate = 0.0 if layer.ffn_gate is None else layer.ffn_gate.original.float().abs().mean(1)
        ffn.append(size["ffn_in"].mean(1) + gate + size["ffn_out"].mean(0))
    found = {"ffn": torch.cat(ffn)}
    return found | {"attention": torch.cat(attention)} if attention else found


@dataclass(frozen=True)
class Method:
    """How a pruning method scores units.

    Attributes:
        soft: whether a threshold and a penalty close units before the structure is frozen, instead of their rank.
        measure: function that computes the scores from the weights, `[units]` for each group; None if there is none.
        second_order: whether the structure is chosen in one step, without scores, by `one_shot.prune_masked`.
    """

    soft: bool = False
    measure: Callable[[list[EncoderLayer], PruningSpec], dict[str, torch.Tensor]] | None = None
    second_order: bool = False

    @property
    def learned(self) -> bool:
        """Whether the scores are parameters that the training learns."""
        return self.measure is None and not self.second_order


METHODS: dict[str, Method] = {
    "movement": Method(),
    "soft_movement": Method(soft=True),
    "magnitude": Method(measure=_magnitudes),
    "obs": Method(second_order=True),
}


@torch.no_grad()
def refresh_scores(model, layers: list[EncoderLayer]) -> None:
    """Compute the scores from the current weights, if the method measures them and the structure is not frozen."""
    spec, pruning = spec_of(model), model.pruning
    measure = METHODS[spec.method].measure
    if measure is None or pruning.is_frozen:
        return
    found = measure(layers, spec)
    for name, group in pruning.groups.items():
        group.scores.copy_(found[name])


def head_scores(layers: list[EncoderLayer], spec: PruningSpec, attention: UnitScores | None) -> list[torch.Tensor]:
    """Return per layer `[heads]`: the score of each head, or the sum of the scores of its blocks in all four matrices.

    Args:
        layers: the layers of the model.
        spec: what to prune.
        attention: scores of the attention units, or None if attention is not pruned.
    """
    if attention is None:
        return [torch.zeros(layer.heads) for layer in layers]
    parts = list(attention.scores.detach().double().split(attention.sizes))
    if spec.attention == "head":
        return parts
    scores = []
    for layer in layers:
        sums = []
        for name, (grid, _, _) in attention_grids(layer, spec).items():
            blocks = parts.pop(0).view(grid)
            blocks = blocks.T if name == "attention_output" else blocks
            sums.append(blocks.reshape(layer.heads, blocks.numel() // max(1, layer.heads)).sum(1))
        scores.append(sum(sums[1:], sums[0]))
    return scores


class UnitScores(nn.Module):
    """Scores of one kind of unit for the whole model, and the mask they give.

    The mask opens the `kept` best units of `scores + offsets`. During the ramp, offsets keep the minimum of each
    matrix; after freezing they encode the final mask. They and `kept` are buffers, so a checkpoint reopens as the same sub-network.
    Scores stay in fp32 when the model is cast: near -2.2, two bf16 numbers are 0.016 apart and small steps are lost.

    Args:
        sizes: number of units of each matrix.
        learned: whether the scores are parameters.
        device: device of the model.
        soft: whether a threshold and a penalty close units until the structure is frozen, instead of their rank.
        uniform: whether every matrix closes the same fraction, instead of ranking the whole model; not used with `soft`.
    """

    scores: torch.Tensor
    offsets: torch.Tensor
    kept: torch.Tensor
    frozen: torch.Tensor
    threshold: torch.Tensor
    penalty_weight: torch.Tensor

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
        self._mirror = (sum(sizes), False)  # kept and frozen, on the host: reading a buffer waits for the device

    def _apply(self, fn, recurse=True):
        def keep_dtype(tensor):
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(keep_dtype, recurse)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._mirror = (int(self.kept), bool(self.frozen))

    @property
    def is_frozen(self) -> bool:
        """Whether the mask is final."""
        return self._mirror[1]

    @property
    def sparsity(self) -> float:
        """Fraction of these units that is closed now. The soft method reads it from the device."""
        if self.soft and not self.is_frozen:
            return 1.0 - self.mask().mean().item()
        return 1.0 - self._mirror[0] / sum(self.sizes)

    @torch.no_grad()
    def close_fraction(self, fraction: float, *, progress: float = 1.0) -> None:
        """Close this fraction of the units by rank, except those of the floor.

        The soft method moves its threshold instead, and adjusts its penalty towards this fraction.

        Args:
            fraction: fraction of the units to close, in [0, 1].
            progress: progress of the ramp, in [0, 1].
        """
        if self.uniform and not self.soft:
            counts = [selection.kept_units([size], fraction) for size in self.sizes]
            parts = zip(self.scores.split(self.sizes), counts, strict=True)
            keep = torch.cat([selection.best(part, count) for part, count in parts])
            self._set(selection.as_offsets(keep), sum(counts), False)
            return
        kept = selection.kept_units(self.sizes, fraction)
        self._set(selection.floor_offsets(self.scores, self.sizes), kept, False)
        if self.soft:
            self.threshold.fill_(FINAL_THRESHOLD * progress)
            missing = fraction - (1.0 - self.mask().mean())
            self.penalty_weight.copy_(PENALTY_WEIGHT * (missing / FULL_FROM).clamp(-1, 1))

    @torch.no_grad()
    def freeze(self, keep: torch.Tensor) -> None:
        """Make the mask final.

        Args:
            keep: bool `[units]`, true for the units that stay open.
        """
        keep = keep.to(self.scores.device)
        self._set(selection.as_offsets(keep), int(keep.sum()), True)

    def _set(self, offsets: torch.Tensor, kept: int, frozen: bool) -> None:
        self.offsets.copy_(offsets)
        self.kept.fill_(kept)
        self.frozen.fill_(frozen)
        self._mirror = (kept, frozen)

    def mask(self) -> torch.Tensor:
        """Return the mask `[units]` in fp32, 1 open and 0 closed. Its gradient goes to the scores until it is frozen."""
        kept, frozen = self._mirror
        if frozen:  # the offsets hold the choice, whatever the scores are
            return (self.offsets > 0).to(self.offsets.dtype)
        if self.soft:
            # Not nn_pruning's ThresholdBinarizer, which waits for the device at each step to count the open units.
            return open_above(self.scores + self.offsets, self.threshold)
        # Add half a unit, because TopKBinarizer truncates `fraction * units`, which can be just below `kept`.
        fraction = (kept + 0.5) / sum(self.sizes)
        return TopKBinarizer.apply(self.scores + self.offsets, fraction)

    def penalty(self) -> torch.Tensor:
        """Return the penalty of the soft method, a scalar; it is negative if too many units are closed."""
        return self.penalty_weight * soft_penalty(self.scores, self.sizes)


def open_above(scores: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """Return 1 where sigmoid(score) is above the threshold, else 0. The gradient passes unchanged to the scores.

    Args:
        scores: `[units]`.
        threshold: a number in [0, 1).
    """
    # Detached: gradient checkpointing may build the mask again, and requires that this saves no tensor for backward.
    opened = (torch.sigmoid(scores.detach()) > threshold).to(scores.dtype)
    return opened + (scores - scores.detach())


def soft_penalty(scores: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Return the mean over matrices of the mean of sigmoid(score) (movement pruning, section 4.2; "l1" in nn_pruning).

    Args:
        scores: `[units]`, the matrices one after the other.
        sizes: number of units of each matrix.
    """
    return torch.stack([torch.sigmoid(part).mean() for part in scores.split(list(sizes)) if len(part)]).mean()


class Pruning(nn.Module):
    """All scores of a model, registered as `model.pruning`. The masks of the Linears refer to it without owning it."""

    def __init__(self, attention: UnitScores | None, ffn: UnitScores | None):
        super().__init__()
        self.attention, self.ffn = attention, ffn
        self._masks: dict[str, torch.Tensor] = {}

    @property
    def groups(self) -> dict[str, UnitScores]:
        """The groups in use, by name: `attention`, `ffn` or both."""
        return {name: group for name, group in (("attention", self.attention), ("ffn", self.ffn)) if group is not None}

    @property
    def is_frozen(self) -> bool:
        """Whether the structure is frozen."""
        return all(group.is_frozen for group in self.groups.values())

    @property
    def penalty(self) -> torch.Tensor | None:
        """What the soft method adds to the loss until the structure is frozen, the mean over its groups; else None."""
        terms = [group.penalty() for group in self.groups.values() if group.soft and not group.is_frozen]
        return torch.stack(terms).mean() if terms else None

    def mask(self, group: str) -> torch.Tensor:
        """Return the mask of a group: the one of this forward pass, or a new one outside a forward pass.

        Args:
            group: `attention` or `ffn`.
        """
        return self._masks[group] if group in self._masks else self.groups[group].mask()

    @torch.compiler.disable  # the count of open units is a new constant at every step of the ramp
    def begin_forward(self) -> None:
        """Compute the mask of each group, once for the whole model and outside autocast."""
        with torch.autocast(device_type=next(self.buffers()).device.type, enabled=False):
            self._masks = {name: group.mask() for name, group in self.groups.items()}

    def end_forward(self) -> None:
        """Drop the masks, so that they do not keep the graph of this step alive."""
        self._masks = {}
