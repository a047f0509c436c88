"""Shrinking: turn a model with dead units into a smaller model that computes the same function.

The rule is exact. A head is dead if its value rows are zero (then it adds a constant, its value bias times the output
projection) or if its columns of the output projection are zero. A head whose query or key is zero is not dead: it attends
evenly. A neuron is dead if its input row is zero (then it adds the constant `activation(bias)`) or if its output column is
zero. Constants are added to the next bias.
"""

from __future__ import annotations

import copy

import torch

from ..models.architectures import architecture_of, config_of, find_encoder, is_stock, layers_of, stock_type
from ..models.compact.modeling_compact import compact_model
from ..models.compact.registration import register
from ..models.custom import METHOD, layout_of, resize_encoder
from ..models.layers import EncoderLayer, LinearView, rows_by_linear
from ..models.outputs import full_precision

Affine = tuple[torch.Tensor, torch.Tensor | None]


def surviving_heads(layer: EncoderLayer) -> list[int]:
    """Return the ids of the heads that can change the output of a layer."""
    value = layer.value.weight.unflatten(0, (layer.heads, layer.head_size))
    output = layer.attention_output.weight.unflatten(1, (layer.heads, layer.head_size))
    alive = value.ne(0).any(2).any(1) & output.ne(0).any(2).any(0)
    return alive.nonzero().flatten().tolist()


def surviving_neurons(layer: EncoderLayer) -> list[int]:
    """Return the ids of the neurons that can change the output of a layer."""
    alive = layer.ffn_out.weight.ne(0).any(0)
    alive &= torch.stack([matrix.weight.ne(0).any(1) for matrix in layer.neuron_rows]).any(0)
    return alive.nonzero().flatten().tolist()


@torch.no_grad()
@full_precision()  # constants are matrix products
def shrink(model):
    """Build the compact model that computes the same as `model`.

    Args:
        model: a model with one encoder whose architecture is in `ARCHITECTURES`, with its masks merged; not changed.

    Returns:
        `(compact, heads, neurons)`: the new model on the same device and in the same mode, and the ids of the heads
        and neurons that stay, per layer. A stock model becomes one of a compact class; a model of the user's own class
        keeps its class, with a compact encoder inside.

    Raises:
        ValueError: If the architecture is unknown, or the masks are not merged yet.
    """
    layers = _unmasked_layers(model)
    heads, neurons = [surviving_heads(x) for x in layers], [surviving_neurons(x) for x in layers]
    state, sizes = _cut_state(model, layers, heads, neurons)
    chosen = dict(getattr(find_encoder(model)[1].config, "compact_heads", None) or {})
    for layer, kept in zip(layers, heads, strict=True):
        if layer.attention:
            before = chosen.get(layer.attention, list(range(layer.heads)))
            chosen[layer.attention] = [before[head] for head in kept]
    if is_stock(model):
        return filled(compact_outline(model, sizes, chosen), model, state), heads, neurons
    smaller = _resized_copy(model, sizes, chosen, state)
    if hasattr(smaller, "save_pretrained"):
        smaller.config.quantization_config = {"quant_method": METHOD, **layout_of(smaller)}
    return smaller, heads, neurons


@torch.no_grad()
@full_precision()
def shrink_plain(model):
    """Build the smaller stock model that computes the same as `model`.

    All heads stay, and every layer keeps as many neurons as the layer that needs most.

    Args:
        model: as for `shrink`.

    Returns:
        `(plain, heads, neurons)` as `shrink`; `plain` has the class of `model`.

    Raises:
        ValueError: If the architecture is unknown, the masks are not merged yet, or the model is already compact.
    """
    layers = _unmasked_layers(model)
    encoder = find_encoder(model)[1]
    if stock_type(encoder.config.model_type) != encoder.config.model_type:
        raise ValueError("A compact model cannot become plain: its layers have lost heads.")
    heads, alive = [list(range(x.heads)) for x in layers], [surviving_neurons(x) for x in layers]
    width = max(1, *map(len, alive))
    neurons = []
    for layer, ids in zip(layers, alive, strict=True):  # dead neurons fill the other layers up
        dead = sorted(set(range(layer.neurons)).difference(ids))
        neurons.append(sorted(ids + dead[: width - len(ids)]))
    state, sizes = _cut_state(model, layers, heads, neurons)
    field = architecture_of(encoder.config).width
    if not is_stock(model):
        smaller = _resized_copy(model, sizes, {}, state)
        for config in (config_of(smaller), find_encoder(smaller)[1].config):
            if hasattr(config, field):  # the class of the user builds its encoder from its own config
                setattr(config, field, width)
        return smaller, heads, neurons
    config = copy.deepcopy(model.config)
    setattr(config, field, width)
    config._attn_implementation = model.config._attn_implementation
    return filled(type(model)(config), model, state), heads, neurons


def compact_outline(model, sizes: dict[str, list[int]], heads: dict[str, list[int]]):
    """Return a model of the compact class of `model` with Linears of these sizes and random weights.

    Args:
        model: a transformers model whose architecture is in `ARCHITECTURES`.
        sizes: `{path below the encoder: [out_features, in_features]}`.
        heads: ids of the remaining heads by path of the attention module, for architectures that need them.
    """
    register(stock_type(model.config.model_type))
    stock = type(model)
    compact = stock if stock.__module__.endswith("modeling_compact") else compact_model(stock)
    values = copy.deepcopy(model.config.to_dict())
    for key in ("model_type", "pruning", "auto_map", "transformers_version"):
        values.pop(key, None)
    config = compact.config_class(**{**values, "compact_linears": sizes, "compact_heads": heads or None})
    config.architectures = [compact.__name__]
    # The attention kernel is not part of the config: copy it.
    config._attn_implementation = model.config._attn_implementation
    return compact(config)


