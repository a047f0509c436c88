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
from collections.abc import Collection, Iterable, Iterator, Mapping
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
MEASURED = "measured.json"
RUNS, SOURCES = "runs", "sources"  # parts of a definition: by run its fields, and what tells its data and models apart


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

    def was_measured(self, created: Mapping[str, str], at: str) -> bool:
        """Return whether the results were made from these very runs.

        Args:
            created: when the report of each run was made, by its folder.
            at: when the results were made; it decides where an older version has made them.
        """
        try:
            return json.loads((self.shared / MEASURED).read_text(encoding="utf-8")) == created
        except FileNotFoundError:
            return all(time <= at for time in created.values())
        except (OSError, ValueError):
            return False

    def remember_measured(self, created: Mapping[str, str]) -> None:
        """Keep from which runs the results were made: when the report of each was made, by its folder."""
        write_json(self.shared / MEASURED, dict(created))

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

    Runs without a result may be changed, added and left out; what a changed one has left is removed.

    Args:
        directory: of the sweep.
        definition: everything that a result depends on. `runs` has the fields of each run by its name, and `sources` digests
            of its data and models by field (see sources.py); an older folder without them is taken as it is.
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
                return definition
            changed = _changed_runs(before, definition)
            _refuse_another_sweep(directory, before, definition, defaults or {}, changed)
            now = before | {key: definition[key] for key in (RUNS, SOURCES) if key in definition}
            for name, known in (before.get(SOURCES) or {}).items():
                if name in now[SOURCES] and name not in changed:
                    now[SOURCES][name] |= known
            if now != before:
                _remove_rest(directory, [name for name in changed if name in (definition.get(RUNS) or {})])
                write_json(file, now)
            return now
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"output_dir {root} cannot be used ({error}); name another --output_dir.") from error


def _changed_runs(before: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Return the names of the runs that have other fields, are new or are left out."""
    old, new = before.get(RUNS) or {}, now.get(RUNS) or {}
    return {name for name in {**old, **new} if name not in old or name not in new or old[name] != new[name]}


def _refuse_another_sweep(
    directory: SweepDirectory,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    defaults: Mapping[str, Mapping[str, Any]],
    runs: Collection[str],
) -> None:
    """Refuse a definition that differs by more than runs without a result; `runs` are those that differ."""
    different = []
    for key in sorted({*before, *now} - {RUNS, SOURCES}):
        old, new, known = before.get(key) or {}, now.get(key) or {}, defaults.get(key)
        fields = [] if known is None else differing(old, new, known)
        if fields or (known is None and old != new):
            different.append(f"{key}: {fields[0]}" if fields else key)
    for name in sorted(runs):
        listed = name in (before.get(RUNS) or {})
        if directory.is_finished(Job(name)) or (listed and directory.is_busy(Job(name).folder)):
            different.append(f"{RUNS}: {name}")
    for name, new in (now.get(SOURCES) or {}).items():
        old = {} if name in runs else (before.get(SOURCES) or {}).get(name, {})
        different += [field for field in new if field in old and old[field] != new[field]]
    if different:
        raise InputError(
            f"{directory.root} holds another sweep ({different[0]} differs); continue with the same file and fields, or "
            "name another --output_dir."
        )


def _remove_rest(directory: SweepDirectory, names: Iterable[str]) -> None:
    """Remove what runs have left that were never finished and have other fields now: it cannot be continued."""
    for run in (directory.run(Job(name)) for name in names):
        if run.holds_run:
            shutil.rmtree(run.root)


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
