"""Sweep: many runs of one recipe that share their baseline and their teacher's answers, measured in one go at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from . import report
from .energy import check_country
from .errors import InputError
from .export import FORMATS
from .extras import need
from .inference_energy import check_seconds
from .publishable import fields as publishable_fields
from .recipe import Recipe
from .sweep_child import ChildJob
from .sweep_choice import choose
from .sweep_collect import baseline_rows, keep_best, path_of, rows_of, sentence, with_times, write_latency
from .sweep_fields import baseline_fields, checked, common_fields, run_fields, write_fields
from .sweep_file import Fields, Job, SweepFile
from .sweep_files import read_sweep_json, write_sweep
from .sweep_place import SweepPlace, begin
from .sweep_rows import SweepResult, SweepRow
from .sweep_study import EXTRA, GridSource, RangeSource, open_study, range_job
from .sweep_times import energy_of, time_all
from .sweep_workers import Outcome, Workers


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
    need("optuna", extra=EXTRA)
    if workers < 1:
        raise InputError(f"--workers must be 1 or more, got {workers}.")
    groups = [Group(file, name, words, scale, command, console) for name in file.groups]
    if storage:  # a file in the folder can be opened only when there is one
        open_study(groups[0].place, storage, name=groups[0].study_name)
    for group in groups:
        group.begin()
    return [(group.place.root, group.work(workers, storage)) for group in groups]


class Group:
    """One group of a sweep: runs with one baseline, one picture and one best model.

    Args:
        file: the sweep file.
        name: of the group; empty where the file has none.
        words: of the command line.
        scale: the name of a scale.
        command: the command line, as it may be published.
        console: where progress goes.

    Raises:
        InputError: a field of any run cannot work.
    """

    def __init__(self, file: SweepFile, name: str, words, scale: str | None, command: str | None, console: Console):
        self.file, self.name, self.scale, self.command, self.console = file, name, scale, command, console
        self.common = common_fields(file, name, words, scale)
        out = self.common.get("output_dir") if "--output_dir" in " ".join(words) else file.output_dir
        out = out or self.common.get("output_dir")
        if not out:
            raise InputError(f"{file.path.name}: output_dir is not given; name the folder of the results.")
        self.place = SweepPlace(Path(out).expanduser() / Job(name).folder if name else Path(out).expanduser())
        self.jobs = file.jobs()
        sample = self.jobs or [Job("trial 0", fields={name: ends[0] for name, ends in file.ranges.items()})]
        self.recipes = {job.folder: checked(self.fields(job)) for job in sample}
        self.recipe: Recipe = next(iter(self.recipes.values()))
        if self.recipe.model.measure_energy:
            check_country(self.recipe.model.energy_country)
            check_seconds(self.recipe.model.energy_seconds)
        for module in dict.fromkeys(module for format_ in file.export for module in FORMATS[format_].needs):
            need(module, extra="export")

    def fields(self, job: Job) -> Fields:
        """All fields of a run."""
        return run_fields(self.common, job, self.place.run(job).root, self.place.answers)

    def definition(self) -> dict[str, Any]:
        """Everything on which a result depends."""
        return {
            "base": self.file.base.name,
            "common": publishable_fields(self.common),
            "runs": {job.name: job.fields for job in self.file.jobs()},
            "ranges": self.file.ranges,
            "export": self.file.export,
        }

    def begin(self, more: Mapping[str, Any] | None = None) -> None:
        """Make the folder, or see that it holds this very sweep."""
        begin(self.place, self.definition() | dict(more or {}))

    @property
    def study_name(self) -> str:
        """One of a kind in a storage that several sweeps share, and the same on every machine."""
        text = json.dumps([self.name, self.definition()], sort_keys=True, default=str)
        return f"{self.file.path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def work(self, workers: int, storage: str | None) -> SweepResult:
        """Run what is not done, then measure and write."""
        title = f"{self.file.path.name}{f', {self.name}' if self.name else ''}"
        study = open_study(self.place, storage, name=self.study_name)
        self.console.rule(Text(f"{title}: {len(self.jobs) or self.file.trials} runs, {workers} at once"))
        searching = bool(self.file.ranges)
        source = RangeSource(self.file, self.place, study) if searching else GridSource(self.jobs, self.place, study)
        failed = run_source(self, source, workers, total=self.file.trials if searching else len(self.jobs))
        jobs = source.jobs() if searching else self.jobs
        return finish(self, [job for job in jobs if self.place.is_finished(job)], failed, workers=workers)

    def describe(self, job: Job, *, timed: bool = False) -> ChildJob:
        """What the child of a run is told; its recipe lies beside its log."""
        fields, below = self.fields(job), baseline_fields(self.common, job)
        baseline = self.place.baseline(below)
        recipes = self.place.shared / "recipes"
        own = write_fields(recipes / f"{job.folder}.yaml", fields)
        first = self.jobs[0].folder if self.jobs else range_job(0, {}).folder
        return ChildJob(
            root=str(self.place.root),
            folder=job.folder,
            recipe=str(own),
            baseline=baseline.root.name,
            baseline_recipe=str(
                write_fields(recipes / f"{baseline.root.name}.yaml", below | {"output_dir": str(baseline.root)})
            ),
            export=self.file.export,
            export_baseline=job.folder == first,
            timed=timed,
            command=self.command,
        )


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

    Raises:
        InputError: no run was finished.
    """
    if not jobs:
        words = next(iter(failed.values()), "none was started")
        raise InputError(f"No run of {group.file.path.name} was finished: {words}")
    place, first = group.place, jobs[0]
    rows = baseline_rows(place, first) + [row for job in jobs for row in rows_of(place, job)]
    owner = {row.folder: job for job in jobs for row in rows_of(place, job)}
    paths = [path_of(place, owner.get(row.folder, first), row) for row in rows]
    before = _measured(place, rows, failed)
    if before is not None:
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


def _measured(place: SweepPlace, rows: Sequence[SweepRow], failed: dict[str, str]) -> SweepResult | None:
    """What an earlier start wrote, if it is about the same models."""
    try:
        before = read_sweep_json(place.root)
    except InputError:
        return None
    same = [row.title for row in before.rows] == [row.title for row in rows] and before.failed == failed
    return before if same else None
