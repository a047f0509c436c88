"""Layers: the prunable matrices of one encoder layer, whichever Linears store them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

# The matrices of every layer; a layer may have further ones (`positions`, `ffn_gate`).
LINEARS = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")


@dataclass(frozen=True)
class LinearView:
    """A matrix `[out, in]`: a whole Linear, or an equal share of the rows of a fused projection.

    Attributes:
        linear: the module that stores it.
        path: path of the module below the encoder.
        part: index of the share.
        parts: number of shares.
    """

    linear: nn.Linear
    path: str
    part: int = 0
    parts: int = 1

    @property
    def out_features(self) -> int:
        """Number of rows."""
        return self.linear.out_features // self.parts

    @property
    def in_features(self) -> int:
        """Number of columns."""
        return self.linear.in_features

    @property
    def weight(self) -> torch.Tensor:
        """The weight `[out, in]` with its mask applied, as in the forward pass; a view."""
        return self._share(self.linear.weight)

    @property
    def original(self) -> torch.Tensor:
        """The weight `[out, in]` without its mask; a view."""
        if not parametrize.is_parametrized(self.linear, "weight"):
            return self.weight
        return self._share(self.linear.get_parameter("parametrizations.weight.original"))

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias `[out]`, a view, or None."""
        return None if self.linear.bias is None else self._share(self.linear.bias)

    @property
    def bias_or_zeros(self) -> torch.Tensor:
        """The bias `[out]`, or zeros."""
        return self.bias if self.bias is not None else self.linear.weight.new_zeros(self.out_features)

    def _share(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.narrow(0, self.part * self.out_features, self.out_features) if self.parts > 1 else tensor


@dataclass(frozen=True)
class EncoderLayer:
    """The prunable matrices of one encoder layer.

    Attributes:
        query, key, value: `[heads * head_size, hidden]`.
        positions: further matrices with the rows of the heads; they have no mask, but are cut with their heads.
        attention_output: `[hidden, heads * head_size]`.
        ffn_in: `[neurons, hidden]`.
        ffn_gate: `[neurons, hidden]`, or None; with it, a neuron is `activation(in) * gate`.
        ffn_out: `[hidden, neurons]`.
        activation: the function applied to the output of `ffn_in`.
        attention: path of the module that must know which heads stay, or None.
        head_size: rows of a head.
        uses: how often a forward pass runs this layer.
    """

    query: LinearView
    key: LinearView
    value: LinearView
    positions: tuple[LinearView, ...]
    attention_output: LinearView
    ffn_in: LinearView
    ffn_gate: LinearView | None
    ffn_out: LinearView
    activation: nn.Module
    attention: str | None
    head_size: int
    uses: int

    @property
    def head_rows(self) -> tuple[LinearView, ...]:
        """The matrices whose rows belong to heads."""
        return (self.query, self.key, self.value, *self.positions)

    @property
    def neuron_rows(self) -> tuple[LinearView, ...]:
        """The matrices whose rows belong to neurons."""
        return (self.ffn_in,) if self.ffn_gate is None else (self.ffn_in, self.ffn_gate)

    @property
    def linears(self) -> dict[str, nn.Linear]:
        """Every Linear that stores a matrix of this layer, by path."""
        matrices = (*self.head_rows, self.attention_output, *self.neuron_rows, self.ffn_out)
        return {matrix.path: matrix.linear for matrix in matrices}

    @property
    def heads(self) -> int:
        """Number of attention heads, from the value projection: after shrinking, the config is not right."""
        return self.value.out_features // self.head_size

    @property
    def neurons(self) -> int:
        """Width of the feed-forward block."""
        return self.ffn_in.out_features

    @property
    def head_cost(self) -> int:
        """Weights of one head: its rows of the projections, its columns of the output projection."""
        return self.head_size * (
            sum(matrix.in_features for matrix in self.head_rows) + self.attention_output.out_features
        )

    @property
    def neuron_cost(self) -> int:
        """Weights of one neuron: its rows of the matrices before it and its column of the one after it."""
        return sum(matrix.in_features for matrix in self.neuron_rows) + self.ffn_out.out_features


def rows_by_linear(matrices: tuple[LinearView, ...]) -> dict[str, list[LinearView]]:
    """Return matrices grouped by the path of the Linear that stores them, each group in the order of its rows."""
    groups: dict[str, list[LinearView]] = {}
    for matrix in sorted(matrices, key=lambda matrix: matrix.part):
        groups.setdefault(matrix.path, []).append(matrix)
    return groups
