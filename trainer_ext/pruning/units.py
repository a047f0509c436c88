"""Magnitude: scores that are not learned but read from the weights as they are, the baseline of every pruning method.

Units: how blocks, heads and neurons lie in the matrices of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..models.layers import LINEARS, EncoderLayer, rows_by_linear
from .scores import UnitScores

ATTENTION_LINEARS = LINEARS[:4]


@dataclass(frozen=True)
class PruningSpec:
    """What to prune and when; travels in `model.config.pruning`, so every checkpoint carries it.

    Attributes:
        method: `movement` (learned scores, ranked), `soft_movement` (learned scores, a threshold and a penalty) or
            `magnitude` (mean absolute weight of the unit).
        sparsity: fraction of the encoder's prunable weights that is gone at the end, in [0, 1); with a latency table
            what the ramp steers to before the table decides.
        attention: `block`, `head` or `none`.
        block_size: rows and columns of a block.
        ffn: `neuron` or `none`.
        start, end: fractions of the run between which the sparsity rises.
        structure: `compact`, or `plain`: all heads and the same number of neurons in every layer.
        dense_weights: prunable weights of the model before layers were dropped; 0: none were.
        speedup: to be reached by the latency table instead of the sparsity, or None.
        latency: the table, as `LatencyTable` writes it, or None.
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
    latency: dict | None = None

    def sparsity_of(self, weights: int, sparsity: float | None = None) -> float:
        """Fraction of this model's own prunable weights that must go: less where dropped layers are gone already.

        Args:
            weights: prunable weights of the model as it is.
            sparsity: fraction gone in all; that of the end by default.
        """
        sparsity = self.sparsity if sparsity is None else sparsity
        return max(0.0, 1.0 - (1.0 - sparsity) * self.dense_weights / weights) if self.dense_weights else sparsity


def attention_grids(layer: EncoderLayer, spec: PruningSpec) -> dict[str, tuple[tuple[int, int], bool, int]]:
    """Per attention matrix: its grid of blocks, whether the mask runs along columns, and its number of units."""
    grids = {}
    for name in ATTENTION_LINEARS:
        linear = getattr(layer, name)
        rows, columns = linear.out_features, linear.in_features
        if spec.attention == "block":
            grid = (rows // spec.block_size, columns // spec.block_size)
            grids[name] = (grid, False, grid[0] * grid[1])
        else:
            by_column = name == "attention_output"
            grids[name] = ((1, layer.heads) if by_column else (layer.heads, 1), by_column, layer.heads)
    return grids


def attention_units(layer: EncoderLayer, spec: PruningSpec) -> list[int]:
    """How many units each attention matrix of a layer has; heads are shared by all four and counted once."""
    if spec.attention == "head":
        return [layer.heads]
    return [units for _, _, units in attention_grids(layer, spec).values()]


@dataclass(frozen=True)
class MaskPlace:
    """One Linear that carries a mask, and how its units spread over it.

    Attributes:
        path: of the Linear, below `model.base_model`.
        group: `attention` or `ffn`.
        units: where its units lie among those of the group.
        grid: row groups and column groups of equal blocks.
        by_column: whether the units run along the columns.
        repeat: how often the units follow each other along the rows, in a Linear that stores several matrices.
    """

    path: str
    group: str
    units: slice
    grid: tuple[int, int]
    by_column: bool = False
    repeat: int = 1


def mask_places(layer: EncoderLayer, spec: PruningSpec, *, block_at: int, neuron_at: int) -> list[MaskPlace]:
    """Every mask of a layer.

    Args:
        layer: the layer.
        spec: what to prune.
        block_at: units of attention in the layers before.
        neuron_at: neurons in the layers before.
    """
    places = []
    if spec.attention != "none" and layer.heads:
        grids = attention_grids(layer, spec)
        for path, matrices in rows_by_linear((layer.query, layer.key, layer.value)).items():
            (rows, columns), _, units = grids["query"]
            if spec.attention == "block":  # the blocks of one matrix follow those of the other, like their rows
                units *= len(matrices)
                at, grid = slice(block_at, block_at + units), (rows * len(matrices), columns)
                places.append(MaskPlace(path, "attention", at, grid))
                block_at += units
            else:
                at, grid = slice(block_at, block_at + layer.heads), (rows * len(matrices), columns)
                places.append(MaskPlace(path, "attention", at, grid, repeat=len(matrices)))
        grid, by_column, units = grids["attention_output"]
        at = slice(block_at, block_at + units)
        places.append(MaskPlace(layer.attention_output.path, "attention", at, grid, by_column))
    if spec.ffn != "none" and layer.neurons:
        at = slice(neuron_at, neuron_at + layer.neurons)
        for path, matrices in rows_by_linear(layer.neuron_rows).items():
            grid = (layer.neurons * len(matrices), 1)
            places.append(MaskPlace(path, "ffn", at, grid, repeat=len(matrices)))
        places.append(MaskPlace(layer.ffn_out.path, "ffn", at, (1, layer.neurons), by_column=True))
    return places


def head_scores(layers: list[EncoderLayer], spec: PruningSpec, attention: UnitScores | None) -> list[torch.Tensor]:
    """Per layer `[heads]`: the head's own score, or the sum of its blocks in all four matrices."""
    if attention is None:
        return [torch.zeros(layer.heads) for layer in layers]
    parts = list(attention.scores.detach().double().split(attention.sizes))
    if spec.attention == "head":
        return parts
    scores = []
    for layer in layers:
        total = 0.0
        for name, (grid, _, _) in attention_grids(layer, spec).items():
            blocks = parts.pop(0).view(grid)
            blocks = blocks.T if name == "attention_output" else blocks
            total = total + blocks.reshape(layer.heads, blocks.numel() // max(1, layer.heads)).sum(1)
        scores.append(total)
    return scores


def open_units(layer: EncoderLayer, heads: list[int], spec: PruningSpec) -> torch.Tensor:
    """Bool `[units of the layer]`: every unit of the heads that stay."""
    keep = one_hot(layer.heads, heads)
    if spec.attention == "head":
        return keep
    units = []
    for name, ((rows, columns), _, _) in attention_grids(layer, spec).items():
        along = columns if name == "attention_output" else rows
        opened = keep.repeat_interleave(along // max(1, layer.heads))
        grid = opened.expand(rows, columns) if name == "attention_output" else opened[:, None].expand(rows, columns)
        units.append(grid.reshape(-1))
    return torch.cat(units)


def one_hot(size: int, ids: list[int]) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.bool).index_fill(0, torch.tensor(ids, dtype=torch.long), True)


@torch.no_grad()
def refresh_magnitudes(model, layers: list[EncoderLayer]) -> None:
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
