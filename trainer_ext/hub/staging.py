"""Stage a model for publication: a folder with what is published, its card and report, verified and free of secrets."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_token

from .. import report
from ..errors import CheckFailed, InputError, one_line
from ..models.loading import load_model
from ..models.runtimes import STOCK_FILES
from ..pruning.verify import Link, check
from ..report.run_directory import RunDirectory
from ..report.schema import CompressionReport
from ..utils.files import write_json, write_text
from . import sanitize
from .card import CardInput, render
from .card_merge import merge
from .card_plot import draw_parameters
from .secrets import find_leaks, known_secrets

# The files of a published model, by path in the repository; everything else stays here. No pickle is among them.
MODEL_FILES = (
    *("config.json", "*.safetensors", "*.safetensors.index.json", "modeling_compact.py"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "vocab.txt", "vocab.json", "merges.txt", "*.model"),
)
EXPORTS = {
    "onnx": ("*.onnx", "*.onnx_data", *STOCK_FILES, "classify.py"),
    "openvino": ("*.xml", "*.bin", *STOCK_FILES, "classify.py"),
}
CARD, PICTURE = "README.md", "parameters.svg"
# Fields in which transformers saves the path from which something was loaded.
LOCAL_FIELDS = ("_name_or_path", "name_or_path", "tokenizer_file", "is_local", "local_files_only")


@dataclass(frozen=True)
class PublishSource:
    """The folder of a model to publish, and its report; `run` is None if a trainer wrote the folder."""

    folder: Path
    report: CompressionReport
    run: RunDirectory | None

    @property
    def root(self) -> Path:
        """The folder that the user named."""
        return self.run.root if self.run else self.folder

    @property
    def is_baseline(self) -> bool:
        """Whether this is the baseline of a run."""
        return self.run is not None and self.folder == self.run.baseline


def find_source(path: str | Path) -> PublishSource:
    """Find the model in a finished run, or in the output folder of a `DistillPruneTrainer`.

    Raises:
        InputError: The folder holds neither.
    """
    run = RunDirectory(Path(path).expanduser())
    if not run.root.is_dir():
        raise InputError(f"There is no folder {run.root}; name a finished run.")
    if not run.report.exists():
        if run.recipe.exists():
            raise InputError(f"{run.root} is a run that is not finished; continue it with compress --resume.")
        around = RunDirectory(run.root.absolute().parent)
        if around.report.exists() and run.root.absolute() in (around.baseline, around.compressed):
            raise InputError(f"{run.root} is a model of the run {around.root}; name the run.")
        raise InputError(f"{run.root} holds no run (no {report.FILE_NAME}); make one with trainer-ext compress.")
    numbers = report.load(run.root)
    if (run.compressed / "config.json").is_file():
        return PublishSource(run.compressed, numbers, run)
    if (run.root / "config.json").is_file():
        return PublishSource(run.root, numbers, None)
    raise InputError(f"{run.root} holds a report, but no model (no compressed/ and no config.json).")


@dataclass(frozen=True)
class Staged:
    """A folder that is ready to be uploaded.

    Attributes:
        folder: The folder; everything in it is uploaded.
        left_out: Files of the model's folder that are not uploaded, relative to that folder.
        notes: Messages for the user.
        difference: Largest difference between the logits of the model and those of the staged one.
    """

    folder: Path
    left_out: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    difference: float | None = None

    @property
    def card(self) -> str:
        """The text of the card."""
        return (self.folder / CARD).read_bytes().decode("utf-8")

    @property
    def files(self) -> list[Path]:
        """The files to upload, relative to the folder."""
        return sorted(file.relative_to(self.folder) for file in self.folder.rglob("*") if file.is_file())


def stage_model(
    source: PublishSource, card: CardInput, existing: str | None, folder: Path, *, trust_remote_code: bool = False
) -> Staged:
    """Fill a folder with everything that is published of a model, and load the model back from there.

    Args:
        source: The model.
        card: The content of its card; report and picture are added here.
        existing: The text of an earlier card, whose edits are kept.
        folder: An empty folder; created if absent.
        trust_remote_code: Run a code file of the model that this version of the package did not write.

    Raises:
        InputError: A file holds a token or a path of this machine, or the model cannot be loaded.
        CheckFailed: The staged model does not compute the same logits.
    """
    left_out = copy_files(source, folder)
    numbers = published_report(source)
    numbers = replace(numbers, model=replace(numbers.model, compressed=card.repo_id))
    report.save(numbers, folder)
    notes = write_card(folder, replace(card, report=numbers), existing)
    refuse_leaks(folder, source.root)
    original = source.folder if source.is_baseline else source.root
    links = check(original, trust_remote_code=trust_remote_code, copy=folder)
    _require_equality(links)
    return Staged(folder, left_out, [f"{card.repo_id}: {note}" for note in notes], links[-1].difference)


def list_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of a model's folder that are published and those that are not, relative to it and sorted.

    Links that lead out of the folder are not published.
    """
    published: list[Path] = []
    left_out: list[Path] = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            path = file.relative_to(folder)
            inside = file.resolve().is_relative_to(folder.resolve())
            (published if inside and _is_published(path) else left_out).append(path)
    return published, left_out


