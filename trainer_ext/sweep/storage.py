"""The folder of a sweep: where each file is, which process works on which run, and which runs are finished.

    OUT/NAME/            a run, as `trainer-ext compress` makes it
    OUT/sweep.*, pareto.*, best/      the results
    OUT/shared/          what the runs have in common: baselines, cached teacher logits, the study, logs and locks

A process works on a run only while it holds the run's lock. The operating system releases the lock when the process ends,
even if it is killed. So no run is done twice, and none waits for a dead process. Several machines may share the folder if
its file system supports locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import Busy, InputError
from ..report.run_directory import RunDirectory, differing
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
        """What the runs have in common."""
        return self.root / "shared"

    @property
    def teacher_cache(self) -> Path:
        """The teacher's logits, cached once for all runs."""
        return self.shared / "answers"

    @property
    def journal(self) -> Path:
        """Optuna's study, unless another storage is given."""
        return self.shared / "study.journal"

    @property
    def best(self) -> Path:
        """A copy of the chosen run."""
        return self.root / "best"

    def run(self, job: Job) -> RunDirectory:
        """Return the folder of a run."""
        return RunDirectory(self.root / job.folder)

    def baseline(self, fields: dict[str, Any]) -> RunDirectory:
        """Return the folder of the baseline with these fields; runs with the same ones share it."""
        text = json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str)
        return RunDirectory(self.shared / f"baseline-{hashlib.sha256(text.encode()).hexdigest()[:10]}")

    def log(self, name: str) -> Path:
        """Return the file with the output of a run."""
        return self.shared / "logs" / f"{name}.log"

    def recipe(self, name: str) -> Path:
        """Return the file with all fields of a run or a baseline."""
        return self.shared / "recipes" / f"{name}.yaml"

    def is_finished(self, job: Job) -> bool:
        """Return whether a run has its report, and the results of its exported files."""
        return self.run(job).report.is_file() and (self.run(job).root / VARIANTS).is_file()

    def is_busy(self, name: str) -> bool:
        """Return whether a process works on this run now."""
        try:
            with self.claim(name):
                return False
        except Busy:
            return True

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold the lock of a run, or of another task that only one process may do.

        Raises:
            Busy: Another process holds it.
        """
        try:
            with FileLock(self._lock_file(name), timeout=0):
                yield
        except Timeout as error:
            raise Busy(name) from error

    def search_lock(self) -> FileLock:
        """Return the lock for asking the sampler, so that parallel sweeps never ask for more trials than wanted."""
        return FileLock(self._lock_file("asking"))

    def _lock_file(self, name: str) -> Path:
        file = self.shared / "locks" / f"{name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


def begin(
    directory: SweepDirectory,
    definition: dict[str, Any],
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Create the folder and record what the sweep is, or check that the folder holds this very sweep.

    Args:
        directory: of the sweep.
        definition: everything that a result depends on.
        defaults: by the name of a part of the definition, what each of its fields is that is not given. So a field that a
            newer version adds, or that is written out now, makes no other sweep of it.

    Returns:
        The definition as the folder holds it.

    Raises:
        InputError: The folder holds another sweep or other files, or cannot be written.
    """
    root, file = directory.root, directory.shared / DEFINITION
    definition = json.loads(json.dumps(definition, default=str))
    try:
        if root.is_dir() and not directory.shared.is_dir():
            _refuse_others(directory)  # before anything is made in it
        directory.shared.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.shared / "definition.lock"):  # several processes may start at once
            before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
            if before is None:
                _refuse_others(directory)
                write_json(file, definition)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"output_dir {root} cannot be used ({error}); name another --output_dir.") from error
    if before is None:
        return definition
    for key in sorted({*before, *definition}):
        old, new, known = before.get(key) or {}, definition.get(key) or {}, (defaults or {}).get(key)
        fields = [] if known is None else differing(old, new, known)
        if fields or (known is None and old != new):
            changed = f"{key}: {fields[0]}" if fields else key
            raise InputError(
                f"{root} holds another sweep ({changed} differs); continue with the same file and fields, or name "
                "another --output_dir."
            )
    return before


def _refuse_others(directory: SweepDirectory) -> None:
    if {path.name for path in directory.root.iterdir()} - {directory.shared.name}:
        raise InputError(f"output_dir {directory.root} holds files of something else; name another --output_dir.")


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder, by hard links if the disk supports them, unless the target exists; it appears only when complete."""

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(target) as folder:
        shutil.copytree(source, folder, copy_function=link, dirs_exist_ok=True)
