"""Open the baseline, the model to compress: as it is, to be fine-tuned, or made from scratch."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase, Trainer, set_seed

from ..errors import InputError
from ..models.loading import head_of, load_model, load_tokenizer, rows_of
from ..tasks.dataset import Data, load_data
from ..tasks.registry import Task, task_of
from ..utils.checkpoints import is_past_the_end
from .recipe import Recipe
from .scratch import label_names, small_bert, train_tokenizer


class BaselineTrainer(Trainer):
    """Trainer that takes no further step when a finished training is resumed."""

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Return no batch if no step is left."""
        if is_past_the_end(self):
            return [], None
        return super().get_batch_samples(epoch_iterator, num_batches, device)


def open_baseline(recipe: Recipe) -> tuple[Any, PreTrainedTokenizerBase, Data, float]:
    """Read the data, and load or make the model and tokenizer for them; nothing is trained or written yet.

    Args:
        recipe: what to do.

    Returns:
        `(model, tokenizer, data, epochs)`; epochs to train before compressing, 0 for a model that is taken as it is.

    Raises:
        InputError: The data or the model cannot be used.
    """
    set_seed(recipe.training.seed)
    task = task_of(recipe.data)
    data = load_data(recipe.data)  # first: it is cheap, and the model may have to be downloaded
    if recipe.from_scratch:
        return *_from_scratch(recipe, task, data), data, recipe.model.scratch_epochs
    name, epochs = recipe.model.model_name_or_path or "", recipe.model.baseline_epochs
    way_out = "give a folder or a Hub id that can be reached, or 'scratch' to train a small model from the texts"
    changes: dict[str, Any] = {"dtype": "float32"}  # mixed precision cannot scale the gradients of fp16 weights
    if epochs:  # a fresh head with the labels of the data
        changes |= label_names(data.labels) | {"problem_type": task.problem_type}
    model = load_model(name, option="--model_name_or_path", way_out=way_out, head=task.head, **changes)
    tokenizer = load_tokenizer(name, way_out=way_out, rows=rows_of(model), **dict(task.tokenizer))
    if not epochs:
        _check_head(model.config, task, data, name)
        if task.labels.named:
            _name_labels(model.config, recipe.model.class_names)
            data = load_data(recipe.data, labels=[model.config.id2label[i] for i in range(model.config.num_labels)])
    return model, tokenizer, data, epochs


def _check_head(config, task: Task, data: Data, name: str) -> None:
    """Refuse a model that was not trained for the task: `from_pretrained` would make a random head."""
    way_out = "fine-tune it first with --baseline_epochs"
    if head_of(config) != task.head:
        raise InputError(f"{name} was not saved with a head for {task.title} ({config.architectures}); {way_out}.")
    if config.problem_type not in (None, task.problem_type):
        raise InputError(
            f"{name} is for {config.problem_type}, not for {task.title}; see --problem_type, or {way_out}."
        )
    if not task.labels.named and data.labels and config.num_labels != len(data.labels):
        raise InputError(f"{name} gives {config.num_labels} numbers where one label is; {way_out}.")
    config.problem_type = task.problem_type


def _name_labels(config, names: list[str]) -> None:
    """Give a model without label names those of the recipe."""
    if any(name != f"LABEL_{index}" for index, name in config.id2label.items()):
        return
    if len(names) != config.num_labels:
        raise InputError(
            f"The model calls its {config.num_labels} labels LABEL_0, LABEL_1, ...; give their names in that order with "
            f"--class_names ({len(names)} given), or fine-tune it first with --baseline_epochs."
        )
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}


def _from_scratch(recipe: Recipe, task: Task, data: Data) -> tuple:
    shape = recipe.scratch
    texts = [text for name in ("text", "text_pair") if name in data.train.column_names for text in data.train[name]]
    tokenizer = train_tokenizer(texts, vocab_size=shape.scratch_vocab_size, max_length=recipe.data.max_length)
    model = small_bert(
        tokenizer,
        data.labels,
        hidden_size=shape.scratch_hidden_size,
        num_hidden_layers=shape.scratch_layers,
        num_attention_heads=shape.scratch_heads,
        intermediate_size=shape.scratch_intermediate_size,
        dropout=shape.scratch_dropout,
        seed=recipe.training.seed,
        head=task.head,
        problem_type=task.problem_type,
    )
    return model, tokenizer
