"""Sweep place: where everything of a sweep lies, who works on what, and what is finished.

    OUT/NAME/            a run, as trainer-ext compress makes it
    OUT/sweep.*, pareto.*, best/      the outcome
    OUT/shared/          what runs have in common: baselines, the teacher's answers, the study, logs and locks

A run is worked on by who holds its lock, which the operating system lets go when that process ends, however it ends. So
nothing is done twice and nothing waits for the dead. The folder may be shared by machines whose file system locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import Busy, InputError
from ..report.run_directory import RunDirectory
from ..utils.files import whole_folder, write_json
from .config import Job

VARIANTS = "variants.json"
DEFINITION = "definition.json"


@dataclass(frozen=True)
class SweepDirectory:
    """The folder of one sweep, or of one group of it."""

    root: Path

    @property
    def shared(self) -> Path:
        """What runs have in common."""
        return self.root / "shared"

    @property
    def answers(self) -> Path:
        """The teacher's answers, kept once for all runs."""
        return self.shared / "answers"

    @property
    def journal(self) -> Path:
        """Optuna's record, where no other storage is named."""
        return self.shared / "study.journal"

    @property
    def best(self) -> Path:
        """The chosen run, whole."""
        return self.root / "best"

    def run(self, job: Job) -> RunDirectory:
        """The folder of a run."""
        return RunDirectory(self.root / job.folder)

    def baseline(self, fields: dict[str, Any]) -> RunDirectory:
        """Where the baseline of these fields lies: runs with the same ones share it."""
        text = json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str)
        return RunDirectory(self.shared / f"baseline-{hashlib.sha256(text.encode()).hexdigest()[:10]}")

    def log(self, name: str) -> Path:
        """What a run said while it worked."""
        return self.shared / "logs" / f"{name}.log"

    def is_finished(self, job: Job) -> bool:
        """Whether a run has its numbers, those of its exported files included."""
        return self.run(job).report.is_file() and (self.run(job).root / VARIANTS).is_file()

    def is_busy(self, name: str) -> bool:
        """Whether some process works on it now."""
        try:
            with self.claim(name):
                return False
        except Busy:
            return True

    def asking(self) -> FileLock:
        """The lock under which a search is asked for another run, so that several sweeps do not ask for one too many."""
        return FileLock(self._lock_file("asking"))

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold the lock of a run.

        Raises:
            Busy: another process holds it.
        """
        try:
            with FileLock(self._lock_file(name), timeout=0):
                yield
        except Timeout as error:
            raise Busy(name) from error

    def _lock_file(self, name: str) -> Path:
        file = self.shared / "locks" / f"{name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


def begin(place: SweepDirectory, definition: dict[str, Any]) -> None:
    """Make the folder and write down what the sweep is, or see that what lies there is the same one.

    Args:
        place: the folder.
        definition: everything on which a result depends, as JSON values.

    Raises:
        InputError: the folder holds another sweep, or cannot be written.
    """
    file = place.shared / DEFINITION
    definition = json.loads(json.dumps(definition, default=str))
    try:
        place.shared.mkdir(parents=True, exist_ok=True)
        with FileLock(place.shared / "definition.lock"):  # several workers may start at once
            before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
            if before is None and {path.name for path in place.root.iterdir()} != {place.shared.name}:
                raise InputError(
                    f"output_dir {place.root} holds something else than a sweep; name another --output_dir."
                )
            if before is None:
                write_json(file, definition)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"output_dir {place.root} cannot be used ({error}); name another --output_dir.") from error
    if before not in (None, definition):
        changed = sorted(key for key in {*before, *definition} if before.get(key) != definition.get(key))
        raise InputError(
            f"{place.root} holds another sweep ({changed[0]} differs); continue with the same file and fields, or name "
            "another --output_dir."
        )


def link_tree(source: Path, target: Path) -> None:
    """The same files under another folder, whole or not at all: hard links where the disk can, else copies."""

    def place(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(target) as folder:
        shutil.copytree(source, folder, copy_function=place, dirs_exist_ok=True)
