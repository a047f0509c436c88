"""Sweep: many runs of one recipe that share their baseline and their teacher's answers, measured in one go at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from .. import report
from ..errors import Busy, InputError
from ..utils.imports import require
from .collect import (
    baseline_rows,
    energy_of,
    keep_best,
    path_of,
    rows_of,
    sentence,
    time_all,
    with_times,
    write_latency,
)
from .config import Job, SweepFile
from .group import Group
from .output import read_sweep_json, write_sweep
from .results import SweepResult, SweepRow, choose
from .storage import SweepDirectory
from .study import EXTRA, GridSource, RangeSource, open_study
from .worker import ChildJob, Outcome, Workers


def sweep(
    file: SweepFile,
    *,
    words: Sequence[str] = (),
    scale: str | None = None,
    workers: int = 1,
    storage: str | None = None,
    command: str | None = None,
    console: Console | None = None,
) -> list[tuple[Path, SweepResult]]:
    """Do all runs of a sweep file that are not done yet, measure them together, and write the outcome.

    Args:
        file: what to vary.
        words: `["--field", "value", ...]`, laid over all runs.
        scale: the name of a scale.
        workers: runs at once; another start on the same folder joins in.
        storage: URL of Optuna's storage; a file in the folder by default.
        command: the command line, as it may be published.
        console: where progress goes; standard error by default.

    Returns:
        `(folder, result)` per group.

    Raises:
        InputError: something given cannot work; found before any run starts.
    """
    console = console or Console(stderr=True)
    require("optuna", extra=EXTRA)
    if workers < 1:
        raise InputError(f"--workers must be 1 or more, got {workers}.")
    groups = [Group(file, name, words, scale, command, console) for name in file.groups]
    if storage:  # a file in the folder can be opened only when there is one
        open_study(groups[0].place, storage, name=groups[0].study_name)
    for group in groups:
        group.begin()
    return [(group.place.root, run_group(group, workers, storage)) for group in groups]


def run_group(group: Group, workers: int, storage: str | None) -> SweepResult:
    """Do the runs of a group that are not done, then measure and write."""
    file, searching = group.file, bool(group.file.ranges)
    study = open_study(group.place, storage, name=group.study_name)
    total = file.trials if searching else len(group.jobs)
    title = f"{file.path.name}{f', {group.name}' if group.name else ''}"
    group.console.rule(Text(f"{title}: {total} runs, {workers} at once"))
    source = RangeSource(file, group.place, study) if searching else GridSource(group.jobs, group.place, study)
    failed = run_source(group, source, workers, total=total)
    jobs = source.jobs() if searching else group.jobs
    return finish(group, [job for job in jobs if group.place.is_finished(job)], failed, workers=workers)


def run_source(group: Group, source, workers: int, *, total: int, timed: bool = False) -> dict[str, str]:
    """Let the workers do what a source gives.

    Returns:
        The last words of what failed, by name.
    """
    failed: dict[str, str] = {}

    def finished(outcome: Outcome) -> str:
        if not outcome.ok:
            failed[outcome.job.name] = outcome.words
            return f"{outcome.job.name}: failed: {outcome.words}"
        numbers = report.load(group.place.run(outcome.job).root)
        return f"{outcome.job.name}: {sentence(numbers)} ({outcome.seconds:.0f} s)"

    def describe(job: Job) -> ChildJob:
        return group.describe(job, timed=timed)

    crew = Workers(group.place, describe, console=group.console, on_finished=finished, total=total)
    crew.run(source, workers=workers, finished=[job for job in group.jobs if group.place.is_finished(job)])
    return failed


def finish(
    group: Group,
    jobs: Sequence[Job],
    failed: dict[str, str],
    *,
    workers: int,
    choice: Callable[[Sequence[SweepRow]], tuple[SweepRow, str] | None] = choose,
    notes: Sequence[str] = (),
) -> SweepResult:
    """Measure all finished runs together, choose the best, and write everything; nothing is measured twice.

    Of several sweeps on one folder one measures, since two would disturb each other, and the others wait for it.

    Raises:
        InputError: no run was finished.
    """
    if not jobs:
        words = next(iter(failed.values()), "none was started")
        raise InputError(f"No run of {group.file.path.name} was finished: {words}")
    while True:
        try:
            with group.place.claim("measuring"):
                return _measure(group, jobs, failed, workers=workers, choice=choice, notes=notes)
        except Busy:
            time.sleep(2)


def _measure(group: Group, jobs: Sequence[Job], failed: dict[str, str], *, workers: int, choice, notes) -> SweepResult:
    """What `finish` does while nobody else measures."""
    place, first = group.place, jobs[0]
    rows = baseline_rows(place, first) + [row for job in jobs for row in rows_of(place, job)]
    owner = {job.folder: job for job in jobs}
    paths = [path_of(place, owner.get(row.folder, first), row) for row in rows]
    before = _earlier(place)
    # What failed in another sweep on this folder, or in an earlier start, and was not made since, has still failed.
    made = {row.name for row in rows}
    failed = {name: said for name, said in {**(before.failed if before else {}), **failed}.items() if name not in made}
    if before and [row.title for row in before.rows] == [row.title for row in rows] and before.failed == failed:
        return before
    group.console.rule("All models in turn")
    recipe, console = group.recipe, group.console
    models = [place.run(job).compressed for job in jobs]
    times, machine = time_all(place.run(first).baseline, models, recipe, console=console)
    notes = list(notes)
    if recipe.model.measure_energy:
        folders = [place.run(first).baseline, *models]
        energy, estimated = energy_of(folders, recipe, console=console)
        for path, (kwh, grams) in energy.items():
            times[path].kwh_per_1000, times[path].g_per_1000 = kwh, grams
        if estimated:
            notes.append("Energy is estimated from the processor's load: it has no counter that can be read.")
    if workers > 1:
        notes.append(
            f"{workers} runs trained side by side: seconds and kWh of a training are those of a shared machine."
        )
    rows = with_times(rows, paths, times)
    for row, path in zip(rows, paths, strict=True):
        if row.folder:
            write_latency(place, owner[row.folder], times[path].report)
    chosen = choice(rows)
    if chosen and chosen[0].folder:  # the baseline itself is kept anyway
        keep_best(place, owner[chosen[0].folder])
    result = SweepResult(
        created=report.utc_now(),
        command=group.command,
        recipe=group.file.path.name,
        scale=group.scale,
        machine=machine,
        rows=rows,
        failed=failed,
        notes=notes,
        best={"title": chosen[0].title, "why": chosen[1]} if chosen else None,
    )
    for note in write_sweep(result, place.root):
        group.console.print(Text(note, style="yellow"))
    return result


def _earlier(place: SweepDirectory) -> SweepResult | None:
    """What was written when this folder was measured before."""
    try:
        return read_sweep_json(place.root)
    except InputError:
        return None