def copy_files(source: PublishSource, target: Path) -> list[Path]:
    """Copy the published files of a model to an empty folder, without paths of this machine in the configuration.

    Weights are hard links if the file system allows them.

    Args:
        source: The model.
        target: The folder to fill; created if absent.

    Returns:
        The files that were left out, relative to the model's folder.

    Raises:
        InputError: There are no weights to publish.
    """
    published, left_out = list_files(source.folder)
    if not any(path.suffix == ".safetensors" for path in published):
        raise InputError(
            f"{source.folder} has no weights to publish: no model.safetensors in this folder (links to other folders and "
            "pickled files are not uploaded)."
        )
    for path in published:
        if path.name in ("config.json", "tokenizer_config.json"):
            values = json.loads((source.folder / path).read_text(encoding="utf-8"))
            write_json(target / path, {name: value for name, value in values.items() if name not in LOCAL_FIELDS})
        else:
            link_or_copy(source.folder / path, target / path)
    return [path for path in left_out if path.name not in (CARD, PICTURE, report.FILE_NAME)]


def link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link to a file, or a copy if the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, target)


def _is_published(path: Path) -> bool:
    if len(path.parts) == 1:
        return any(fnmatch(path.name, pattern) for pattern in MODEL_FILES)
    return len(path.parts) == 2 and any(fnmatch(path.name, pattern) for pattern in EXPORTS.get(path.parts[0], ()))


def published_report(source: PublishSource) -> CompressionReport:
    """Return the report without the exports of another model and those whose file is missing."""
    numbers = source.report
    here = [export for export in numbers.exports if export.path.partition("/")[0] == source.folder.name]
    exports = [export for export in here if (source.folder / export.path.partition("/")[2]).exists()]
    return replace(numbers, exports=exports)


def stale(remote: Iterable[str], folder: Path) -> list[str]:
    """Return the files of an earlier publication to delete on the Hub, including pickles that were never wanted.

    Args:
        remote: Paths in the repository.
        folder: The staged folder.
    """

    def ours(path: Path) -> bool:
        pickled = path.name == "training_args.bin" or path.name.startswith("pytorch_model")
        return _is_published(path) or pickled or path.name == PICTURE

    return [name for name in remote if ours(Path(name)) and not (folder / name).exists()]


def card_of(numbers: CompressionReport, repo_id: str, **given: Any) -> CardInput:
    """Return the content of a card: what is given, else what the recipe of the run says.

    Args:
        numbers: The report.
        repo_id: The name of the model in the code that loads it.
        **given: Further fields of `CardInput`; None and empty values count as not given.
    """
    recipe = numbers.recipe
    defaults = {
        "base_model": recipe.get("card_base_model") or sanitize.hub_id(numbers.model.baseline),
        "license": recipe.get("card_license"),
        "language": _words(recipe, "card_language"),
        "datasets": _words(recipe, "card_datasets"),
    }
    fields: dict[str, Any] = defaults | {name: value for name, value in given.items() if value}
    return CardInput(report=numbers, repo_id=repo_id, **fields)


def _words(recipe: dict[str, Any], name: str) -> tuple[str, ...]:
    words = recipe.get(name) or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{report.FILE_NAME}: recipe.{name} is {words!r}; it must be a list of words.")
    return tuple(words)


def write_card(folder: Path, card: CardInput, existing: str | None) -> list[str]:
    """Write the card of a model, and its picture unless it is a baseline.

    Args:
        folder: The folder of the model.
        card: The content of the card; the picture is added here.
        existing: The text of an earlier card, whose edits are kept.

    Returns:
        Messages for the user.
    """
    notes = []
    if not card.baseline_of:
        try:
            write_text(folder / PICTURE, draw_parameters(card.report))
            card = replace(card, picture=PICTURE)
        except Exception as error:  # no matplotlib, or no fonts or cache for it; the card is complete without it
            notes.append(f"the card has no picture: {one_line(error, most=400)}")
    merged = merge(render(card), existing)
    write_text(folder / CARD, merged.text)
    notes += [f"section {name!r} of the card was edited by hand and is kept as it is" for name in merged.kept]
    if "\nlicense:" not in merged.text:
        notes.append("the card names no licence; give one that the base model allows: --license apache-2.0")
    return notes


def refuse_leaks(folder: Path, home: Path, *tokens: str | None) -> None:
    """Refuse to publish a folder with a secret or a local path in it.

    Args:
        folder: The folder to be uploaded.
        home: The folder on this machine that it was made from.
        *tokens: Access tokens that were given; those in the environment are known.

    Raises:
        InputError: Something private was found; the message names each file and what is in it, never the secret.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    found = find_leaks(
        files, secrets=known_secrets(os.environ, get_token(), *tokens), folders=(home, folder, Path.cwd(), Path.home())
    )
    if found:
        leaks = "; ".join(f"{leak.file.relative_to(folder)} holds {leak.kind}" for leak in found)
        raise InputError(f"Nothing was published: {leaks}. Remove it from the file, then publish again.")


def verify_saved(model: torch.nn.Module, folder: Path) -> None:
    """Load a saved model in a fresh process, and compare it with the model in memory.

    Weights are compared for equality, so that the device and precision of the model do not matter.

    Raises:
        CheckFailed: They are not the same model.
    """
    _require_equality(check(folder))
    saved = load_model(folder, option="The saved model", way_out="save it again").state_dict()
    for name, value in model.state_dict().items():
        if name not in saved or not torch.equal(saved[name].to(value), value):
            raise CheckFailed(f"Nothing was published: {name} in {folder.name} differs from the model in memory.")


def _require_equality(links: list[Link]) -> None:
    for link in links:
        if not link.holds:
            raise CheckFailed(
                f"Nothing was published: {link.name} does not hold, logits differ by {link.difference:.1e}, "
                f"above {link.allowed:.1e}."
            )
