"""Baseline: the model that is to be compressed, taken as it is, fine-tuned, or made from scratch."""

from __future__ import annotations

from transformers import AutoModelForSequenceClassification, AutoTokenizer

from .data import load_data
from .errors import InputError
from .recipe import Recipe
from .scratch import small_bert, train_tokenizer


def open_baseline(recipe: Recipe):
    """Read the data and make the model and tokenizer that fit them; nothing is trained or written yet.

    Returns:
        `(model, tokenizer, data, epochs)`: epochs to train before compressing, 0 for a model taken as it is.

    Raises:
        InputError: data or a model that cannot be used.
    """
    if recipe.from_scratch:
        return _from_scratch(recipe)
    name, epochs = recipe.model.model_name_or_path, recipe.model.baseline_epochs
    data = None
    if epochs:  # a fresh head for the labels of the data; read them first, they are checked in no time
        data = load_data(recipe.data)
        labels = {"num_labels": len(data.labels), "id2label": dict(enumerate(data.labels))}
        labels["label2id"] = {label: index for index, label in enumerate(data.labels)}
    else:
        labels = {}
    try:
        model = AutoModelForSequenceClassification.from_pretrained(name, **labels)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"--model_name_or_path {name} cannot be opened ({reason}); give a folder or a Hub id that can be reached, "
            "or 'scratch' to train a small model from the texts."
        ) from error
    if data is None:
        data = load_data(recipe.data, labels=[model.config.id2label[i] for i in range(model.config.num_labels)])
    return model, tokenizer, data, epochs


def _from_scratch(recipe: Recipe) -> tuple:
    shape, data = recipe.scratch, load_data(recipe.data)
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
        seed=recipe.training.seed,
    )
    return model, tokenizer, data, recipe.model.scratch_epochs
