"""How many tokens of a text are read: `max_length`, where a recipe does not say it, and the texts that are longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ..data.arguments import DataArguments
from ..errors import InputError
from ..models.loading import longest_input
from ..report.run_directory import RunDirectory
from ..tasks.dataset import Data
from ..tasks.registry import task_of
from ..utils import yaml
from .recipe import Recipe, fit_lengths

# What follows from the model where it is not given. A run keeps them in its recipe, so all that reads it takes the same.
LENGTHS = ("max_length", "doc_stride")
_WHOLE = 10**6  # tokens of a text that is not cut


@dataclass(frozen=True)
class TextLengths:
    """How many texts there are, train and test texts together, and how many of them are longer than is read."""

    texts: int
    cut: int

    def line(self, length: int, limit: int | None) -> str:
        """Return a sentence about the texts that are cut, or "" if there are none.

        Args:
            length: tokens that are read of a text.
            limit: most tokens that the model reads; None if it has no limit, or has the one that is asked for.
        """
        if not self.cut:
            return ""
        are = "is longer than {} tokens and is" if self.cut == 1 else "are longer than {} tokens and are"
        if limit is not None and limit <= length:
            more = "; this model reads no more."
        else:
            most = f", {limit:,} at most" if limit else ""
            more = f"; give a larger --max_length to read more of them{most}."
        return f"{self.cut:,} of {self.texts:,} texts {are.format(f'{length:,}')} cut{more}"


def with_length(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Recipe:
    """Return the recipe with the number of tokens that are read of a text, where it does not give it.

    A model that is taken as it is reads what it can, `LONGEST` tokens at most. One that is trained here reads 128: more makes
    the training slower.

    Args:
        recipe: what to do.
        tokenizer: of the baseline, with the limit of the model.

    Raises:
        InputError: `latency_sequence_length` is given and longer.
    """
    if recipe.resolved.get("max_length") is not None:
        return recipe
    length = longest_input(tokenizer, recipe.data.max_length)
    found = _with(recipe, {"max_length": length})
    asked = found.model.latency_sequence_length
    if asked > length:
        raise InputError(
            f"latency_sequence_length is {asked}, and texts are read up to {length} tokens: give at most {length}, or a larger "
            "--max_length if the model reads more."
        )
    return found


def as_started(recipe: Recipe, run: RunDirectory) -> Recipe:
    """Return the recipe with the lengths of a run that was started before, where it does not give them.

    Args:
        recipe: what to do.
        run: the run; without a recipe.yaml nothing is taken from it.
    """
    if not run.recipe.is_file():
        return recipe
    before: Mapping[str, Any] = {"max_length": DataArguments.max_length, **yaml.read_yaml(run.recipe)}
    new = {
        name: before[name] for name in LENGTHS if recipe.resolved.get(name) is None and before.get(name) is not None
    }
    return _with(recipe, {name: int(value) for name, value in new.items()})


def _with(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with these fields, and those that depend on them."""
    resolved = {**recipe.resolved, **values}
    data, model = replace(recipe.data, **values), replace(recipe.model)
    fit_lengths(model, data, resolved)
    if task_of(data).pieces:
        resolved.setdefault("doc_stride", data.doc_stride)
    return replace(recipe, data=data, model=model, resolved=resolved)


def text_lengths(
    data: Data, encoded: Data, tokenizer: PreTrainedTokenizerBase, args: DataArguments
) -> TextLengths | None:
    """Count the texts that are cut.

    Args:
        data: the texts.
        encoded: the same, tokenized.
        tokenizer: with which they were.
        args: how.

    Returns:
        The counts; None if long texts are read in several pieces.
    """
    task = task_of(args)
    if task.pieces:
        return None

    def cut(rows: Dataset, inputs: Dataset) -> int:
        full = [index for index, ids in enumerate(inputs["input_ids"]) if len(ids) >= args.max_length]
        if not full:
            return 0
        whole = task.encode(rows.select(full), tokenizer, replace(args, max_length=_WHOLE))["input_ids"]
        return sum(len(ids) > args.max_length for ids in whole)

    # All rows of "clean" are in "official" too.
    tests = [name for name in data.tests if name != "clean" or "official" not in data.tests]
    parts = [(data.train, encoded.train), *((data.tests[name], encoded.tests[name]) for name in tests)]
    return TextLengths(sum(len(rows) for rows, _ in parts), sum(cut(rows, inputs) for rows, inputs in parts))
