"""Baseline: the model that is to be compressed, taken as it is, fine-tuned, or made from scratch."""

from __future__ import annotations

from transformers import AutoTokenizer, set_seed

from .data import Data, load_data
from .errors import InputError, one_line
from .opening import open_classifier
from .recipe import Recipe
from .scratch import small_bert, train_tokenizer


def open_baseline(recipe: Recipe):
    """Read the data and make the model and tokenizer that fit them; nothing is trained or written yet.

    Returns:
        `(model, tokenizer, data, epochs)`: epochs to train before compressing, 0 for a model taken as it is.

    Raises:
        InputError: data or a model that cannot be used.
    """
    set_seed(recipe.training.seed)
    data = load_data(recipe.data)  # first, because it costs nothing: a model may have to be downloaded
    if recipe.from_scratch:
        return *_from_scratch(recipe, data), data, recipe.model.scratch_epochs
    name, epochs = recipe.model.model_name_or_path, recipe.model.baseline_epochs
    labels = {}
    if epochs:  # a fresh head with the labels of the data
        labels = {"num_labels": len(data.labels), "id2label": dict(enumerate(data.labels))}
        labels["label2id"] = {label: index for index, label in enumerate(data.labels)}
    way_out = "give a folder or a Hub id that can be reached, or 'scratch' to train a small model from the texts"
    model = open_classifier(name, option="--model_name_or_path", way_out=way_out, **labels)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"The tokenizer of {name} cannot be opened ({one_line(error)}); {way_out}.") from error
    if not epochs:
        _name_labels(model.config, recipe.model.class_names)
        data = load_data(recipe.data, labels=[model.config.id2label[i] for i in range(model.config.num_labels)])
    return model, tokenizer, data, epochs


def _name_labels(config, names: list[str]) -> None:
    """Give a model without label names those of the recipe; names of its own win."""
    if any(name != f"LABEL_{index}" for index, name in config.id2label.items()):
        return
    if len(names) != config.num_labels:
        raise InputError(
            f"The model calls its {config.num_labels} labels LABEL_0, LABEL_1, ...; give their names in that order with "
            f"--class_names ({len(names)} given), or fine-tune it first with --baseline_epochs."
        )
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}


def _from_scratch(recipe: Recipe, data: Data) -> tuple:
    shape = recipe.scratch
    tokenizer = train_tokenizer(
        data.train["text"], vocab_size=shape.scratch_vocab_size, max_length=recipe.data.max_length
    )
    model = small_bert(
        tokenizer,
        data.labels,
        hidden_size=shape.scratch_hidden_size,
        num_hidden_layers=shape.scratch_layers,
        num_attention_heads=shape.scratch_heads,
        intermediate_size=shape.scratch_intermediate_size,
        dropout=shape.scratch_dropout,
        seed=recipe.training.seed,
    )
    return model, tokenizer
