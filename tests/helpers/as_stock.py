"""Stock Trainer as the oracle: a behaviour is a function that gives the same under Trainer and under ours.

A behaviour takes a `Kind`, which makes trainers, and an empty folder, and returns what is to be compared. It names a wrong
Trainer that it must tell from the right one, so that each comparison is known to be able to fail.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.helpers.training import PRUNE, TIMING_KEYS, make_trainer, new_model
from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments
from trainer_ext.callbacks import PruningCallback

CLOCK = (
    *(name.removeprefix("eval") for name in TIMING_KEYS if name.startswith("eval")),
    *("_model_preparation_time", "_tokens_per_second"),
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A Trainer class, the class of its arguments, and fields of them that every run gets."""

    trainer: type[Trainer]
    arguments: type[TrainingArguments] = TrainingArguments
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def make(self, folder, cls: type[Trainer] | None = None, **options):
        """A trainer of this kind, or of a subclass, on the tiny task with a model of one layer; see `make_trainer`."""
        if "model_init" not in options:
            options.setdefault("model", new_model(num_hidden_layers=1))
        options = {"max_steps": 4, **options, **self.fields}
        return make_trainer(folder, cls or self.trainer, args_class=self.arguments, **options)

    def train(self, folder, cls: type[Trainer] | None = None, **options):
        """The same after its training."""
        trainer = self.make(folder, cls, **options)
        trainer.train()
        return trainer


STOCK = Kind(Trainer)
OURS = {
    "plain arguments": Kind(DistillPruneTrainer),
    "our arguments, nothing asked": Kind(DistillPruneTrainer, DistillPruneTrainingArguments),
}
COMPRESSED = Kind(DistillPruneTrainer, DistillPruneTrainingArguments, {**PRUNE, "distill_teacher": "self"})


def behaviour(*, unless: type[Trainer], compressed: bool = False) -> Callable:
    """Mark a function as a behaviour.

    Args:
        unless: a Trainer that behaves otherwise.
        compressed: whether it is the same with masks and a teacher as well.
    """

    def mark(function):
        function.unless, function.compressed = unless, compressed
        return function

    return mark


def as_in_trainer(namespace: Mapping[str, Any]) -> Callable:
    """The test of all behaviours of a module, which gives its `globals()`."""
    cases = [value for value in namespace.values() if hasattr(value, "unless")]

    @pytest.mark.parametrize("case", cases, ids=[case.__name__ for case in cases])
    def test(tmp_path, case):
        check(case, tmp_path)

    return test


def check(function: Callable, folder: Path) -> None:
    """Run a behaviour under every kind and under the wrong Trainer; each run finds the same folder, empty."""

    def under(kind):
        shutil.rmtree(folder / "run", ignore_errors=True)
        return function(kind, folder / "run")

    stock = under(STOCK)
    kinds = OURS | ({"compressed": COMPRESSED} if function.compressed else {})
    found = {name: differences(stock, under(kind)) for name, kind in kinds.items()}
    assert not any(found.values()), found
    try:
        wrong = under(Kind(function.unless))
    except (AssertionError, AttributeError, OSError, ValueError) as error:
        wrong = error  # it does not get to the end, which shows as well
    assert differences(stock, wrong)


def differences(first: Any, second: Any, at: str = "") -> list[str]:
    """Where two nested values differ, down to the last bit and with their types; empty where nowhere."""
    if type(first) is not type(second):
        return [f"{at}: {first!r} is not {second!r}"]
    if isinstance(first, Mapping):
        missing = [f"{at}.{name}: only in one" for name in first.keys() ^ second.keys()]
        return missing + [
            place
            for name in first.keys() & second.keys()
            for place in differences(first[name], second[name], f"{at}.{name}")
        ]
    if isinstance(first, list | tuple):
        if len(first) != len(second):
            return [f"{at}: {len(first)} and {len(second)} entries: {first!r} is not {second!r}"]
        return [
            place
            for number, pair in enumerate(zip(first, second, strict=True))
            for place in differences(*pair, f"{at}[{number}]")
        ]
    return [] if _same(first, second) else [f"{at}: {first!r} is not {second!r}"]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    if isinstance(first, float) and math.isnan(first):
        return math.isnan(second)
    return first == second


# What behaviours are made of


class Watcher(TrainerCallback):
    """Calls a function at every event with its name and all that the event brings; its answer is the callback's."""

    def __init__(self, look: Callable):
        self.look = look

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda args, state, control, **kwargs: self.look(
            name, args=args, state=state, control=control, **kwargs
        )


def at(event: str, act: Callable, *, step: int | None = None) -> Watcher:
    """A callback that calls `act(args=, state=, control=, ...)` at one event, and perhaps at one step only."""

    def look(name, state, **kwargs):
        if name == event and step in (None, state.global_step):
            return act(state=state, **kwargs)
        return None

    return Watcher(look)


def timeless(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics without what a clock measured."""
    return {name: value for name, value in metrics.items() if not name.endswith(CLOCK)}


def named(metrics):
    """The names of metrics, but for the one that comes with the first evaluation of a model: a small model is a new one."""
    return sorted(name for name in metrics if not name.endswith("_model_preparation_time"))


def predicted(output):
    """A named tuple of an evaluation, without the clock."""
    parts = output._asdict()
    return {"type": type(output).__name__, **parts, "metrics": timeless(parts["metrics"])}


def accuracy(prediction):
    return {"accuracy": (prediction.predictions.argmax(-1) == prediction.label_ids).mean()}


def history(trainer) -> list[dict[str, Any]]:
    """The log of a trainer without what a clock measured."""
    return [timeless(entry) for entry in trainer.state.log_history]


def names(values) -> list[str]:
    """The class names of what is given, without our own callback, the one thing that our arguments add."""
    return [type(value).__name__ for value in values if not isinstance(value, PruningCallback)]


def files(folder) -> list[str]:
    """The files below a folder, by their relative names."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def raised(act: Callable, *arguments, **named) -> tuple[str, str]:
    """The error that a call ends with, by the name of its class and its words; without one this is an error itself."""
    try:
        act(*arguments, **named)
    except Exception as error:
        return type(error).__name__, str(error)
    raise AssertionError("nothing was raised")
