"""The pruning specification: what to prune, how far and when. It is stored in the config of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..models.architectures import config_of


@dataclass(frozen=True)
class PruningSpec:
    """What to prune and when. Every checkpoint carries it, in `model.config.pruning`.

    Attributes:
        method: how units are scored, one of `trainer_ext.pruning.scores.METHODS`: `movement` (learned scores, ranked),
            `soft_movement` (learned scores, a threshold and a penalty), `magnitude` (mean absolute weight of the unit) or
            `obs` (second order: in one step, and what stays makes up for what goes).
        sparsity: fraction of the encoder's prunable weights that is removed at the end, in [0, 1); with a latency table,
            the sparsity at the end of the ramp, before the table decides.
        attention: unit of the attention matrices: `block`, `head` or `none`.
        block_size: rows and columns of a block.
        ffn: unit of the feed-forward matrices: `neuron` or `none`.
        start, end: fractions of the run between which the sparsity rises.
        structure: `compact`, or `plain`: all heads stay, and every layer keeps the same number of neurons.
        dense_weights: prunable weights of the model before layers were dropped; 0 if none were.
        speedup: target of the latency table, which replaces the sparsity as target, or None.
        latency: the latency table and the time of the dense model (see `measure_latency_table`), or None.
    """

    method: str
    sparsity: float
    attention: str
    block_size: int
    ffn: str
    start: float
    end: float
    structure: str = "compact"
    dense_weights: int = 0
    speedup: float | None = None
    latency: dict[str, Any] | None = None

    def sparsity_of(self, weights: int, sparsity: float | None = None) -> float:
        """Return the fraction of this model's own prunable weights to remove: less if layers were already dropped.

        Args:
            weights: prunable weights of the model as it is.
            sparsity: fraction to remove in all, dropped layers included. Defaults to the final sparsity.
        """
        sparsity = self.sparsity if sparsity is None else sparsity
        return max(0.0, 1.0 - (1.0 - sparsity) * self.dense_weights / weights) if self.dense_weights else sparsity


def spec_of(model) -> PruningSpec:
    """Return what is pruned in a model with masks."""
    return PruningSpec(**config_of(model).pruning)
