"""Families: one frozen row per architecture says where its attention heads and feed-forward neurons live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from .compact.registration import COMPACT_PREFIX
from .layers import EncoderLayer, LinearView


@dataclass(frozen=True)
class MatrixSlice:
    """One matrix of several that share the rows of a Linear, equal in height: number `index` of `of`."""

    path: str
    index: int
    of: int


def _once(config) -> int:
    """How often a forward pass runs one of the listed layers, where each runs once."""
    return 1


@dataclass(frozen=True)
class ArchitectureSpec:
    """Names of the prunable parts of one architecture.

    Attributes:
        layers: the encoder layers, as a path below `model.base_model` with a star for each numbered step.
        query, key, value: projections `[heads * head_size, hidden]`, as paths below one layer.
        attention_output: projection `[hidden, heads * head_size]`, below one layer.
        ffn_in: first feed-forward matrix `[neurons, hidden]`, below one layer: the one under the activation.
        ffn_out: second feed-forward matrix `[hidden, neurons]`, below one layer.
        activation: the function between the two, below one layer.
        ffn_gate: the matrix `[neurons, hidden]` whose product multiplies the activations, where there is one.
        positions: further projections with the rows of the heads; each is there or not, as the config says.
        attention: the module that must be told which heads stay, below one layer; None where sizes alone tell it.
        width: the config field of the feed-forward width.
        per_layer: config fields that list one value per layer.
        droppable_from: index of the first layer that may be dropped; None where layers share their weights.
        uses: how often a forward pass runs one of the listed layers, from the config.
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
    uses: Callable[..., int] = _once


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
        droppable_from=1,  # the first has no norm before its attention: none of the others can take its place
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


# The names that they had before, which scripts import.
Family, FAMILIES = ArchitectureSpec, ARCHITECTURES


def stock_type(model_type: str) -> str:
    """The architecture that a compact model was cut from: `compact-bert` -> `bert`."""
    return model_type.removeprefix(COMPACT_PREFIX)


def architecture_of(config) -> ArchitectureSpec:
    """The row of a model's architecture.

    Raises:
        ValueError: if the architecture has no row.
    """
    model_type = stock_type(config.model_type)
    if model_type not in ARCHITECTURES:
        raise ValueError(
            f"No pruning layout for model_type={model_type!r}; known: {sorted(ARCHITECTURES)}. "
            "Add one row to trainer_ext.models.architectures.FAMILIES."
        )
    return ARCHITECTURES[model_type]


def layers_of(model) -> list[EncoderLayer]:
    """The prunable layers of a transformers model, first layer first; of layers that share weights, each once.

    Raises:
        ValueError: if the architecture has no row.
    """
    family, base, config = architecture_of(model.config), model.base_model, model.config
    own = getattr(config, "attention_head_size", None)  # DeBERTa may set it apart from the other two
    head_size = own or config.hidden_size // config.num_attention_heads
    layers = []
    for path, layer in _numbered(base, family.layers):
        children = dict(layer.named_modules())

        def matrix(place: str | MatrixSlice, *, path=path, children=children) -> LinearView:
            part = place if isinstance(place, MatrixSlice) else MatrixSlice(place, 0, 1)
            return LinearView(children[part.path], f"{path}.{part.path}", part.index, part.of)

        activation = layer
        for step in family.activation.split("."):  # a plain function in some heads, so not get_submodule
            activation = getattr(activation, step)
        layers.append(
            EncoderLayer(
                query=matrix(family.query),
                key=matrix(family.key),
                value=matrix(family.value),
                positions=tuple(matrix(place) for place in family.positions if place in children),
                attention_output=matrix(family.attention_output),
                ffn_in=matrix(family.ffn_in),
                ffn_gate=matrix(family.ffn_gate) if family.ffn_gate else None,
                ffn_out=matrix(family.ffn_out),
                activation=activation,
                attention=f"{path}.{family.attention}" if family.attention else None,
                head_size=head_size,
                uses=family.uses(config),
            )
        )
    return layers


def prunable_weights(layers: list[EncoderLayer]) -> int:
    """Weights that pruning may remove: the attention and feed-forward matrices, without biases."""
    return sum(layer.heads * layer.head_cost + layer.neurons * layer.neuron_cost for layer in layers)


def _numbered(base: nn.Module, pattern: str) -> list[tuple[str, nn.Module]]:
    """Path and module of everything that matches a path whose stars stand for all children."""
    found = [("", base)]
    for step in pattern.split("."):
        found = [
            (f"{path}.{name}".lstrip("."), child)
            for path, module in found
            for name, child in (module.named_children() if step == "*" else [(step, module.get_submodule(step))])
        ]
    return found
