"""Preflight: before a training, shrink a copy of the model at random, save it and open it again.

What fails here would fail after the training, when the hours are spent.
"""

from __future__ import annotations

import copy
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import datasets
import numpy as np
import torch

from ..errors import one_line
from ..models.architectures import is_stock
from ..models.custom import load_compact, save_custom
from ..models.outputs import allowed_difference, answers, full_precision
from . import masks
from .verify import shrink_and_verify


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore the random state of Python, NumPy and torch after the block."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  # what collators of users draw from
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def check_class(model) -> None:
    """Refuse a stock model with parts that its class does not build: saved, it would open with other weights.

    Args:
        model: a dense model of a class of transformers, or any other, which passes.

    Raises:
        ValueError: A parameter or buffer is missing in what the class builds, or has another shape; or a part without
            parameters, such as an activation, is of another kind. Another rate of dropout is fine: only training needs it.
    """
    if not is_stock(model):
        return
    with torch.device("meta"), same_random_state():
        built = type(model)(copy.deepcopy(model.config))
    ours, known = ({name: tensor.shape for name, tensor in each.state_dict().items()} for each in (model, built))
    other = sorted(name for name in ours.keys() | known.keys() if known.get(name) != ours.get(name))
    kinds, modules = _kinds(built), dict(model.named_modules())
    other += [name for name, kind in kinds.items() if name not in modules or _kind(modules[name]) != kind]
    if other:
        name = type(model).__name__
        raise ValueError(
            f"This {name} has another {other[0]} than its class builds, and what is saved would open with that of the class. "
            f"Put your change into a class of your own (class My{name}({name}): def __init__(self, config): ...), which opens "
            f"again with My{name}.from_pretrained."
        )


def _kinds(model) -> dict[str, tuple[type, str]]:
    """Return the kind of each part without parameters by its name."""
    return {
        name: _kind(module)
        for name, module in model.named_modules()
        if not any(True for _ in module.children()) and not any(True for _ in module.parameters())
    }


def _kind(module: torch.nn.Module) -> tuple[type, str]:
    return type(module), "" if isinstance(module, torch.nn.Dropout) else module.extra_repr()


@full_precision()
def try_shrink(masked, batch: Mapping[str, Any]) -> None:
    """Shrink a copy of a model with masks to a random structure, compare the two, and open again what is saved of it.

    Args:
        masked: a model with masks whose structure is open; not changed.
        batch: inputs of its forward pass, on its device.

    Raises:
        ValueError: If any of this fails.
    """
    name = type(masked).__name__
    step = "copied (copy.deepcopy)"
    try:
        with same_random_state(), tempfile.TemporaryDirectory() as folder:
            copied = copy.deepcopy(masked)
            dense = masks.merge(copy.deepcopy(masked)).float()
            step = "run on a batch of the training data"
            answers(dense, batch)
            for group in copied.pruning.groups.values():
                group.scores.data.normal_()
            step = "shrunk"
            smaller, _ = shrink_and_verify(copied, batch)
            step = "saved and opened again"
            expected = answers(smaller.float(), batch)
            save_custom(smaller, folder)
            found = answers(_reopened(smaller, dense, folder), batch)
            difference = (found - expected).abs().max().item()
            if not difference <= allowed_difference(expected):
                raise ValueError(f"opened again it answers differently, by {difference:.1e}")
    except Exception as error:  # the code of users can raise anything
        raise ValueError(
            f"Before the training: this {name} cannot be {step} ({type(error).__name__}: {one_line(error)}). {_HINTS[step]}"
        ) from error


_HINTS = {
    "copied (copy.deepcopy)": "Keep what cannot be copied, such as open files and locks, outside the model.",
    "run on a batch of the training data": "Its forward must take the columns of a batch by name, as in a stock Trainer.",
    "shrunk": "Its forward must use the encoder as a whole, and compute the same whenever it is in evaluation mode.",
    "saved and opened again": (
        "Its class must build the same model from its config alone (def __init__(self, config)); or make it a plain "
        "torch.nn.Module, and open it with trainer_ext.load_compact."
    ),
}


def _reopened(smaller, dense, folder: str):
    device = next(dense.parameters()).device
    if hasattr(smaller, "save_pretrained"):
        return type(smaller).from_pretrained(folder, dtype=torch.float32).to(device).eval()
    return load_compact(dense, folder)


def batch_for(trainer, model) -> dict[str, Any] | None:
    """Return a batch of the training to compare two forms of a model on.

    None for a stock model that reads single texts or pairs of them: random tokens do, on which nothing depends.

    Args:
        trainer: a `Trainer`.
        model: its model.
    """
    if is_stock(model) and not type(model).__name__.endswith("ForMultipleChoice"):
        return None
    return trainer._last_inputs or first_batch(trainer)


def first_batch(trainer) -> dict[str, Any] | None:
    """Return the first rows of the training data as the model would get them. No random number is drawn.

    Args:
        trainer: a `Trainer` with training data.

    Returns:
        A batch; None for a stream that may run only once, of which no row is taken.
    """
    with same_random_state():
        loader = trainer.get_train_dataloader()
        dataset: Any = getattr(loader, "dataset", None)
        if isinstance(dataset, torch.utils.data.IterableDataset) and not isinstance(dataset, datasets.IterableDataset):
            return None
        if hasattr(dataset, "__getitem__") and hasattr(loader, "collate_fn"):
            count = min(len(dataset), trainer.args.train_batch_size)
            batch = loader.collate_fn([dataset[row] for row in range(count)])
        else:
            batch = next(iter(loader))
        return trainer._prepare_inputs(batch)
