"""Run directory: where each result of a run lies, written whole or not at all, and what may be continued."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..utils import yaml
from ..utils.files import write_text
from .io import FILE_NAME

# Which of a run's fields may differ when it is continued: none of them changes a result.
FREE_ON_RESUME = frozenset(
    {
        *("disable_tqdm", "log_level", "output_dir", "dataloader_num_workers"),
        *("card_license", "card_language", "card_datasets", "card_base_model"),
    }
)


@dataclass(frozen=True)
class RunDirectory:
    """The layout of one run.

    `baseline/` and `compressed/` are models with tokenizer; `masked/` is the full-size compressed model with its
    scores and masks, kept as the proof that nothing changed when it was shrunk; `vocabulary/` is the trimmed tokenizer
    with the ids that its tokens had before; `logs/` holds the training logs and `checkpoints/` what an interrupted run
    continues from.
    """

    root: Path

    @property
    def baseline(self) -> Path:
        """The model that was given or trained first."""
        return self.root / "baseline"

    @property
    def vocabulary(self) -> Path:
        """The trimmed tokenizer, where tokens were left out."""
        return self.root / "vocabulary"

    @property
    def masked(self) -> Path:
        """The full-size model with masks, as the last checkpoint had it."""
        return self.root / "masked"

    @property
    def compressed(self) -> Path:
        """The shrunk model."""
        return self.root / "compressed"

    @property
    def report(self) -> Path:
        """The numbers; a run that has them is finished."""
        return self.root / FILE_NAME

    @property
    def recipe(self) -> Path:
        """The resolved recipe; a folder that has one holds a run."""
        return self.root / "recipe.yaml"

    def log(self, stage: str) -> Path:
        """The training log of a stage, `baseline` or `compressed`."""
        return self.root / "logs" / f"{stage}.json"

    def checkpoints(self, stage: str) -> Path:
        """Where a stage keeps its checkpoints."""
        return self.root / "checkpoints" / stage

    @property
    def recovered(self) -> bool:
        """Whether the shrunk model was trained further, so that it no longer computes what the masked one does."""
        if not self.recipe.exists():
            return False
        epochs = yaml.read_yaml(self.recipe).get("prune_recovery_epochs") or 0
        try:
            return float(epochs) > 0
        except (TypeError, ValueError):
            raise InputError(f"{self.recipe}: prune_recovery_epochs is {epochs!r}, which is no number.") from None

    @property
    def holds_run(self) -> bool:
        """Whether anything of a run lies here."""
        return any(path.exists() for path in (self.recipe, self.report, self.baseline, self.compressed, self.masked))


def find_run(root: str | Path, recipe: dict[str, Any], *, resume: bool) -> RunDirectory:
    """The folder of a new run, or of one that may be continued; nothing is written.

    Args:
        root: the folder.
        recipe: the resolved fields, compared with what an earlier start wrote down.
        resume: whether to continue what lies there.

    Raises:
        InputError: a run lies there and `resume` is off, or it was started with other fields.
    """
    run = RunDirectory(Path(root).expanduser())
    if run.root.exists() and not run.root.is_dir():
        raise InputError(f"output_dir {run.root} is a file; name a folder.")
    if not run.holds_run:
        return run
    if not resume:
        raise InputError(f"{run.root} already holds a run; continue it with --resume, or name another --output_dir.")
    if not run.recipe.exists():
        raise InputError(f"{run.root} holds results but no recipe.yaml to continue with; name another --output_dir.")
    before = yaml.read_yaml(run.recipe)
    names = {*before, *recipe} - FREE_ON_RESUME
    changed = sorted(name for name in names if _plain(before.get(name)) != _plain(recipe.get(name)))
    if changed:
        name = changed[0]
        raise InputError(
            f"{run.root} was started with {name}={before.get(name)!r}, now it is {recipe.get(name)!r}"
            f"{f' (and {len(changed) - 1} more fields differ)' if changed[1:] else ''}; "
            "resume with the same fields, or name another --output_dir."
        )
    return run


def start_run(run: RunDirectory, recipe: dict[str, Any]) -> None:
    """Make the folder, write the recipe down, and see that more can be written.

    Args:
        run: what `find_run` returned.
        recipe: the resolved fields.

    Raises:
        InputError: if nothing can be written there.
    """
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        if not run.recipe.exists():
            write_text(run.recipe, yaml.dump(recipe))
        with tempfile.TemporaryFile(dir=run.root):
            pass
    except OSError as error:
        raise InputError(
            f"Cannot write to output_dir {run.root}: {error.strerror}; name another --output_dir."
        ) from error


def _plain(value: Any) -> Any:
    """One form for what a YAML file and a command line write differently: 0.5 and "5e-1", True and "true"."""
    if isinstance(value, list):
        return [_plain(word) for word in value]
    try:
        return float(str(value))
    except ValueError:
        return str(value).lower()
