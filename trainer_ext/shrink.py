"""Shrink: a model with dead units becomes a smaller model that computes the same function.

The rule is exact. A head is dead when its value rows are zero (then it adds a constant, its value bias sent through the
output projection) or when its columns of the output projection are zero. A dead query or key alone does not kill a
head: it then attends evenly. A neuron is dead when its input row is zero (it adds the constant `activation(bias)`) or
when its output column is zero. Constants are folded into the next bias, never dropped.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .compact.modeling_compact import compact_model
from .compact.registration import register
from .families import Layer, layers_of, stock_type


def surviving_heads(layer: Layer) -> list[int]:
    """Ids of the heads that can change the output. At least one: an attention block never becomes empty here."""
    value = layer.value.weight.view(layer.heads, layer.head_size, -1)
    output = layer.attention_output.weight.view(-1, layer.heads, layer.head_size)
    alive = value.ne(0).any(2).any(1) & output.ne(0).any(2).any(0)
    return alive.nonzero().flatten().tolist() or [0]


def surviving_neurons(layer: Layer) -> list[int]:
    """Ids of the neurons that can change the output; at least one."""
    alive = layer.ffn_in.weight.ne(0).any(1) & layer.ffn_out.weight.ne(0).any(0)
    return alive.nonzero().flatten().tolist() or [0]


@torch.no_grad()
def shrink(model):
    """Build the compact model that computes what `model` computes.

    Args:
        model: a transformers model of a known family, masks merged; not changed.

    Returns:
        `(compact, heads, neurons)`: the new model on the same device and in the same mode, and the ids of the heads
        and neurons that stayed, per layer.

    Raises:
        ValueError: unknown architecture, or masks that are not merged yet.
    """
    if hasattr(model, "pruning"):
        raise ValueError("The model still has masks; call trainer_ext.masks.merge(model) before shrinking.")
    layers = layers_of(model)
    heads, neurons = [surviving_heads(x) for x in layers], [surviving_neurons(x) for x in layers]
    state, sizes = dict(model.state_dict()), {}
    prefix = f"{model.base_model_prefix}." if model.base_model is not model else ""
    for layer, kept_heads, kept_neurons in zip(layers, heads, neurons, strict=True):
        for name, linear in _cut(layer, kept_heads, kept_neurons).items():
            path = layer.paths[name]
            sizes[path] = list(linear.weight.shape)
            state[f"{prefix}{path}.weight"] = linear.weight
            if linear.bias is not None:
                state[f"{prefix}{path}.bias"] = linear.bias
    register(stock_type(model.config.model_type))
    stock = type(model)
    compact = stock if stock.__module__.endswith("modeling_compact") else compact_model(stock)
    values = copy.deepcopy(model.config.to_dict())
    for key in ("model_type", "pruning", "auto_map", "transformers_version"):
        values.pop(key, None)
    config = compact.config_class(**{**values, "compact_linears": sizes})
    config.architectures = [compact.__name__]
    # Which attention kernel runs is no part of the function but of the speed: take the one of the model.
    config._attn_implementation = model.config._attn_implementation
    smaller = compact(config).to(device=model.device, dtype=model.dtype)
    # A Linear of the model may have lost the bias that its class has: zero is the same.
    missing = {k: v for k, v in smaller.state_dict().items() if k.endswith(".bias") and k not in state}
    smaller.load_state_dict(state | {name: torch.zeros_like(bias) for name, bias in missing.items()})
    return smaller.train(model.training), heads, neurons


def _cut(layer: Layer, heads: list[int], neurons: list[int]) -> dict[str, nn.Linear]:
    """The six Linears of a layer with only the rows and columns that stay, constants folded into biases."""
    device = layer.value.weight.device
    neuron_ids = torch.tensor(neurons, device=device)
    head_rows = torch.arange(layer.heads * layer.head_size, device=device).view(layer.heads, layer.head_size)
    rows = head_rows[torch.tensor(heads, device=device)].flatten()

    dead_rows = _complement(rows, layer.value.out_features)
    constants = _bias_or_zeros(layer.value)[dead_rows]
    context_bias = layer.attention_output.weight[:, dead_rows] @ constants
    dead_neurons = _complement(neuron_ids, layer.neurons)
    activations = layer.activation(_bias_or_zeros(layer.ffn_in)[dead_neurons])
    # A neuron that is dead on its output side alone is not constant, but its zero columns fold to nothing.
    ffn_bias = layer.ffn_out.weight[:, dead_neurons] @ activations
    return {
        "query": _select_rows(layer.query, rows),
        "key": _select_rows(layer.key, rows),
        "value": _select_rows(layer.value, rows),
        "attention_output": _select_columns(layer.attention_output, rows, context_bias),
        "ffn_in": _select_rows(layer.ffn_in, neuron_ids),
        "ffn_out": _select_columns(layer.ffn_out, neuron_ids, ffn_bias),
    }


def _complement(ids: torch.Tensor, size: int) -> torch.Tensor:
    alive = torch.zeros(size, dtype=torch.bool, device=ids.device)
    alive[ids] = True
    return (~alive).nonzero().flatten()


def _bias_or_zeros(linear: nn.Linear) -> torch.Tensor:
    return linear.bias if linear.bias is not None else linear.weight.new_zeros(linear.out_features)


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device=weight.device, dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.clone())
    if bias is not None:
        linear.bias = nn.Parameter(bias.clone())
    return linear


def _select_rows(linear: nn.Linear, rows: torch.Tensor) -> nn.Linear:
    return _linear(linear.weight[rows], None if linear.bias is None else linear.bias[rows])


def _select_columns(linear: nn.Linear, columns: torch.Tensor, constant: torch.Tensor) -> nn.Linear:
    """Columns that stay; the constant goes into the bias, which is made where there was none."""
    bias = linear.bias + constant if linear.bias is not None else constant
    return _linear(linear.weight[:, columns], bias if linear.bias is not None or constant.ne(0).any() else None)
