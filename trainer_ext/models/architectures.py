"""Architectures: one `ArchitectureSpec` per model type says where its attention heads and feed-forward neurons are.

The encoder of a model is found by its layers, so it may be anywhere inside a model of the user's own class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from .compact.registration import COMPACT_PREFIX
from .layers import EncoderLayer, LinearView

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class MatrixSlice:
    """Matrix number `index` of `of` matrices of equal height that one Linear stores, one below the other."""

    path: str
    index: int
    of: int


@dataclass(frozen=True)
class ArchitectureSpec:
    """Paths of the prunable parts of one architecture, and what shrinking and layer dropping must know of its config.

    Attributes:
        layers: path of the encoder layers below the encoder, with a star for each numbered step.
        query, key, value: paths of the projections `[heads * head_size, hidden]`, below one layer.
        attention_output: path of the projection `[hidden, heads * head_size]`, below one layer.
        ffn_in: path of the first feed-forward matrix `[neurons, hidden]`, whose output goes through the activation.
        ffn_out: path of the last feed-forward matrix `[hidden, neurons]`.
        activation: path of the activation function.
        ffn_gate: the matrix `[neurons, hidden]` whose output multiplies the activations, if there is one.
        positions: paths of further projections with the rows of the heads, which only some configs have.
        attention: path of the module that must know which heads stay, or None if the sizes are enough.
        width: config field of the feed-forward width.
        per_layer: config fields that list one value per layer.
        droppable_from: index of the first layer that may be dropped; None if layers share their weights.
        uses: function from the config to how often a forward pass runs each layer.
    """

    layers: str
    query: str | MatrixSlice
    key: str | MatrixSlice
    value: str | MatrixSlice
    attention_output: str
    ffn_in: str | MatrixSlice
    ffn_out: str
    activation: str
    ffn_gate: MatrixSlice | None = None
    positions: tuple[str, ...] = ()
    attention: str | None = None
    width: str = "intermediate_size"
    per_layer: tuple[str, ...] = ()
    droppable_from: int | None = 0
    uses: Callable[..., int] = lambda config: 1


_BERT = ArchitectureSpec(
    layers="encoder.layer.*",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    activation="intermediate.intermediate_act_fn",
)

ARCHITECTURES: dict[str, ArchitectureSpec] = {
    "albert": ArchitectureSpec(
        layers="encoder.albert_layer_groups.*.albert_layers.*",
        query="attention.query",
        key="attention.key",
        value="attention.value",
        attention_output="attention.dense",
        ffn_in="ffn",
        ffn_out="ffn_output",
        activation="activation",
        droppable_from=None,
        uses=lambda config: max(1, config.num_hidden_layers // config.num_hidden_groups),
    ),
    "bert": _BERT,
    "camembert": _BERT,
    "deberta-v2": replace(
        _BERT,
        query="attention.self.query_proj",
        key="attention.self.key_proj",
        value="attention.self.value_proj",
        positions=("attention.self.pos_key_proj", "attention.self.pos_query_proj"),
        attention="attention.self",
    ),
    "distilbert": ArchitectureSpec(
        layers="transformer.layer.*",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        ffn_in="ffn.lin1",
        ffn_out="ffn.lin2",
        activation="ffn.activation",
        width="hidden_dim",
    ),
    "electra": _BERT,
    "modernbert": ArchitectureSpec(
        layers="layers.*",
        query=MatrixSlice("attn.Wqkv", 0, 3),
        key=MatrixSlice("attn.Wqkv", 1, 3),
        value=MatrixSlice("attn.Wqkv", 2, 3),
        attention_output="attn.Wo",
        ffn_in=MatrixSlice("mlp.Wi", 0, 2),
        ffn_gate=MatrixSlice("mlp.Wi", 1, 2),
        ffn_out="mlp.Wo",
        activation="mlp.act",
        per_layer=("layer_types",),
        droppable_from=1,  # the first layer has no norm before its attention, so no other can replace it
    ),
    "mpnet": replace(
        _BERT,
        query="attention.attn.q",
        key="attention.attn.k",
        value="attention.attn.v",
        attention_output="attention.attn.o",
        attention="attention.attn",
    ),
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}

# Their earlier names, kept as aliases.
Family, FAMILIES = ArchitectureSpec, ARCHITECTURES


def stock_type(model_type: str) -> str:
    """Return the stock model type of a model type: `compact-bert` -> `bert`."""
    return model_type.removeprefix(COMPACT_PREFIX)


def architecture_of(config) -> ArchitectureSpec:
    """Return the specification of an encoder's architecture, given its config.

    Raises:
        ValueError: If the architecture is not in `ARCHITECTURES`.
    """
    model_type = stock_type(config.model_type)
    if model_type not in ARCHITECTURES:
        raise ValueError(
            f"No pruning layout for model_type={model_type!r}; known: {', '.join(sorted(ARCHITECTURES))}. Another encoder needs "
            "one row in trainer_ext.models.architectures.ARCHITECTURES; decoders, such as GPT, are not pruned."
        )
    return ARCHITECTURES[model_type]


def find_encoder(model) -> tuple[str, PreTrainedModel]:
    """Return the path and the module of the encoder in a model; the path is empty if the model is an encoder.

    Args:
        model: a transformers model with or without a head, or any module that holds one encoder of transformers.

    Raises:
        ValueError: If there is no encoder whose architecture is in `ARCHITECTURES`, or more than one.
    """
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        if not any(path.startswith(f"{outer}.") for outer in found) and _is_encoder(module):
            found[path] = module
    if len(found) == 1:
        return next(iter(found.items()))
    name = type(model).__name__
    if found:
        raise ValueError(
            f"{name} holds {len(found)} encoders ({', '.join(found)}), and one can be pruned. Train with one of them, or "
            "prune each in a model of its own first."
        )
    config = getattr(model, "config", None)
    if is_stock(model) and hasattr(config, "model_type"):
        architecture_of(config)  # says what is missing
    raise ValueError(
        f"{name} holds no encoder that can be pruned. Build it with AutoModel.from_pretrained(...) of one of these "
        f"architectures: {', '.join(sorted(ARCHITECTURES))}; or set prune_method=none to distil only."
    )


def _is_encoder(module: nn.Module) -> bool:
    """Return whether a module has the layers of its architecture at the place where its encoders have them."""
    spec = ARCHITECTURES.get(stock_type(str(getattr(getattr(module, "config", None), "model_type", None))))
    if spec is None:
        return False
    try:
        layers = _numbered(module, spec.layers)
        return bool(layers) and layers[0][1].get_submodule(spec.ffn_out) is not None
    except AttributeError:
        return False


def is_stock(model) -> bool:
    """Return whether the class of a model is one of transformers, or its compact form: the Auto classes open these."""
    import transformers

    from .compact import modeling_compact  # here, because it imports transformers

    home, name = type(model).__module__, type(model).__name__
    if home.rpartition(".")[2] == modeling_compact.__name__.rpartition(".")[2]:
        return hasattr(transformers, name.removeprefix(modeling_compact.PREFIX))
    return home.startswith("transformers.models.")


def config_of(model) -> Any:
    """Return the config of a model, or that of its encoder if it is a plain module without one.

    Raises:
        ValueError: If it has neither.
    """
    config = getattr(model, "config", None)
    return config if hasattr(config, "model_type") else find_encoder(model)[1].config


def layers_of(model) -> list[EncoderLayer]:
    """Return the prunable layers of a model in order; layers that share weights appear once.

    Args:
        model: as in `find_encoder`.

    Raises:
        ValueError: If there is not one encoder of a known architecture, or its matrices are not plain Linears.
    """
    _, base = find_encoder(model)
    config = base.config
    spec = architecture_of(config)
    own = getattr(config, "attention_head_size", None)  # in DeBERTa it is independent of the other two
    head_size = own or config.hidden_size // config.num_attention_heads
    layers = []
    for path, layer in _numbered(base, spec.layers):
        children = dict(layer.named_modules())

        def matrix(place: str | MatrixSlice, *, path=path, children=children) -> LinearView:
            part = place if isinstance(place, MatrixSlice) else MatrixSlice(place, 0, 1)
            if not isinstance(children[part.path], nn.Linear):
                raise ValueError(
                    f"{path}.{part.path} is a {type(children[part.path]).__module__}.{type(children[part.path]).__name__}, "
                    "and only plain Linears can be pruned. Merge adapters first (PEFT: model = "
                    "model.merge_and_unload().requires_grad_(True)), and load the model in full precision."
                )
            return LinearView(children[part.path], f"{path}.{part.path}", part.index, part.of)

        activation = layer
        for step in spec.activation.split("."):  # sometimes a plain function, so not get_submodule
            activation = getattr(activation, step)
        layers.append(
            EncoderLayer(
                query=matrix(spec.query),
                key=matrix(spec.key),
                value=matrix(spec.value),
                positions=tuple(matrix(place) for place in spec.positions if place in children),
                attention_output=matrix(spec.attention_output),
                ffn_in=matrix(spec.ffn_in),
                ffn_gate=matrix(spec.ffn_gate) if spec.ffn_gate else None,
                ffn_out=matrix(spec.ffn_out),
                activation=activation,
                attention=f"{path}.{spec.attention}" if spec.attention else None,
                head_size=head_size,
                uses=spec.uses(config),
            )
        )
    return layers


def layer_modules(model) -> list[nn.Module]:
    """Return the modules of the layers of `layers_of`, in the same order."""
    _, base = find_encoder(model)
    return [layer for _, layer in _numbered(base, architecture_of(base.config).layers)]


def prunable_weights(layers: list[EncoderLayer]) -> int:
    """Return the number of weights that pruning may remove: attention and feed-forward matrices, without biases."""
    return sum(layer.heads * layer.head_cost + layer.neurons * layer.neuron_cost for layer in layers)


def _numbered(base: nn.Module, pattern: str) -> list[tuple[str, nn.Module]]:
    """Return path and module of everything that matches a path in which a star stands for all children."""
    found = [("", base)]
    for step in pattern.split("."):
        found = [
            (f"{path}.{name}".lstrip("."), child)
            for path, module in found
            for name, child in (module.named_children() if step == "*" else [(step, module.get_submodule(step))])
        ]
    return found
