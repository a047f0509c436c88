"""Open the baseline, the model to compress: as it is, to be fine-tuned, or made from scratch."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase, Trainer, set_seed

from ..data.class_names import known_as, looks
from ..data.encoding import texts_of
from ..data.records import listed
from ..errors import InputError
from ..models.loading import (
    HEADS,
    check_padding,
    head_of,
    load_config,
    load_model,
    load_tokenizer,
    longest_text,
    rows_of,
)
from ..tasks.dataset import Data, load_data, names_as_known
from ..tasks.registry import Task, task_of
from ..utils.checkpoints import is_past_the_end
from .recipe import Recipe
from .scratch import label_names, small_bert, train_tokenizer

logger = logging.getLogger(__name__)

MOST_SHOWN = 12  # class names in a line


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
    data = read_data(recipe)  # first: it is cheap, and the model may have to be downloaded
    if recipe.from_scratch:
        model, tokenizer, epochs = *_from_scratch(recipe, task, data), recipe.model.scratch_epochs
    else:
        model, tokenizer, data = _from_folder(recipe, task, data)
        epochs = recipe.model.baseline_epochs
    for note in data.notes:
        logger.warning("%s", note)
    return model, tokenizer, data, epochs


def _from_folder(recipe: Recipe, task: Task, data: Data) -> tuple[Any, PreTrainedTokenizerBase, Data]:
    name = recipe.model.model_name_or_path or ""
    way_out = "give a folder or a Hub id that can be reached, or 'scratch' to train a small model from the texts"
    given: dict[str, Any] = {"option": "--model_name_or_path", "way_out": way_out}
    # Mixed precision cannot scale the gradients of fp16 weights.
    changes: dict[str, Any] = {"dtype": "float32", "head": task.head}
    if recipe.model.baseline_epochs:
        config = load_config(name, **given)
        kept = _with_stored_head(config, recipe, data, name)
        data = kept or replace(data, notes=(*data.notes, *_about_new_head(config, task, data, name)))
        changes |= label_names(data.labels) | {"problem_type": task.problem_type, "fresh": kept is None}
    model = load_model(name, **given, **changes)
    tokenizer = load_tokenizer(
        name, way_out=way_out, rows=rows_of(model), longest=longest_text(model.config), **dict(task.tokenizer)
    )
    check_padding(model, tokenizer)
    if not recipe.model.baseline_epochs:
        _check_head(model.config, task, data, name, labelled=recipe.data.texts is None)
        if task.labels.named:
            notes = _name_labels(model.config, recipe.model.class_names, data.labels, task)
            data = load_data(recipe.data, labels=_names_of(model.config))
            data = replace(data, notes=(*data.notes, *notes))
    return model, tokenizer, data


def _with_stored_head(config, recipe: Recipe, data: Data, name: str) -> Data | None:
    """Return the data with the classes of a fine-tuned model, if its head is one for them.

    That is so if the head is of the task, and each class of the data is one of the model's, by its name in any writing; or
    if the data have ids, one for each class; or if `class_names` names the classes of a model that has no names of its own.

    Args:
        config: of the model as it is stored.
        recipe: what to do.
        data: the data as they are without the model.
        name: of the model, for a note.

    Returns:
        The data with the classes in the order of the model; or None if the training starts with a new head.
    """
    task, asked = task_of(recipe.data), recipe.model.class_names
    if head_of(config) != task.head or config.problem_type not in (None, task.problem_type):
        return None
    if not task.labels.named:
        return data if not data.labels or config.num_labels == len(data.labels) else None
    own = _names_of(config)
    if asked and list(map(looks, asked)) != list(map(looks, own)):
        if not _unnamed(own) or len(asked) != len(own):
            return None
        own = asked
    known, found = (sorted({task.labels.word(label) for label in labels} - {""}) for labels in (own, data.labels))
    to = known_as(found, known)
    by_name = {*found} <= {*to, *known}
    if not by_name and not (len(found) == len(known) and _all_known(data.labels, own, task)):
        return None
    try:
        read = load_data(recipe.data, labels=own)
    except InputError:  # the model lacks some tag of a type that it knows
        return None
    absent = {*known} - {to.get(word, word) for word in found} if by_name and not asked else ()
    if absent:
        lacks = f"The head of {name} is kept with all its classes; the data have none of {_shown(sorted(absent))}."
        read = replace(read, notes=(*read.notes, lacks))
    return read


def _about_new_head(config, task: Task, data: Data, name: str) -> list[str]:
    """Return the line that says that a stored head is left out, or none if there is no such head."""
    if head_of(config) is None:
        return []
    own = _names_of(config)
    before = "question answering" if head_of(config) == HEADS[2] else "one number" if len(own) == 1 else _shown(own)
    after = _shown(data.labels) if task.labels.named else task.title
    return [f"The head of {name} ({before}) is replaced by a new one for {after}."]


def _names_of(config) -> list[str]:
    return [config.id2label[index] for index in range(config.num_labels)]


def _unnamed(names: list[str]) -> bool:
    return names == [f"LABEL_{index}" for index in range(len(names))]


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more


def read_data(recipe: Recipe) -> Data:
    """Read the data of a recipe before its model is there.

    Args:
        recipe: what to do; the names of classes are checked only if no fine-tuned model has its own.

    Raises:
        InputError: The data cannot be used, or `class_names` says nothing about them.
    """
    names, is_new = recipe.model.class_names, recipe.from_scratch or bool(recipe.model.baseline_epochs)
    if names and not task_of(recipe.data).labels.named:
        raise InputError(f"class_names={names}: {task_of(recipe.data).title} has no classes; leave it out.")
    if len(set(names)) < len(names):
        raise InputError(f"class_names has a name twice, got {listed(names)}; give each class a name of its own.")
    return load_data(recipe.data, labels=names if names and is_new else None, as_they_are=not is_new)


def _check_head(config, task: Task, data: Data, name: str, *, labelled: bool) -> None:
    """Refuse a model that was not trained for the task: `from_pretrained` would make a random head."""
    way_out = "fine-tune it first" + (" with --baseline_epochs" if labelled else " on labelled texts")
    if head_of(config) != task.head:
        raise InputError(f"{name} was not saved with a head for {task.title} ({config.architectures}); {way_out}.")
    if config.problem_type not in (None, task.problem_type):
        raise InputError(
            f"{name} is for {config.problem_type}, not for {task.title}; see --problem_type, or {way_out}."
        )
    if not task.labels.named and data.labels and config.num_labels != len(data.labels):
        raise InputError(f"{name} gives {config.num_labels} numbers where one label is; {way_out}.")
    if not labelled and task.labels.named and config.num_labels < 2:
        raise InputError(f"{name} gives one number and no class, so its answers cannot be compared; give data_dir.")
    config.problem_type = task.problem_type


def _name_labels(config, names: list[str], found: list[str], task: Task) -> list[str]:
    """Give a model without label names those of the recipe; refuse names that contradict the model's own.

    Args:
        config: of the model.
        names: those of the recipe, which may be none.
        found: the class names of the train file.
        task: the task.

    Returns:
        A line if names of the model were replaced.
    """
    notes: list[str] = []
    own = _names_of(config)
    unnamed = _unnamed(own)
    fits = bool(names) and len(names) == config.num_labels
    if unnamed and not fits and (names or not _all_known(found, own, task)):
        raise InputError(
            f"The model calls its {config.num_labels} labels LABEL_0, LABEL_1, ...; give their names in that order with "
            f"--class_names ({len(names)} given), or fine-tune it first with --baseline_epochs."
        )
    if not names or list(map(looks, names)) == list(map(looks, own)):
        return notes
    if not unnamed:
        ids = [str(index) for index in range(config.num_labels)]
        others = {looks(name): index for index, name in enumerate(own)}
        moved = any(others.get(looks(name), index) != index for index, name in enumerate(names))
        if not fits or moved or not (_all_known(found, names, task) and set(found) - set(own)):
            index = next((i for i, pair in enumerate(zip(names, own, strict=False)) if len(set(pair)) > 1), len(names))
            raise InputError(
                f"--class_names has {len(names)} names and the model {len(own)}, and they differ at id {index} "
                f"({listed(names[index : index + 1]) or 'none'} and {listed(own[index : index + 1]) or 'none'}); leave "
                "--class_names out, or fine-tune the model first with --baseline_epochs."
            )
        if names == ids:
            return notes  # says of the data that they hold ids
        notes = [f"The classes are called {listed(names)} by --class_names, not {listed(own)} as in the model."]
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    return notes


def _all_known(found: list[str], names: list[str], task: Task) -> bool:
    """Return whether the data have these names, in any writing, or their ids."""
    words = {word for name in found if (word := task.labels.word(name))}
    try:
        return words <= names_as_known([words], names, task.labels).keys() | set(map(task.labels.word, names))
    except ValueError:
        return False


def _from_scratch(recipe: Recipe, task: Task, data: Data) -> tuple:
    shape = recipe.scratch
    tokenizer = train_tokenizer(
        texts_of(data.train), vocab_size=shape.scratch_vocab_size, max_length=recipe.data.max_length
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
        head=task.head,
        problem_type=task.problem_type,
    )
    return model, tokenizer
