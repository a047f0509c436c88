"""Prepared: a model's folder with its card and report, proven and searched for leaks, ready to go up.

Publication: the folder that goes to the Hub, put together from a run; what is not named here never goes up.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_token

from .. import report
from ..errors import CheckFailed, InputError
from ..models.loading import load_model
from ..pruning.verify import Link, check
from ..report.run_directory import RunDirectory
from ..report.schema import CompressionReport
from ..utils.files import write_json, write_text
from . import sanitize
from .card import CardInput, render
from .card_merge import merge
from .card_plot import draw_parameters
from .secrets import find_leaks, known_secrets

# Everything that a published model may consist of, by its path in the repository. No pickle is among them.
MODEL_FILES = (
    *("config.json", "*.safetensors", "*.safetensors.index.json", "modeling_compact.py"),
    *(
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
    ),
    *("vocab.txt", "vocab.json", "merges.txt", "*.model"),
)
EXPORTS = {
    "onnx": ("*.onnx", "*.onnx_data", "config.json", "tokenizer.json", "classify.py"),
    "openvino": ("*.xml", "*.bin", "config.json", "tokenizer.json", "classify.py"),
}
CARD, PICTURE = "README.md", "parameters.svg"
# What transformers notes down of where something was opened.
WHEREABOUTS = ("_name_or_path", "name_or_path", "tokenizer_file", "is_local", "local_files_only")


@dataclass(frozen=True)
class PublishSource:
    """What is to be published: the folder of a model, and the report on it."""

    folder: Path
    report: CompressionReport
    run: RunDirectory | None  # None for a folder that a trainer filled

    @property
    def root(self) -> Path:
        """The folder that the user named."""
        return self.run.root if self.run else self.folder

    @property
    def is_baseline(self) -> bool:
        """Whether this is the model that the compressed one is compared with."""
        return self.run is not None and self.folder == self.run.baseline

    @property
    def baseline(self) -> PublishSource:
        """The other model of a run."""
        return replace(self, folder=self.run.baseline)


def find_source(path: str | Path) -> PublishSource:
    """A finished run, or the folder to which a `DistillPruneTrainer` wrote its model and report.

    Raises:
        InputError: neither lies there; the message says what does.
    """
    run = RunDirectory(Path(path).expanduser())
    if not run.root.is_dir():
        raise InputError(f"There is no folder {run.root}; name a finished run.")
    if not run.report.exists():
        if run.recipe.exists():
            raise InputError(f"{run.root} is a run that is not finished; continue it with compress --resume.")
        raise InputError(f"{run.root} holds no run (no {report.FILE_NAME}); make one with trainer-ext compress.")
    numbers = report.load(run.root)
    if (run.compressed / "config.json").is_file():
        return PublishSource(run.compressed, numbers, run)
    if (run.root / "config.json").is_file():
        return PublishSource(run.root, numbers, None)
    raise InputError(f"{run.root} holds a report, but no model (no compressed/ and no config.json).")


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """`(published, left out)`: the files of a model's folder, relative to it and sorted.

    Links that lead out of the folder are left out.
    """
    published, left_out = [], []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            part = file.relative_to(folder)
            inside = file.resolve().is_relative_to(folder.resolve())
            (published if inside and _belongs(part) else left_out).append(part)
    return published, left_out


def stage(source: PublishSource, target: Path) -> list[Path]:
    """Copy what is published of a model into an empty folder, without what tells of this machine.

    Weights are linked where the file system can, else copied.

    Args:
        source: the model.
        target: the folder to fill; made if absent.

    Returns:
        The files that were left out, relative to the model's folder.

    Raises:
        InputError: there are no weights among what is published.
    """
    published, left_out = files_of(source.folder)
    if not any(part.suffix == ".safetensors" for part in published):
        raise InputError(
            f"{source.folder} has no weights to publish, no model.safetensors that lies in it (links to elsewhere and pickles "
            "do not go up)."
        )
    for part in published:
        copy = target / part
        if part.name in ("config.json", "tokenizer_config.json"):
            write_json(copy, _anonymous(json.loads((source.folder / part).read_text(encoding="utf-8"))))
        else:
            link(source.folder / part, copy)
    return [part for part in left_out if part.name not in (CARD, PICTURE, report.FILE_NAME)]


def published_report(source: PublishSource) -> CompressionReport:
    """The report without exports of another model and of files that are not there."""
    numbers = source.report
    here = [export for export in numbers.exports if export.path.partition("/")[0] == source.folder.name]
    exports = [export for export in here if (source.folder / export.path.partition("/")[2]).exists()]
    return replace(numbers, exports=exports)


def stale(remote: Iterator[str], folder: Path) -> list[str]:
    """Files of an earlier publication that the folder no longer holds: to be deleted on the Hub.

    Args:
        remote: paths in the repository.
        folder: what is about to go up.
    """
    return [name for name in remote if _replaced(Path(name)) and not (folder / name).exists()]


def link(source: Path, target: Path) -> None:
    """The same file under another name, where the file system can; else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, target)


def _belongs(part: Path) -> bool:
    if len(part.parts) == 1:
        return any(fnmatch(part.name, pattern) for pattern in MODEL_FILES)
    return len(part.parts) == 2 and any(fnmatch(part.name, pattern) for pattern in EXPORTS.get(part.parts[0], ()))


def _replaced(part: Path) -> bool:
    """Whether a file on the Hub is one that a publication writes, or the pickles that it exists to avoid."""
    return _belongs(part) or part.name in (PICTURE, "training_args.bin") or part.name.startswith("pytorch_model")


