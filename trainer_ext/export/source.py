"""Load the model to export, from a run or a folder, and the texts that its files are checked and calibrated with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase

from ..data.arguments import DataArguments
from ..data.corpus import read_corpus
from ..data.records import listed
from ..errors import InputError, one_line
from ..models.loading import head_of, load_model, load_tokenizer, longest_input, longest_text, rows_of
from ..pipeline.recipe import read_recipe
from ..pipeline.text_length import as_started
from ..report.run_directory import RunDirectory
from ..tasks.dataset import Data, load_data, tokenize
from ..tasks.registry import TASKS, Task, task_of
from .traceable import Traceable, input_names

SEED = 0  # of the sample of calibration texts


@dataclass(frozen=True)
class ExportSource:
    """A model to export.

    Attributes:
        folder: folder of the model; exports are written below it.
        run: the finished run of the model; None for a single model.
        model: the model, in evaluation mode.
        tokenizer: its fast tokenizer.
        task: its task.
        args: how its texts are read; for a single model only `max_length` is known.
        data: texts and labels of the run; None for a single model.
        encoded: the same, tokenized.
        calibration: tokenized texts that are not in the test sets, one list of ids per input; may be empty.
    """

    folder: Path
    run: RunDirectory | None
    model: Any
    tokenizer: PreTrainedTokenizerBase
    task: Task
    args: DataArguments
    data: Data | None
    encoded: Data | None
    calibration: list[dict[str, list[int]]]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs of the model."""
        return input_names(self.model, self.tokenizer)

    @property
    def has_labels(self) -> bool:
        """Whether the first test set of its run has labels."""
        return self.data is not None and "label" in next(iter(self.data.tests.values())).column_names

    def traceable(self) -> Traceable:
        """Return the model for the exporters."""
        return Traceable(self.model, self.inputs)

    def calibration_batches(self) -> list[dict[str, np.ndarray]]:
        """Return the calibration texts in batches of two, so that there is padding, `[rows, length]` per input."""
        collate = DataCollatorWithPadding(self.tokenizer)
        rows = [{name: row[name] for name in self.inputs} for row in self.calibration]
        pairs = [collate(rows[start : start + 2]) for start in range(0, len(rows), 2)]
        return [{name: value.numpy() for name, value in pair.items()} for pair in pairs]


def open_source(
    path: str | Path,
    *,
    data_dir: str | None = None,
    calibration: str | Path | None = None,
    calibration_rows: int = 300,
) -> ExportSource:
    """Load the model to export.

    Args:
        path: a finished run (for its compressed model), one of its two models, or the folder of a single model.
        data_dir: new folder of the data files or of the texts of the run; None for the one in its recipe.
        calibration: a file of one text per line; None for training texts of the run.
        calibration_rows: most calibration texts.

    Raises:
        InputError: The model cannot be exported; the message says why and what to do.
    """
    run = run_at(path)
    if run and not run.report.exists():
        raise InputError(f"{run.root} is a run that is not finished; resume it with trainer-ext compress --resume.")
    folder = model_folder(path)
    _refuse_masked(folder)
    # Files are exported in fp32, or made from fp32: of weights in half precision too.
    model = load_model(
        folder, option="The model", way_out="give a finished run or the folder of a classifier", dtype="float32"
    )
    tokenizer = _open_tokenizer(folder, model)
    data = encoded = None
    if run:
        recipe = read_recipe(run.recipe)
        words = _moved(recipe.data, data_dir) if data_dir else _seen_from_here(recipe.data, run)
        recipe = as_started(read_recipe(run.recipe, words), run)
        task, args = task_of(recipe.data), recipe.data
        data = _read(args, run, [model.config.id2label[i] for i in range(model.config.num_labels)])
        encoded = tokenize(data, tokenizer, args)
    else:
        task = _task_of(model.config)
        longest = longest_input(tokenizer, longest_text(model.config))
        args = DataArguments(max_length=longest, task=task.name, problem_type=task.problem_type)
    rows: Sequence[dict] = encoded.train if encoded else []
    if calibration:
        rows = [
            dict(tokenizer(text, truncation=True, max_length=args.max_length)) for text in read_corpus([calibration])
        ]
    chosen = np.random.default_rng(SEED).permutation(len(rows))[:calibration_rows]
    return ExportSource(
        folder=folder,
        run=run,
        model=model.eval(),
        tokenizer=tokenizer,
        task=task,
        args=args,
        data=data,
        encoded=encoded,
        calibration=[rows[int(index)] for index in sorted(chosen)],
    )