def _resized_copy(model, sizes: dict[str, list[int]], heads: dict[str, list[int]], state: dict[str, torch.Tensor]):
    """Return a copy of a model of the user's own class with a smaller encoder, filled with a state dict."""
    smaller = copy.deepcopy(model)
    vars(smaller).pop("save_pretrained", None)  # of the model with masks; see masks.save_as_plain
    resize_encoder(smaller, layout_of(model) | {"compact_linears": sizes, "compact_heads": heads or None})
    smaller.load_state_dict(state)
    return _trained_like(smaller, model)


def _trained_like(smaller, model):
    """Freeze the parameters that are frozen in the model that `smaller` was made from, and take its rates of dropout."""
    parts = dict(model.named_modules())
    for name, module in smaller.named_modules():
        if isinstance(module, torch.nn.Dropout) and isinstance(parts.get(name), torch.nn.Dropout):
            module.p = parts[name].p
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, parameter in smaller.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return smaller


def _unmasked_layers(model) -> list[EncoderLayer]:
    if hasattr(model, "pruning"):
        raise ValueError("The model still has masks; call trainer_ext.pruning.masks.merge(model) before shrinking.")
    return layers_of(model)


def _cut_state(model, layers, heads, neurons) -> tuple[dict[str, torch.Tensor], dict[str, list[int]]]:
    """Return the state dict of the smaller model, and the sizes of the Linears that changed."""
    state, sizes = dict(model.state_dict()), {}
    path, _ = find_encoder(model)
    prefix = f"{path}." if path else ""
    for layer, kept_heads, kept_neurons in zip(layers, heads, neurons, strict=True):
        for path, (weight, bias) in _cut(layer, kept_heads, kept_neurons).items():
            sizes[path] = list(weight.shape)
            state[f"{prefix}{path}.weight"] = weight
            if bias is not None:
                state[f"{prefix}{path}.bias"] = bias
    return state, sizes


def filled(smaller, model, state: dict[str, torch.Tensor]):
    """Load a state dict into the smaller model and give it the device, dtype and mode of `model`.

    Args:
        smaller: the model to fill.
        model: the model that it was made from.
        state: the state dict; missing biases become zero.
    """
    smaller = smaller.to(device=model.device, dtype=model.dtype)
    for name, buffer in smaller.named_buffers():  # rotary frequencies stay in fp32 in a bf16 model
        buffer.data = model.get_buffer(name).clone()
    # A Linear of `model` may have no bias where its class has one: zero is the same.
    missing = {k: v for k, v in smaller.state_dict().items() if k.endswith(".bias") and k not in state}
    smaller.load_state_dict(state | {name: torch.zeros_like(bias) for name, bias in missing.items()})
    return _trained_like(smaller.train(model.training), model)


def in_precision(model, dtype: torch.dtype, buffers: dict[str, torch.dtype]):
    """Cast the parameters of a model, in place. Its buffers get dtypes of their own: rotary frequencies stay in fp32.

    Args:
        model: the model.
        dtype: of the parameters.
        buffers: of the buffers, by name; others keep theirs.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    for name, buffer in model.named_buffers():
        buffer.data = buffer.data.to(buffers.get(name, buffer.dtype))
    return model


def _cut(layer: EncoderLayer, heads: list[int], neurons: list[int]) -> dict[str, Affine]:
    """Return weight and bias of the Linears of a layer, by path, cut to what stays and with constants folded in."""
    device = layer.value.weight.device
    neuron_ids = torch.tensor(neurons, device=device, dtype=torch.long)
    head_rows = torch.arange(layer.heads * layer.head_size, device=device).view(layer.heads, layer.head_size)
    rows = head_rows[torch.tensor(heads, device=device, dtype=torch.long)].flatten()

    dead_rows = _complement(rows, layer.value.out_features)
    context_bias = layer.attention_output.weight[:, dead_rows] @ layer.value.bias_or_zeros[dead_rows]
    dead_neurons = _complement(neuron_ids, layer.neurons)
    activations = layer.activation(layer.ffn_in.bias_or_zeros[dead_neurons])
    if layer.ffn_gate is not None:
        activations = activations * layer.ffn_gate.bias_or_zeros[dead_neurons]
    # A neuron that is dead only by its output column is not constant, but that column is zero.
    ffn_bias = layer.ffn_out.weight[:, dead_neurons] @ activations
    by_head = {path: _rows(parts, rows) for path, parts in rows_by_linear(layer.head_rows).items()}
    by_neuron = {path: _rows(parts, neuron_ids) for path, parts in rows_by_linear(layer.neuron_rows).items()}
    return {
        **by_head,
        layer.attention_output.path: _columns(layer.attention_output, rows, context_bias),
        **by_neuron,
        layer.ffn_out.path: _columns(layer.ffn_out, neuron_ids, ffn_bias),
    }


def _complement(ids: torch.Tensor, size: int) -> torch.Tensor:
    alive = torch.zeros(size, dtype=torch.bool, device=ids.device)
    alive[ids] = True
    return (~alive).nonzero().flatten()


def _rows(matrices: list[LinearView], rows: torch.Tensor) -> Affine:
    """Return the rows that stay, of every matrix that a Linear stores."""
    biases = [matrix.bias[rows] for matrix in matrices if matrix.bias is not None]
    return torch.cat([matrix.weight[rows] for matrix in matrices]), torch.cat(biases) if biases else None


def _columns(matrix: LinearView, columns: torch.Tensor, constant: torch.Tensor) -> Affine:
    """Return the columns that stay, and the bias with the constant added (a new one if there was none)."""
    has_bias = matrix.bias is not None or constant.ne(0).any()
    return matrix.weight[:, columns], matrix.bias_or_zeros + constant if has_bias else None
