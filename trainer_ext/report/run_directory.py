"""The folder of a run: where its files are, and whether an earlier run in it can be resumed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..utils import yaml
from ..utils.files import exists, write_text

FILE_NAME = "compression.json"
# Fields that may change when a run is resumed, because they do not affect its results.
FREE_ON_RESUME = frozenset(
    {
        *("disable_tqdm", "log_level", "output_dir", "dataloader_num_workers"),
        *("card_license", "card_language", "card_datasets", "card_base_model"),
    }
)

_WRITTEN = frozenset({"baseline", "vocabulary", "masked", "compressed", "logs", "checkpoints"})  # the folders of a run


@dataclass(frozen=True)
class RunDirectory:
    """The paths of one run.

    `baseline/` and `compressed/` are models with their tokenizers. `masked/` is the full-size compressed model with its
    scores and masks, against which the shrunk one is verified. `vocabulary/` is the trimmed tokenizer with the former ids
    of its tokens. `logs/` contains the training logs, `checkpoints/` what an interrupted run resumes from.
    """

    root: Path

    @property
    def baseline(self) -> Path:
        """The model before compression."""
        return self.root / "baseline"

    @property
    def vocabulary(self) -> Path:
        """The trimmed tokenizer, if the vocabulary was trimmed."""
        return self.root / "vocabulary"

    @property
    def masked(self) -> Path:
        """The full-size model with its masks, saved just before it was shrunk."""
        return self.root / "masked"

    @property
    def compressed(self) -> Path:
        """The shrunk model."""
        return self.root / "compressed"

    @property
    def report(self) -> Path:
        """The report; it is written last, so a run that has one is finished."""
        return self.root / FILE_NAME

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.root / "recipe.yaml"

    def log(self, stage: str) -> Path:
        """Return the file of the log of a stage: `baseline`, `compressed`, or `gate` (what was tried before the training)."""
        return self.root / "logs" / f"{stage}.json"

    def checkpoints(self, stage: str) -> Path:
        """Return the folder of the checkpoints of a stage."""
        return self.root / "checkpoints" / stage

    @property
    def holds_run(self) -> bool:
        """Whether the folder contains any result of a run."""
        return any(path.exists() for path in (self.recipe, self.report, self.baseline, self.compressed, self.masked))

    def where_started(self, folder: str, files: Iterable[str]) -> str:
        """Return a folder of the recipe as seen from any working folder; unchanged if none of its files is there.

        A relative one begins where the run was started, which the recipe's output_dir tells.

        Args:
            folder: as the recipe has it.
            files: names of files in it.
        """
        output = yaml.read_yaml(self.recipe).get("output_dir")
        root = Path(os.path.abspath(self.root)).parts
        inside = Path(os.path.normpath(output)).parts if isinstance(output, str) else root
        start = Path(*root[: len(root) - len(inside)])
        if root[len(root) - len(inside) :] != inside or not any((start / folder / name).is_file() for name in files):
            return folder
        return str(start / folder)


def check_apart(root: str | Path, models: Mapping[str, str]) -> None:
    """Refuse a folder in which a run would write into that of a model.

    Args:
        root: the folder of the run, or of several.
        models: the models that are read, folders or Hub ids, by what they are.

    Raises:
        InputError: The folder is that of one of these models or of another one, or holds one of them where it is written to.
    """
    run = RunDirectory(Path(root).expanduser())
    target, way_out = run.root.resolve(), "choose another --output_dir."
    for what, name in models.items():
        folder = Path(name).expanduser()
        if not os.path.isdir(folder):  # a Hub id; a name that no file can have is none either
            continue
        folder = folder.resolve()
        inside = folder.relative_to(target).parts if folder.is_relative_to(target) else None
        if inside == ():
            raise InputError(
                f"output_dir {run.root} is the folder of {what}, which would be mixed with the run; {way_out}"
            )
        if inside and inside[0] in _WRITTEN:
            raise InputError(
                f"{what[0].upper()}{what[1:]} is in {run.root / inside[0]}, where the run would write; {way_out}"
            )
    if os.path.isfile(run.root / "config.json") and not run.holds_run:
        raise InputError(f"output_dir {run.root} is the folder of a model (it holds a config.json); {way_out}")


def differing(before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that differ, sorted. A field that is absent or null has its default.

    Args:
        before: fields by name, as a file holds them.
        now: fields by name, as they are given now.
        defaults: what a field is that is not given; None for those without a default.
    """

    def plain(fields: Mapping[str, Any], name: str) -> Any:
        value = fields.get(name)
        return _plain(defaults.get(name) if value is None else value)

    return sorted(name for name in {*before, *now} if plain(before, name) != plain(now, name))


def find_run(
    root: str | Path, recipe: dict[str, Any], *, resume: bool, defaults: Mapping[str, Any] | None = None
) -> RunDirectory:
    """Return the folder of a new run, or of one that can be resumed; nothing is written.

    Args:
        root: the folder.
        recipe: the resolved fields; a resumed run must have been started with the same ones.
        resume: whether to continue the run in the folder.
        defaults: what a field is that is not given.

    Raises:
        InputError: The folder contains a run and `resume` is False, or the run was started with other fields.
    """
    run = RunDirectory(Path(root).expanduser())
    if exists(run.root) and not run.root.is_dir():
        raise InputError(f"output_dir {run.root} is a file; give a folder.")
    if not run.holds_run:
        return run
    if not resume:
        raise InputError(f"{run.root} already holds a run; continue it with --resume, or choose another --output_dir.")
    if not run.recipe.exists():
        raise InputError(f"{run.root} holds results but no recipe.yaml to continue with; choose another --output_dir.")
    before = yaml.read_yaml(run.recipe)
    changed = [name for name in differing(before, recipe, defaults or {}) if name not in FREE_ON_RESUME]
    if changed:
        name = changed[0]
        raise InputError(
            f"{run.root} was started with {name}={before.get(name)!r}, now it is {recipe.get(name)!r}"
            f"{f' (and {len(changed) - 1} more fields differ)' if changed[1:] else ''}; "
            "resume with the same fields, or choose another --output_dir."
        )
    return run


def start_run(run: RunDirectory, recipe: dict[str, Any]) -> None:
    """Create the folder and write the recipe into it.

    Args:
        run: the result of `find_run`.
        recipe: the resolved fields.

    Raises:
        InputError: The folder cannot be written to.
    """
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        if not run.recipe.exists():
            write_text(run.recipe, yaml.dump(recipe))
        with tempfile.TemporaryFile(dir=run.root):
            pass
    except OSError as error:
        raise InputError(
            f"Cannot write to output_dir {run.root}: {error.strerror}; choose another --output_dir."
        ) from error


def _plain(value: Any) -> Any:
    """Return the same value for different spellings in YAML and on the command line: 0.5 and "5e-1", True and "true"."""
    if isinstance(value, list):
        return [_plain(word) for word in value]
    try:
        return float(str(value))
    except ValueError:
        return str(value).lower()
