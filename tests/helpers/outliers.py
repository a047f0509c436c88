"""Models that answer as before in fp32 and lose their answers in int8: one channel is scaled up, the next matrix undoes it."""

import random

import torch

SCALE = 2.0**12  # a power of two: fp32 rounds as before
WORDS = "mango guava apple pear river ganga koyna long deep tin gold iron lead copper the and is not of near".split()
# By model type: value and output projections of a layer; ModernBERT has query, key and value in one matrix.
ATTENTION = {
    "bert": ("bert.encoder.layer.{}.attention.self.value", "bert.encoder.layer.{}.attention.output.dense"),
    "deberta-v2": (
        "deberta.encoder.layer.{}.attention.self.value_proj",
        "deberta.encoder.layer.{}.attention.output.dense",
    ),
    "modernbert": ("model.layers.{}.attn.Wqkv", "model.layers.{}.attn.Wo"),
}


def texts(count=80):
    """Return random texts of 3 to 14 words."""
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 14))) for _ in range(count)]


@torch.no_grad()
def scale_channel(first, second, row, column, scale=SCALE):
    """Scale a row of one module up and the column of the next that reads it down."""
    first.weight[row] *= scale
    if getattr(first, "bias", None) is not None:
        first.bias[row] *= scale
    second.weight[:, column] /= scale


def outlier_in_attention(model, layer, channel=3, scale=SCALE):
    """Add an outlier to what the output projection of an attention reads; return the name of that module."""
    value, output = (model.get_submodule(name.format(layer)) for name in ATTENTION[model.config.model_type])
    scale_channel(value, output, channel + value.out_features - output.in_features, channel, scale)
    return ATTENTION[model.config.model_type][1].format(layer)


# By model type: the attention of a layer, its projections that make queries, and those that make keys.
PRODUCTS = {
    "bert": ("bert.encoder.layer.{}.attention.self", ["query"], ["key"]),
    "deberta-v2": (
        "deberta.encoder.layer.{}.attention.self",
        ["query_proj", "pos_query_proj"],
        ["key_proj", "pos_key_proj"],
    ),
    "modernbert": ("model.layers.{}.attn", ["Wqkv"], ["Wqkv"]),
}


@torch.no_grad()
def outlier_in_product(model, layer, channel=3, scale=SCALE):
    """Add an outlier to the queries of an attention, which its keys undo; return the names of what may stay in fp32."""
    path, queries, keys = PRODUCTS[model.config.model_type]
    attention, joint = model.get_submodule(path.format(layer)), queries == keys
    # Rotary positions mix the two halves of a head: of a pair of channels both are scaled.
    rows = [channel, channel + model.config.hidden_size // model.config.num_attention_heads // 2][: 1 + joint]
    for names, below, factor in ((queries, 0, scale), (keys, model.config.hidden_size * joint, 1 / scale)):
        for projection in map(attention.get_submodule, names):
            for parameter in filter(lambda value: value is not None, (projection.weight, projection.bias)):
                parameter[[row + below for row in rows]] *= factor
    return {path.format(layer), *(f"{path.format(layer)}.{name}" for name in queries + keys)}


def outliers_everywhere(model):
    """Add an outlier to what every matrix of a ModernBERT reads, but those that read the embeddings."""
    for index, layer in enumerate(model.model.layers):
        outlier_in_attention(model, index)
        scale_channel(layer.mlp_norm, layer.mlp.Wi, 3, 3)
        scale_channel(layer.mlp.Wi, layer.mlp.Wo, layer.mlp.Wo.in_features + 3, 3)
        if index:
            scale_channel(layer.attn_norm, layer.attn.Wqkv, 3, 3)
