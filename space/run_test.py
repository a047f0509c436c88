"""Run test: the test split that a run was measured on, where its data still lie on this machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from batch_input import MOST_ROWS

from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.cleaning import evenly
from trainer_ext.data.records import Example, Examples
from trainer_ext.report.run_directory import RunDirectory
from trainer_ext.tasks.dataset import load_data


def data_of_run(compressed: str) -> DataArguments | None:
    """Where the data of a run are, as its recipe says; None where there is no recipe or no such folder any more.

    Args:
        compressed: the compressed model's folder, or its Hub id, which has no run beside it.
    """
    recipe = RunDirectory(Path(compressed).resolve().parent).recipe
    if not recipe.is_file():
        return None
    told = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    args = DataArguments(**{field.name: told[field.name] for field in fields(DataArguments) if field.name in told})
    known = args.data_dir and Path(args.data_dir).expanduser().is_dir() and not args.text_pair_column
    return args if known else None


def test_split(args: DataArguments, labels: list[str]) -> tuple[str, Examples]:
    """The name of the split that is reported first, and its rows, cleaned as the command line cleans them.

    Args:
        args: of the run.
        labels: names by class id.

    Raises:
        InputError: the files are not what they were.
    """
    data = load_data(args, labels=labels)
    name, split = next(iter(data.tests.items()))
    rows = [Example(text, _label(value, labels)) for text, value in zip(split["text"], split["label"], strict=True)]
    kept = evenly(rows, most=MOST_ROWS)
    part = f", {len(kept):,} of {len(rows):,} rows" if len(kept) < len(rows) else ""
    dropped = {reason.partition(": ")[2]: n for reason, n in data.dropped.items() if reason.startswith("test: ")}
    return f"{name}, {Path(args.data_dir).name}/{args.test_file}{part}", Examples(tuple(kept), Counter(dropped))


def _label(value: Any, labels: list[str]) -> str | tuple[str, ...]:
    """A class id, or a number per class, as the readers of files give it."""
    if isinstance(value, int):
        return labels[value]
    return tuple(label for label, on in zip(labels, value, strict=True) if on)
