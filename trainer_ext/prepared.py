"""Prepared: a model's folder with its card and report, proven and searched for leaks, ready to go up."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_token

from . import publishable, report
from .card import CardInput, render
from .card_picture import draw_parameters
from .card_sections import merge
from .check import CheckFailed, Link, check
from .errors import InputError
from .files import write_text
from .leaks import find_leaks, known_secrets
from .opening import open_classifier
from .publication import CARD, PICTURE, Source, published_report, stage


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


def prepare(source: Source, card: CardInput, existing: str | None, folder: Path) -> Prepared:
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
        "base_model": recipe.get("card_base_model") or publishable.hub_id(numbers.model.baseline),
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


def prove(source: Source, folder: Path, *, trust_remote_code: bool = False) -> None:
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
    saved = open_classifier(folder, option="The saved model", way_out="save it again").state_dict()
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
