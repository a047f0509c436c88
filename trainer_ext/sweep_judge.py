"""Sweep judge: exported files answer the same texts as the baseline, and what that is worth becomes paired quality."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import codec
from .assess import quality
from .data import HOLDOUT, Data
from .errors import InputError
from .export import FORMATS
from .export_check import answers_of, run_model
from .export_source import Source, open_source
from .files import write_json
from .report import Quality
from .run_directory import RunDirectory
from .runtimes import open_runtime


@dataclass(frozen=True)
class Variant:
    """One exported file of a run.

    Attributes:
        format: a name of `export.FORMATS`.
        part: `compressed`, or `baseline` for what int8 alone is worth.
        path: of the file, relative to the run.
        bytes: of all files that the format needs.
        qualities: against the baseline in PyTorch, on the first test set and on the rows held out.
        speedup: of the baseline's median time in PyTorch fp32, by shape; empty where it was not timed.
    """

    format: str
    part: str
    path: str
    bytes: int
    qualities: list[Quality]
    speedup: dict[str, float] = field(default_factory=dict)


def judge(run: RunDirectory, part: str, formats: Sequence[str], on_rows: Callable[[int], None]) -> list[Variant]:
    """Quality of what was exported of one model, row by row against the baseline of the run.

    Args:
        run: a finished run with these exports.
        part: `compressed` or `baseline`.
        formats: names of `export.FORMATS`.
        on_rows: called with the number of rows after each batch.
    """
    if not formats:
        return []
    before, after = open_source(run.baseline), open_source(run.root / part)
    splits = judged_splits(after.data)
    expected = {split: _answers(before, split, run_model(before), on_rows) for split in splits}
    found = []
    for name in formats:
        format_ = FORMATS[name]
        runtime = open_runtime(after.folder / format_.file)
        qualities = []
        for split in splits:
            answers = _answers(after, split, runtime.run, on_rows)
            references = after.task.references(list(after.data.tests[split]["label"]), after.data.labels)
            options = {"task": after.task, "args": after.args, "labels": after.data.labels}
            qualities.append(quality(split, expected[split], answers, references, **options))
        files = format_.files(after.folder)
        path = str(files[-1].relative_to(run.root))
        found.append(Variant(name, part, path, sum(file.stat().st_size for file in files), qualities))
    return found


def judged_splits(data: Data) -> list[str]:
    """The test set that is reported first, and the rows to choose by where some were held out."""
    first = next(iter(data.tests))
    return [first, *(name for name in data.tests if name == HOLDOUT and name != first)]


def write_variants(file: Path, variants: Sequence[Variant]) -> None:
    """Write them down, whole or not at all."""
    write_json(file, codec.encode(list(variants)))


def read_variants(file: Path) -> list[Variant]:
    """What `write_variants` wrote.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return codec.decode(list[Variant], json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); remove it, and its run is judged again.") from error


def _answers(source: Source, split: str, run: Callable, on_rows: Callable[[int], None]):
    encoded = source.encoded.tests[split]
    logits = answers_of(source, encoded, run, on_rows=on_rows)
    return source.task.answer(logits, encoded, source.data.tests[split], source.data.labels, source.args)
