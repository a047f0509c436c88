"""Do all runs of a sweep with a shared baseline and a shared teacher cache, then measure all models together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from .. import report
from ..errors import Busy, InputError
from ..pipeline.text_length import as_started
from ..utils.imports import require
from .baselines import baselines_of, differ_by_seed_alone
from .collect import (
    Times,
    baseline_rows,
    keep_best,
    measure_energy,
    rows_of,
    summary_line,
    time_all,
    with_times,
    write_latency,
)
from .config import Job, SweepFile
from .group import Group
from .output import read_sweep_json, write_sweep
from .results import SweepResult, SweepRow, choose
from .rivals import MARK as RIVALS, check_rivals, compare_rivals
from .study import EXTRA, GridSource, RangeSource, open_study
from .worker import ChildJob, JobSource, Outcome, WorkerPool

Chooser = Callable[[Sequence[SweepRow]], tuple[SweepRow, str] | None]


def sweep(
    file: SweepFile,
    *,
    words: Sequence[str] = (),
    scale: str | None = None,
    workers: int = 1,
    storage: str | None = None,
    command: str | None = None,
    rivals: bool = False,
    console: Console | None = None,
) -> list[tuple[Path, SweepResult]]:
    """Do all runs of a sweep file that are not finished, measure them together, and write the results.

    Args:
        file: what to vary.
        words: `["--field", "value", ...]`, overriding the fields of all runs.
        scale: the name of a scale.
        workers: number of runs at once; another start on the same folder joins in.
        storage: URL of Optuna's storage; a file in the folder by default.
        command: the command line, without private values.
        rivals: whether to compare the baseline with classifiers that are no transformers (see `rivals`).
        console: shows progress; standard error by default.

    Returns:
        `(folder, result)` per group.

    Raises:
        InputError: The sweep cannot work as given; this is found before any run starts.
    """
    console = console or Console(stderr=True)
    require("optuna", extra=EXTRA)
    if workers < 1:
        raise InputError(f"--workers must be 1 or more, got {workers}.")
    groups = [Group(file, name, words, scale, command, console) for name in file.groups]
    for group in groups if rivals else ():
        check_rivals(group.recipe)
    for group in groups:
        group.check_models()
    if storage:  # check the storage first; the default one is a file in the folder, which may not exist yet
        open_study(groups[0].directory, storage, name=groups[0].study_name)
    for group in groups:
        group.begin()
    return [(group.directory.root, _run_group(group, workers, storage, rivals)) for group in groups]


def _run_group(group: Group, workers: int, storage: str | None, rivals: bool) -> SweepResult:
    file, directory = group.file, group.directory
    study = open_study(directory, storage, name=group.study_name)
    total = file.trials if file.ranges else len(group.jobs)
    title = f"{file.path.name}{f', {group.name}' if group.name else ''}"
    group.console.rule(Text(f"{title}: {total} runs, {workers} at once"))
    if file.ranges:
        source = RangeSource(file, directory, study)
        failed = run_source(group, source, workers, total=total)
        jobs = source.jobs()
    else:
        failed = run_source(group, GridSource(group.jobs, directory, study), workers, total=total)
        jobs = group.jobs
    done = [job for job in jobs if directory.is_finished(job)]

    def choice(rows: Sequence[SweepRow]) -> tuple[SweepRow, str] | None:
        return choose(rows, seeds_alone=differ_by_seed_alone(group.common, done))

    return finish(group, done, failed, workers=workers, choice=choice, rivals=rivals)


def run_source(group: Group, source: JobSource, workers: int, *, total: int, timed: bool = False) -> dict[str, str]:
    """Do the runs of a source, at most `total`, and return the last message of each run that failed, by name."""
    failed: dict[str, str] = {}

    def finished(outcome: Outcome) -> str:
        name = outcome.job.name
        if not outcome.ok:
            failed[name] = outcome.message
            return f"{name}: failed: {outcome.message}"
        numbers = report.load(group.directory.run(outcome.job).root)
        return f"{name}: {summary_line(numbers)} ({outcome.seconds:.0f} s)"

    def describe(job: Job) -> ChildJob:
        return group.describe(job, timed=timed)

    pool = WorkerPool(group.directory, describe, console=group.console, on_finished=finished, total=total)
    pool.run(source, workers=workers, finished=[job for job in group.jobs if group.directory.is_finished(job)])
    return failed


def finish(
    group: Group,
    jobs: Sequence[Job],
    failed: dict[str, str],
    *,
    workers: int,
    choice: Chooser = choose,
    notes: Sequence[str] = (),
    rivals: bool = False,
) -> SweepResult:
    """Measure all finished runs together, choose the best, and write the results; nothing is measured twice.

    If several sweeps work on one folder, one of them measures and the others wait, since they would disturb each other.

    Raises:
        InputError: No run was finished.
    """
    if not jobs:
        message = next(iter(failed.values()), "none was started")
        raise InputError(f"No run of {group.file.path.name} was finished: {message}")
    while True:
        try:
            with group.directory.claim("measuring"):
                return _measure(group, jobs, failed, workers, choice, list(notes), rivals)
        except Busy:
            time.sleep(2)


def _measure(
    group: Group,
    jobs: Sequence[Job],
    failed: dict[str, str],
    workers: int,
    choice: Chooser,
    notes: list[str],
    rivals: bool,
) -> SweepResult:
    """Do what `finish` promises, while no other process measures."""
    directory, console = group.directory, group.console
    recipe = as_started(group.recipe, directory.run(jobs[0]))
    baselines = baselines_of(group.file, group.common, jobs)
    rows: dict[str, SweepRow] = {}
    for baseline in baselines:
        rows |= baseline_rows(directory, baseline.jobs[0], baseline.name)
    for job in jobs:
        rows |= rows_of(directory, job)
    try:
        before = read_sweep_json(directory.root)
    except InputError:
        before = None
    # A run that failed earlier or in another sweep on this folder has still failed, unless it has a result by now.
    names = {row.name for row in rows.values()}
    failed = {**(before.failed if before else {}), **failed}
    asked = (
        {job.name for job in group.jobs} if group.file.axes else failed.keys()
    )  # the file may have other labels by now
    failed = {name: message for name, message in failed.items() if name in asked and name not in names}
    made_from = {job.folder: report.load(directory.run(job).root).created for job in jobs}
    if before and [row.title for row in before.rows] == [row.title for row in rows.values()]:
        known = not rivals or any(note.startswith(RIVALS) for note in before.notes)
        if before.failed == failed and known and directory.was_measured(made_from, before.created):
            return before
    console.rule("All models in turn")
    times: dict[str, Times] = {}
    machine = ""
    for baseline in baselines:
        models = [directory.run(job).compressed for job in baseline.jobs]
        found, line = time_all(directory.run(baseline.jobs[0]).baseline, models, recipe, console=console)
        times |= found
        machine = machine or line
    folders = [Path(path) for path, row in rows.items() if row.is_plain]
    if recipe.model.measure_energy and measure_energy(times, folders, recipe, console=console):
        notes.append("Energy is estimated from the processor's load, because it has no counter that can be read.")
    if workers > 1:
        notes.append(
            f"{workers} runs trained side by side: seconds and kWh of a training are those of a shared machine."
        )
    if rivals:
        console.print("Rivals that are no transformers")
        notes += compare_rivals(recipe, directory.run(jobs[0]).baseline)
    owner = {job.folder: job for job in jobs}
    rows = {path: with_times(row, times.get(path)) for path, row in rows.items()}
    for path, row in rows.items():
        if row.folder:
            write_latency(directory, owner[row.folder], times[path].report)
    chosen = choice(list(rows.values()))
    if chosen and chosen[0].folder:  # the baseline is kept in every run
        keep_best(directory, owner[chosen[0].folder])
    result = SweepResult(
        created=report.utc_now(),
        command=group.command,
        recipe=group.file.path.name,
        scale=group.scale,
        machine=machine,
        rows=list(rows.values()),
        failed=failed,
        notes=notes,
        best={"title": chosen[0].title, "why": chosen[1]} if chosen else None,
    )
    for note in write_sweep(result, directory.root):
        console.print(Text(note, style="yellow"))
    directory.remember_measured(made_from)
    return result
