"""Rehearsal: the whole publication against a Hub on this machine, then the model is loaded back by its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from . import equivalence
from .check import CheckFailed, fresh_logits
from .errors import InputError
from .loopback_hub import LoopbackHub
from .loopback_hub.pages import repository_page
from .opening import open_classifier
from .publication import find_source, link
from .run_directory import whole_folder, write_text

FOLDER, PAGE = "rehearsal", "index.html"  # the first in the run


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal showed.

    Attributes:
        sizes: of every repository, by its name: bytes by path.
        difference: largest difference of logits between the model here and the one that was loaded by its name.
        pages: files to open in a browser, by the name of the repository.
    """

    sizes: dict[str, dict[str, int]]
    difference: float
    pages: dict[str, Path]


def rehearse(path: Path, repo_id: str, words: list[str], *, console: Console) -> Rehearsed:
    """Run the push against a Hub in this process, and open the result as a stranger would.

    Args:
        path: what is to be published.
        repo_id: `user/name`.
        words: the command line of the push itself.
        console: where progress goes.

    Raises:
        InputError: the push refused; its own line was shown.
        CheckFailed: what came back is another function.
    """
    source = find_source(path)
    with LoopbackHub(user=repo_id.partition("/")[0]) as hub, tempfile.TemporaryDirectory() as scratch:
        # On a copy: the run itself remembers what was published of it, and a rehearsal is no publication.
        copy = Path(scratch) / source.root.name
        ignored = shutil.ignore_patterns(FOLDER, "checkpoints")
        shutil.copytree(source.root, copy, ignore=ignored, copy_function=lambda old, new: link(Path(old), Path(new)))
        words = [str(copy) if Path(word) == path else word for word in words]
        environment = {**os.environ, **hub.environment(Path(scratch) / "mine")}
        command = [sys.executable, "-m", "trainer_ext", *words]
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
            raise InputError("The rehearsal ended here: what is above would have been the answer of the real push.")
        with console.status(f"loading {repo_id} by its name"):
            difference = _compare(source.folder, repo_id, hub.environment(Path(scratch) / "theirs"))
        found = {(kind, name): hub.files(name, repo_type=kind) for kind, name in hub.repositories}
    pages = _keep(source.root / FOLDER, found)
    sizes = {name: {path: len(content) for path, content in files.items()} for (_, name), files in found.items()}
    return Rehearsed(sizes, difference, pages)


def _keep(folder: Path, found: dict[tuple[str, str], dict[str, bytes]]) -> dict[str, Path]:
    """Write every repository with its page beside the files, in place of an earlier rehearsal."""
    shutil.rmtree(folder, ignore_errors=True)
    with whole_folder(folder) as part:
        for (kind, name), files in found.items():
            place = part / kind / name
            for path, content in files.items():
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).write_bytes(content)
            note = "A rehearsal: this is how the page would look. Nothing has been published."
            write_text(place / PAGE, repository_page(name, files, note=note))
    return {name: folder / kind / name / PAGE for kind, name in found}


def _compare(folder: Path, repo_id: str, environment: dict[str, str]) -> float:
    here = open_classifier(folder, option="The model", way_out="publish a run that was checked").eval()
    batch = equivalence.synthetic_batch(here)
    before = equivalence.logits(here, batch)
    try:
        after = fresh_logits(repo_id, batch, **environment)
    except InputError as error:
        raise CheckFailed(str(error)) from error
    difference = (before - after).abs().max().item()
    if not difference <= equivalence.allowed_difference(before):
        raise CheckFailed(f"{repo_id} loaded by its name gives other logits: they differ by {difference:.1e}.")
    return difference
