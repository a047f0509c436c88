"""Closing: take heads and neurons out of the computation, and let those that stay make up for them.

`close` does it for each matrix alone: what stays reproduces its output on the inputs of the dense model. But a layer of the
small model gets what the smaller layers before it make, and their errors add up. So `close_in_turn` closes layer after layer,
with the inputs that it really gets: each block then also corrects what the blocks before it changed. Its target is the
residual stream of the dense model: the output of the block plus its skip connection. This is a ridge regression for each matrix (as in K-prune, Park, Choi and Kang 2024, arXiv 2308.03449, section 4.3, there without a penalty). Its penalty is
chosen on rows that are held out, and it is then fitted to all. If no penalty helps on those, the matrix stays as `close` leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..benchmark.size import evaluating
from ..distillation.losses import not_padding
from ..models.architectures import layer_modules, layers_of
from ..models.layers import EncoderLayer, LinearView
from ..models.outputs import inputs_of, tensors_of
from .calibration import Batch, Statistics, matrices_of
from .second_order import compensated, damped, with_bias
from .selection import Structure

TOKENS = 16 * 1024  # about the most that `close_in_turn` reads: each layer runs four times
HELD_OUT = 4  # every fourth row is not fitted to until it has chosen the penalty
PENALTIES = (1e-3, 1e-2, 1e-1)  # share of the mean second moment


@torch.no_grad()
def close(layers: Sequence[EncoderLayer], statistics: Sequence[Statistics], structure: Structure) -> None:
    """Close the heads and neurons that go, and let those that stay make up for them, in place.

    Args:
        layers: the layers of the model.
        statistics: of the inputs of `matrices_of`.
        structure: what stays.
    """
    for index, (matrix, found) in enumerate(zip(matrices_of(layers), statistics, strict=True)):
        columns = _columns(layers, structure, index)
        _set_weight(matrix, compensated(with_bias(matrix.weight, matrix.bias), found.moments, columns))


def _columns(layers: Sequence[EncoderLayer], structure: Structure, index: int) -> Sequence[int]:
    """Return the columns of matrix number `index` of `matrices_of` that stay."""
    if index % 2:
        return structure.neurons[index // 2]
    size = layers[index // 2].head_size
    return [head * size + row for head in structure.heads[index // 2] for row in range(size)]


def _set_weight(matrix: LinearView, weight: torch.Tensor) -> None:
    """Write a weight with its bias, `[outputs, inputs + 1]`, into a matrix; without a bias, that column is 0."""
    matrix.original.copy_(weight[:, :-1])
    if matrix.bias is not None:
        matrix.bias.copy_(weight[:, -1])


@dataclass
class Products:
    """Sums over tokens for a ridge regression of errors on inputs.

    Attributes:
        inputs: sum of `x x^T`, with a constant 1 as the last input, `[inputs + 1, inputs + 1]`.
        errors: sum of `e x^T`, `[outputs, inputs + 1]`.
    """

    inputs: torch.Tensor
    errors: torch.Tensor

    @classmethod
    def of(cls, matrix: LinearView) -> Products:
        """Return empty sums for a matrix."""
        new, width = matrix.weight.new_zeros, matrix.in_features + 1
        return cls(new(width, width), new(matrix.out_features, width))

    def add(self, values: torch.Tensor, errors: torch.Tensor) -> None:
        """Add tokens: their inputs `[tokens, inputs]` and errors `[tokens, outputs]`."""
        with_one = torch.cat([values, values.new_ones(len(values), 1)], dim=1)
        self.inputs += with_one.T @ with_one
        self.errors += errors.T @ with_one


def correction(fitted: Products, held_out: Products, columns: Sequence[int], *, has_bias: bool) -> torch.Tensor:
    """Return what to add to a weight so that its output makes up for the errors, `[outputs, inputs + 1]` in fp64.

    Args:
        fitted: the sums that the regression is fitted to.
        held_out: those that choose its penalty; then it is fitted to both. If no penalty lowers the squared error there,
            the result is 0.
        columns: the inputs that may be used; the constant may be too if there is a bias.
        has_bias: whether the matrix has a bias.
    """
    ids = torch.tensor([*columns, *([fitted.inputs.shape[1] - 1] if has_bias else [])], dtype=torch.long)
    errors, target = (each.errors.double().cpu()[:, ids] for each in (fitted, held_out))
    inputs = held_out.inputs.double().cpu()[ids][:, ids]
    best, chosen = 0.0, None
    for penalty in PENALTIES if len(ids) else ():
        moments = damped(fitted.inputs, penalty)[ids][:, ids]
        change = torch.linalg.solve(moments, errors, left=False)
        gain = (2 * (change * target).sum() - (change @ inputs * change).sum()).item()
        if gain > best:
            best, chosen = gain, penalty
    result = torch.zeros(fitted.errors.shape, dtype=torch.float64)
    if chosen is not None:
        moments = damped(fitted.inputs + held_out.inputs, chosen)[ids][:, ids]
        result[:, ids] = torch.linalg.solve(moments, errors + target, left=False)
    return result


@torch.no_grad()
def close_in_turn(
    model,
    batches: Sequence[Batch],
    statistics: Sequence[Statistics],
    structure: Structure,
    *,
    advance: Callable[[], Any] = lambda: None,
) -> bool:
    """Close the heads and neurons that go, layer by layer; each corrects what those before it changed. In place.

    Layers that share their weights, and those that cannot be run one by one, are closed by `close` only.

    Args:
        model: a dense model, or one with open masks.
        batches: inputs of its forward pass; a part is read if they are many.
        statistics: of the inputs of `matrices_of`, of the dense model.
        structure: what stays.
        advance: called after each layer.

    Returns:
        Whether the layers were closed in turn.
    """
    layers, modules = layers_of(model), layer_modules(model)
    tokens = sum(batch["input_ids"].numel() for batch in batches if "input_ids" in batch)
    count = max(1, min(len(batches), len(batches) * TOKENS // max(1, tokens)))
    with evaluating(model):
        passes = _passes(model, [batches[number * len(batches) // count] for number in range(count)], modules)
        if passes is None:
            close(layers, statistics, structure)
            return False
        for index, module in enumerate(modules):
            layer = layers[index : index + 1]
            kept = Structure(structure.heads[index : index + 1], structure.neurons[index : index + 1])
            targets = []
            for each in passes:
                seen, each.dense = _run(module, each.calls[index], each.dense, matrices_of(layer))
                targets.append([one.stream for one in seen])
            close(layer, statistics[2 * index : 2 * index + 2], kept)
            for number, matrix in enumerate(matrices_of(layer)):
                fitted, held_out = Products.of(matrix), Products.of(matrix)
                for each, target in zip(passes, targets, strict=True):
                    found, _ = _run(module, each.calls[index], each.current, [matrix], stop=True)
                    each.add(fitted, held_out, found[0], target[number])
                change = correction(fitted, held_out, _columns(layer, kept, number), has_bias=matrix.bias is not None)
                _set_weight(matrix, with_bias(matrix.weight, matrix.bias) + change)
            for each in passes:
                each.current = _run(module, each.calls[index], each.current, [])[1]
            advance()
    return True


Call = tuple[tuple[Any, ...], Mapping[str, Any]]  # what a layer gets besides the hidden states


@dataclass
class _Seen:
    """What a matrix got, and the residual stream after it."""

    inputs: torch.Tensor | None = None
    stream: torch.Tensor | None = None


@dataclass
class _Pass:
    """A batch on its way through the layers of the dense model and of the small one.

    Attributes:
        calls: what each layer gets besides the hidden states.
        dense, current: the hidden states in front of the next layer, `[rows, tokens, hidden]`.
        mask: bool `[rows, tokens]`, False for padding.
        held_out: bool `[rows, 1]`.
    """

    calls: list[Call]
    dense: torch.Tensor
    current: torch.Tensor
    mask: torch.Tensor
    held_out: torch.Tensor

    def add(self, fitted: Products, held_out: Products, seen: _Seen, target: torch.Tensor | None) -> None:
        """Add the tokens of this batch to the sums; what was not seen as expected adds nothing."""
        if seen.inputs is None or seen.stream is None or target is None or seen.inputs.shape[:2] != self.mask.shape:
            return
        errors = target - seen.stream
        for products, rows in ((fitted, ~self.held_out), (held_out, self.held_out)):
            chosen = self.mask & rows
            products.add(seen.inputs[chosen], errors[chosen])


class _Stop(Exception):
    """All that was to be seen was seen."""


def _passes(model, batches: Sequence[Batch], modules: Sequence[nn.Module]) -> list[_Pass] | None:
    """Return batches in front of the first layer; None if running the layers one by one is not the same as the model."""
    calls: list[tuple[nn.Module, tuple[Any, ...], Mapping[str, Any]]] = []
    handles = [
        module.register_forward_pre_hook(lambda *call: calls.append(call), with_kwargs=True) for module in modules
    ]
    passes: list[_Pass] = []
    rows = 0
    try:
        for batch in batches:
            calls.clear()
            model(**inputs_of(model, batch))
            if [call[0] for call in calls] != list(modules) or not all(call[1] for call in calls):
                return None
            hidden = calls[0][1][0]
            mask = not_padding(batch)
            mask = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device) if mask is None else mask
            if hidden.dim() != 3 or hidden.shape[:2] != mask.shape:
                return None
            held_out = torch.arange(rows, rows + len(mask), device=mask.device) % HELD_OUT == HELD_OUT - 1
            passes.append(_Pass([(call[1][1:], call[2]) for call in calls], hidden, hidden, mask, held_out[:, None]))
            rows += len(mask)
            if len(passes) == 1:
                expected = [call[1][0] for call in calls]
    finally:
        for handle in handles:
            handle.remove()
    for module, call, before, after in zip(modules, passes[0].calls, expected, expected[1:], strict=False):
        output = _run(module, call, before, [])[1]
        if output.shape != after.shape or not torch.allclose(output, after, rtol=1e-3, atol=1e-4):
            return None
    return passes


def _run(
    module: nn.Module, call: Call, hidden: torch.Tensor, matrices: Sequence[LinearView], *, stop: bool = False
) -> tuple[list[_Seen], torch.Tensor]:
    """Run a layer, and return what was seen of some of its matrices, and the output of the layer.

    The stream after a matrix is the input of the next norm, or the output of the layer if no norm follows.

    Args:
        module: the layer.
        call: what it gets besides the hidden states.
        hidden: the hidden states.
        matrices: what to look at.
        stop: whether to stop when all was seen; the output is then the hidden states.
    """
    found = [_Seen() for _ in matrices]

    def after(seen: _Seen) -> Callable[..., None]:
        return lambda module, inputs, output: setattr(seen, "inputs", inputs[0])

    def before_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        for seen in found:
            if seen.inputs is not None and seen.stream is None:
                seen.stream = inputs[0]
        if stop and all(seen.stream is not None for seen in found):
            raise _Stop

    handles = [matrix.linear.register_forward_hook(after(seen)) for matrix, seen in zip(matrices, found, strict=True)]
    norms = [child for child in module.modules() if type(child).__name__.endswith("Norm")]
    handles += [norm.register_forward_pre_hook(before_norm) for norm in norms if matrices]
    try:
        output = next(iter(tensors_of(module(hidden, *call[0], **call[1]))))
    except _Stop:
        return found, hidden
    finally:
        for handle in handles:
            handle.remove()
    for seen in found:
        if seen.inputs is not None and seen.stream is None:
            seen.stream = output
    return found, output