def _anonymous(values: dict) -> dict:
    return {name: value for name, value in values.items() if name not in WHEREABOUTS}


@dataclass(frozen=True)
class Prepared:
    """A folder that may be published.

    Attributes:
        folder: with everything that goes up.
        left_out: files of the model's folder that stay here.
        notes: what the user should know, a line each.
    """

    folder: Path
    left_out: list[Path]
    notes: list[str]

    @property
    def card(self) -> str:
        """The text of the card."""
        return (self.folder / CARD).read_bytes().decode("utf-8")

    @property
    def files(self) -> list[Path]:
        """What goes up, relative to the folder."""
        return sorted(file.relative_to(self.folder) for file in self.folder.rglob("*") if file.is_file())


def prepare(source: PublishSource, card: CardInput, existing: str | None, folder: Path) -> Prepared:
    """Fill an empty folder with what is published of a model.

    Args:
        source: the model.
        card: what its card says; the report and the picture are filled in here.
        existing: the text of an earlier card, whose edits are kept.
        folder: made if absent.

    Raises:
        InputError: there is a token, or a path of this machine, in one of the files.
    """
    left_out = stage(source, folder)
    numbers = published_report(source)
    numbers = replace(numbers, model=replace(numbers.model, compressed=card.repo_id))
    report.save(numbers, folder)
    notes = write_card(folder, replace(card, report=numbers), existing)
    refuse_leaks(folder, source.root)
    return Prepared(folder, left_out, [f"{card.repo_id}: {note}" for note in notes])


def card_of(numbers: report.CompressionReport, repo_id: str, **said: Any) -> CardInput:
    """What a card says: what is given, else what the recipe of the run says, else nothing.

    Args:
        numbers: the report.
        repo_id: what the model is called in the lines that load it.
        **said: further fields of `CardInput`; None and empty are not given.
    """
    recipe = numbers.recipe
    known = {
        "base_model": recipe.get("card_base_model") or sanitize.hub_id(numbers.model.baseline),
        "license": recipe.get("card_license"),
        "language": _words(recipe, "card_language"),
        "datasets": _words(recipe, "card_datasets"),
    }
    given = {name: value for name, value in said.items() if value}
    return CardInput(report=numbers, repo_id=repo_id, **{**known, **given})


def _words(recipe: dict[str, Any], name: str) -> tuple[str, ...]:
    words = recipe.get(name) or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{report.FILE_NAME}: recipe.{name} is {words!r}; it must be a list of words.")
    return tuple(words)


def write_card(folder: Path, card: CardInput, existing: str | None) -> list[str]:
    """Write the card and its picture beside a model.

    Args:
        folder: of the model.
        card: what the card says; its picture is filled in here.
        existing: the text of an earlier card, whose edits are kept.

    Returns:
        What the user should know, a line each.
    """
    notes = []
    if not card.baseline_of:  # whose card shows none
        try:
            write_text(folder / PICTURE, draw_parameters(card.report))
            card = replace(card, picture=PICTURE)
        except InputError as error:  # the card does without its picture
            notes.append(f"the card has no picture: {error}")
    merged = merge(render(card), existing)
    write_text(folder / CARD, merged.text)
    notes += [f"section {name!r} of the card was edited by hand and is left as it is" for name in merged.kept]
    if "\nlicense:" not in merged.text:
        notes.append("the card names no licence; give one that the base model allows: --license apache-2.0")
    return notes


def refuse_leaks(folder: Path, home: Path, *tokens: str | None) -> None:
    """Refuse to publish a folder with something private in it.

    Args:
        folder: what is to go up.
        home: the folder of this machine that it was made from.
        *tokens: access tokens that were given; those of the environment are known.

    Raises:
        InputError: naming each file and what is in it, never the thing itself.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    found = find_leaks(
        files, secrets=known_secrets(os.environ, get_token(), *tokens), folders=(home, folder, Path.cwd(), Path.home())
    )
    if found:
        words = "; ".join(f"{leak.file.relative_to(folder)} holds {leak.kind}" for leak in found)
        raise InputError(f"Nothing was published: {words}. Take it out of the file, then publish again.")


def prove(source: PublishSource, folder: Path, *, trust_remote_code: bool = False) -> None:
    """Open a staged folder in a fresh process, and compare it with the model that it was made from.

    Args:
        source: the model.
        folder: as `prepare` filled it.
        trust_remote_code: run a code file beside the weights that this version of the package did not write.

    Raises:
        CheckFailed: they do not compute the same.
    """
    path = source.folder if source.is_baseline else source.root
    _hold(check(path, trust_remote_code=trust_remote_code, copy=folder))


def prove_saved(model, folder: Path) -> None:
    """Open a folder in a fresh process, and compare what it holds with the model in memory.

    The weights must be equal, so that it does not matter on which device and in which precision the model is.

    Raises:
        CheckFailed: they are not the same model.
    """
    _hold(check(folder))
    saved = load_model(folder, option="The saved model", way_out="save it again").state_dict()
    for name, value in model.state_dict().items():
        if name not in saved or not torch.equal(saved[name].to(value), value):
            raise CheckFailed(f"Nothing was published: {name} in {folder.name} is not what the model holds.")


def _hold(links: list[Link]) -> None:
    for link in links:
        if not link.holds:
            raise CheckFailed(
                f"Nothing was published: {link.name} does not hold, logits differ by {link.difference:.1e}, "
                f"above {link.allowed:.0e}."
            )
