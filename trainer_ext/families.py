"""Families: one frozen row per architecture says where its attention heads and feed-forward neurons live."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from .family_names import COMPACT_PREFIX


@dataclass(frozen=True)
class Family:
    """Names of the prunable parts of one architecture.

    Attributes:
        layers: the list of encoder layers, as a path below `model.base_model`.
        query, key, value: projections `[heads * head_size, hidden]`, as paths below one layer.
        attention_output: projection `[hidden, heads * head_size]`, below one layer.
        ffn_in: first feed-forward matrix `[neurons, hidden]`, below one layer.
        ffn_out: second feed-forward matrix `[hidden, neurons]`, below one layer.
        activation: the function between the two, below one layer.
    """

    layers: str
    query: str
    key: str
    value: str
    attention_output: str
    ffn_in: str
    ffn_out: str
    activation: str


_BERT = Family(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    activation="intermediate.intermediate_act_fn",
)

FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "camembert": _BERT,
    "distilbert": Family(
        layers="transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        ffn_in="ffn.lin1",
        ffn_out="ffn.lin2",
        activation="ffn.activation",
    ),
    "electra": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}


@dataclass(frozen=True)
class Layer:
    """The prunable modules of one encoder layer, and the path of each below `model.base_model`."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear
    ffn_in: nn.Linear
    ffn_out: nn.Linear
    activation: nn.Module
    paths: dict[str, str]
    head_size: int

    @property
    def heads(self) -> int:
        """Number of attention heads, read from the value projection: configs lie after shrinking."""
        return self.value.out_features // self.head_size

    @property
    def neurons(self) -> int:
        """Width of the feed-forward block."""
        return self.ffn_in.out_features

    @property
    def head_cost(self) -> int:
        """Weights of one head: its rows of query, key and value, its columns of the output projection."""
        attention = (self.query, self.key, self.value, self.attention_output)
        return sum(linear.in_features * linear.out_features for linear in attention) // self.heads

    @property
    def neuron_cost(self) -> int:
        """Weights of one neuron: its row of the first matrix and its column of the second."""
        return self.ffn_in.in_features + self.ffn_out.out_features


LINEARS = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")


def stock_type(model_type: str) -> str:
    """The architecture that a compact model was cut from: `compact-bert` -> `bert`."""
    return model_type.removeprefix(COMPACT_PREFIX)


def family_of(config) -> Family:
    """The row of a model's architecture.

    Raises:
        ValueError: if the architecture has no row.
    """
    model_type = stock_type(config.model_type)
    if model_type not in FAMILIES:
        raise ValueError(
            f"No pruning layout for model_type={model_type!r}; known: {sorted(FAMILIES)}. "
            "Add one row to trainer_ext.families.FAMILIES."
        )
    return FAMILIES[model_type]


def layers_of(model) -> list[Layer]:
    """The prunable layers of a transformers model, first layer first.

    Raises:
        ValueError: if the architecture has no row.
    """
    family, base, config = family_of(model.config), model.base_model, model.config
    head_size = config.hidden_size // config.num_attention_heads
    layers = []
    for index, layer in enumerate(base.get_submodule(family.layers)):
        parts = {name: layer.get_submodule(getattr(family, name)) for name in LINEARS}
        paths = {name: f"{family.layers}.{index}.{getattr(family, name)}" for name in LINEARS}
        activation = layer
        for step in family.activation.split("."):  # a plain function in some heads, so not get_submodule
            activation = getattr(activation, step)
        layers.append(Layer(**parts, activation=activation, paths=paths, head_size=head_size))
    return layers


def prunable_weights(layers: list[Layer]) -> int:
    """Weights that pruning may remove: the attention and feed-forward matrices, without biases."""
    return sum(layer.heads * layer.head_cost + layer.neurons * layer.neuron_cost for layer in layers)