def _moved(args: DataArguments, folder: str) -> list[str]:
    """Return the words of a command line that say that data files and texts are now in a folder."""
    words = [] if args.texts is None else ["--texts", str(Path(folder) / Path(args.texts).name)]
    return words if args.texts is not None and not args.data_dir else [*words, "--data_dir", folder]


def _seen_from_here(args: DataArguments, run: RunDirectory) -> list[str]:
    """Return the same for data that are where they were, wherever the command is given."""
    words = []
    if args.texts is not None:
        file = Path(args.texts)
        words += ["--texts", str(Path(run.where_started(str(file.parent), [file.name])) / file.name)]
    if args.data_dir:
        words += ["--data_dir", run.where_started(args.data_dir, [*args.train_files, args.test_file])]
    return words


def _read(args: DataArguments, run: RunDirectory, labels: list[str]) -> Data:
    try:
        return load_data(args, labels=labels)
    except InputError as error:
        if "--data_dir" in str(error):
            raise
        raise InputError(
            f"{error} (These are the data of {run.root}; if they are elsewhere, give --data_dir.)"
        ) from error


def run_at(path: str | Path) -> RunDirectory | None:
    """Return the run of a folder, or of one of its two models, finished or not; None for a single model."""
    return _run_and_folder(path)[0]


def model_folder(path: str | Path) -> Path:
    """Return the folder of the model; for a run, that of the compressed model."""
    return _run_and_folder(path)[1]


def _run_and_folder(path: str | Path) -> tuple[RunDirectory | None, Path]:
    given = Path(path).expanduser()
    for folder in (given, Path(os.path.abspath(given)), given.resolve()):  # `.` and links are in another folder
        for run in map(RunDirectory, (folder, folder.parent)):
            if run.recipe.exists() and folder in (run.root, run.baseline, run.compressed):
                return run, run.compressed if folder == run.root else folder
    return None, given


def _refuse_masked(folder: Path) -> None:
    file = folder / "config.json"
    if not file.is_file():
        raise InputError(f"{folder} has no model (no config.json) and no finished run (no recipe.yaml).")
    try:
        masked = "pruning" in json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({one_line(error)}); give the folder of a classifier.") from error
    if masked:
        raise InputError(
            f"{folder} is an unfinished checkpoint: its masks are not applied yet. Finish the run with trainer-ext "
            "compress --resume, or shrink it: trainer_ext.load_masked, merge, shrink, save_pretrained."
        )


def _open_tokenizer(folder: Path, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    hint = "save a fast tokenizer there with save_pretrained: an export holds its tokenizer.json"
    tokenizer = load_tokenizer(folder, way_out=hint, rows=rows_of(model))
    if not tokenizer.is_fast:
        raise InputError(f"{type(tokenizer).__name__} in {folder} is not a fast tokenizer; {hint}.")
    return tokenizer


def _task_of(config) -> Task:
    """Return the task of a single model, from its configuration."""
    head = head_of(config)
    if head is None:
        raise InputError(
            f"The model ({listed(config.architectures or ['no class'])}) has no head for classification or question "
            "answering; give a fine-tuned one."
        )
    kind = config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")
    return next(task for task in TASKS if task.head == head and task.problem_type in (None, kind))
