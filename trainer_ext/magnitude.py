"""Magnitude: scores that are not learned but read from the weights as they are, the baseline of every pruning method."""

from __future__ import annotations

import torch

from .matrices import LINEARS, Layer
from .units import PruningSpec, attention_grids


@torch.no_grad()
def refresh_magnitudes(model, layers: list[Layer]) -> None:
    """Magnitude method: the score of a unit is the mean absolute value of its weights as they are now."""
    spec, pruning = PruningSpec(**model.config.pruning), model.pruning
    if spec.method != "magnitude" or pruning.is_frozen:
        return
    attention, ffn = [], []
    for layer in layers:
        size = {name: getattr(layer, name).original.float().abs() for name in LINEARS}  # means in bf16 would tie
        blocks = []
        for name, ((rows, columns), _, _) in attention_grids(layer, spec).items() if pruning.attention else ():
            weight = size[name]
            sides = (weight.shape[0] // max(1, rows), weight.shape[1] // max(1, columns))  # no heads, no blocks
            grid = weight.view(rows, sides[0], columns, sides[1]).mean((1, 3))
            blocks.append(grid.reshape(-1))
        if pruning.attention:
            attention += blocks if spec.attention == "block" else [torch.stack(blocks).mean(0)]
        gate = 0.0 if layer.ffn_gate is None else layer.ffn_gate.original.float().abs().mean(1)
        ffn.append(size["ffn_in"].mean(1) + gate + size["ffn_out"].mean(0))
    if pruning.attention:
        pruning.attention.scores.copy_(torch.cat(attention))
    if pruning.ffn:
        pruning.ffn.scores.copy_(torch.cat(ffn))
