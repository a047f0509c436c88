"""Units: where blocks, attention heads and feed-forward neurons lie in the matrices of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..models.layers import LINEARS, EncoderLayer, rows_by_linear
from .config import PruningSpec

ATTENTION_LINEARS = LINEARS[:4]


def attention_grids(layer: EncoderLayer, spec: PruningSpec) -> dict[str, tuple[tuple[int, int], bool, int]]:
    """Return, per attention matrix: its grid of blocks, whether units run along the columns, and the number of units."""
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
    """Return the number of units of each attention matrix; heads are shared by all four and counted once."""
    if spec.attention == "head":
        return [layer.heads]
    return [units for _, _, units in attention_grids(layer, spec).values()]


@dataclass(frozen=True)
class MaskPlace:
    """One Linear that carries a mask, and how its units are spread over it.

    Attributes:
        path: path of the Linear below the encoder.
        group: `attention` or `ffn`.
        units: position of its units among those of the group.
        grid: number of row groups and column groups, which form equal blocks.
        by_column: whether the units run along the columns.
        repeat: how often the units repeat along the rows, in a Linear that stores several matrices.
    """

    path: str
    group: str
    units: slice
    grid: tuple[int, int]
    by_column: bool = False
    repeat: int = 1


def mask_places(layer: EncoderLayer, spec: PruningSpec, *, block_at: int, neuron_at: int) -> list[MaskPlace]:
    """Return the place of every mask of a layer.

    Args:
        layer: the layer.
        spec: what to prune.
        block_at: number of attention units in the layers before.
        neuron_at: number of neurons in the layers before.
    """
    places = []
    if spec.attention != "none" and layer.heads:
        grids = attention_grids(layer, spec)
        for path, matrices in rows_by_linear((layer.query, layer.key, layer.value)).items():
            (rows, columns), _, units = grids["query"]
            grid = (rows * len(matrices), columns)
            if spec.attention == "block":  # the blocks of each matrix follow those of the one before, like their rows
                units *= len(matrices)
                places.append(MaskPlace(path, "attention", slice(block_at, block_at + units), grid))
                block_at += units
            else:
                at = slice(block_at, block_at + layer.heads)
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


def units_of_heads(layer: EncoderLayer, heads: list[int], spec: PruningSpec) -> torch.Tensor:
    """Return a bool mask `[attention units of the layer]` that is true for every unit of these heads."""
    keep = ids_to_mask(layer.heads, heads)
    if spec.attention == "head":
        return keep
    units = []
    for name, ((rows, columns), _, _) in attention_grids(layer, spec).items():
        along = columns if name == "attention_output" else rows
        opened = keep.repeat_interleave(along // max(1, layer.heads))
        grid = opened.expand(rows, columns) if name == "attention_output" else opened[:, None].expand(rows, columns)
        units.append(grid.reshape(-1))
    return torch.cat(units)


def ids_to_mask(size: int, ids: list[int]) -> torch.Tensor:
    """Return a bool mask `[size]` that is true at these ids."""
    return torch.zeros(size, dtype=torch.bool).index_fill(0, torch.tensor(ids, dtype=torch.long), True)
