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
from safetensors.torch import load_file, save_file

from . import equivalence
from .check import CheckFailed
from .compact import fresh
from .errors import InputError
from .loopback_hub import LoopbackHub
from .loopback_hub.pages import repository_page
from .opening import open_classifier
from .publication import find_source
from .run_directory import whole_folder, write_text

FOLDER = "rehearsal"  # in the run


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal showed.

    Attributes:
        repo_id: the name that was used.
        sizes: bytes by path, of everything in the repository.
        difference: largest difference of logits between the model here and the one that was loaded by its name.
        page: a file to open in a browser: the model's page.
    """

    repo_id: str
    sizes: dict[str, int]
    difference: float
    page: Path


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
        environment = {**os.environ, **hub.environment(Path(scratch) / "mine")}
        done = subprocess.run(
            [sys.executable, "-m", "trainer_ext", *words], env=environment, stdout=subprocess.DEVNULL
        )
        if done.returncode:
            raise InputError("The rehearsal ended here; what is above would have been the answer of the real push.")
        with console.status(f"loading {repo_id} from there"):
            environment = {**os.environ, **hub.environment(Path(scratch) / "theirs")}
            difference = _compare(source.folder, repo_id, Path(scratch), environment)
        files = hub.files(repo_id)
        shutil.rmtree(source.root / FOLDER, ignore_errors=True)
        with whole_folder(source.root / FOLDER) as folder:
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            write_text(folder / "index.html", repository_page(repo_id, files))
    sizes = {name: len(content) for name, content in sorted(files.items())}
    return Rehearsed(repo_id, sizes, difference, source.root / FOLDER / "index.html")


def _compare(folder: Path, repo_id: str, scratch: Path, environment: dict[str, str]) -> float:
    here = open_classifier(folder, option="The model", way_out="publish a run that was checked").eval()
    batch = equivalence.synthetic_batch(here)
    inputs, outputs = scratch / "batch.safetensors", scratch / "logits.safetensors"
    save_file({name: value.cpu().contiguous() for name, value in batch.items()}, inputs)
    command = [sys.executable, "-I", fresh.__file__, repo_id, str(inputs), str(outputs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=scratch)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckFailed(f"{repo_id} does not open by its name: {reason}")
    before = equivalence.logits(here, batch)
    difference = (before - load_file(outputs)["logits"].to(before.device)).abs().max().item()
    if not difference <= equivalence.allowed_difference(before):
        raise CheckFailed(f"{repo_id} loaded by its name gives other logits: they differ by {difference:.1e}.")
    return difference
