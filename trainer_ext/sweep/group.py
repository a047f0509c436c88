"""One group of a sweep: its runs with their fields, its folder, and what each child process is told."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ..benchmark.energy import check_country, check_seconds
from ..errors import InputError
from ..export.formats import FORMATS
from ..hub.sanitize import fields as publishable_fields
from ..pipeline.baseline import read_data
from ..pipeline.recipe import Recipe, defaults_of, recipe_fields
from ..report.run_directory import check_apart
from ..utils.imports import require
from .config import Fields, Job, SweepFile, baseline_fields, common_fields, recipe_from, run_fields, write_fields
from .sources import Sources, check_models
from .storage import SOURCES, SweepDirectory, begin
from .study import range_job
from .worker import ChildJob


class Group:
    """Runs that share one baseline, one plot and one best model.

    Args:
        file: the sweep file.
        name: of the group; empty if the file has no groups.
        words: `["--field", "value", ...]` of the command line.
        scale: the name of a scale.
        command: the command line, without private values.
        console: shows progress.

    Raises:
        InputError: A field or the data of any run cannot work.
    """

    def __init__(
        self,
        file: SweepFile,
        name: str,
        words: Sequence[str],
        scale: str | None,
        command: str | None,
        console: Console,
    ):
        self.file, self.name, self.scale, self.command, self.console = file, name, scale, command, console
        self.common = common_fields(file, name, words, scale)
        if not self.common.get("output_dir"):
            raise InputError(f"{file.path.name}: output_dir is not given; name a folder for the results.")
        root = Path(self.common["output_dir"]).expanduser()
        self.directory = SweepDirectory(root / Job(name).folder if name else root)
        self.jobs = file.jobs()
        self._recipes = {job.name: recipe_from(self.fields(job)) for job in self.jobs or _sample(file.ranges)}
        recipes = list(self._recipes.values())
        self.recipe: Recipe = recipes[0]
        check_apart(root, {what: name for recipe in recipes for what, name in recipe.models.items()})
        if self.recipe.model.measure_energy:
            check_country(self.recipe.model.energy_country)
            check_seconds(self.recipe.model.energy_seconds)
        for recipe in {repr((recipe.data, recipe.model)): recipe for recipe in recipes}.values():
            read_data(recipe)  # bad data is refused now, not by every run
        for module in dict.fromkeys(module for format_ in file.export for module in FORMATS[format_].needs):
            require(module, extra="export")

    def fields(self, job: Job) -> Fields:
        """Return all fields of a run."""
        return run_fields(self.common, job, self.directory.run(job).root, self.directory.teacher_cache)

    def check_models(self) -> None:
        """Refuse a model or a teacher of any run that cannot be opened, which may first have to be downloaded.

        Raises:
            InputError: It cannot be opened.
        """
        check_models(self._recipes.values())

    def definition(self) -> dict[str, Any]:
        """Return everything that a result depends on."""
        return {
            "base": self.file.base.name,
            "common": publishable_fields(self.common),
            "runs": {job.name: job.fields for job in self.file.jobs()},
            "ranges": self.file.ranges,
            "export": self.file.export,
        }

    def begin(self, **more: Any) -> None:
        """Create the folder, or check that it holds this very sweep, and go on with the fields as it was begun with.

        Args:
            **more: dataclasses on which the results depend too.
        """
        defaults = {name: defaults_of(dataclasses.fields(value)) for name, value in more.items()}
        defaults["common"] = defaults_of(recipe_fields().values())
        sources = Sources()
        read = {name: sources.of(recipe) for name, recipe in self._recipes.items()}
        definition = self.definition() | {name: vars(value) for name, value in more.items()} | {SOURCES: read}
        before = begin(self.directory, definition, defaults)["common"]
        # Fields at their defaults are listed or not as they were, because the names of baselines and studies depend on it.
        now = publishable_fields(self.common)
        kept = {name: value for name, value in self.common.items() if name not in now or name in before}
        self.common = kept | {name: value for name, value in before.items() if name not in now}

    @property
    def study_name(self) -> str:
        """Unique in a storage that several sweeps share, and the same on every machine."""
        text = json.dumps([self.name, self.definition()], sort_keys=True, default=str)
        return f"{self.file.path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def describe(self, job: Job, *, timed: bool = False) -> ChildJob:
        """Write the recipes of a run and of its baseline, and return what its child process needs to know."""
        fields = baseline_fields(self.common, job)
        baseline = self.directory.baseline(fields).root
        write_fields(self.directory.recipe(job.folder), self.fields(job))
        write_fields(self.directory.recipe(baseline.name), fields | {"output_dir": str(baseline)})
        first = self.jobs[0] if self.jobs else range_job(0, {})
        return ChildJob(
            root=str(self.directory.root),
            folder=job.folder,
            baseline=baseline.name,
            export=self.file.export,
            export_baseline=job.folder == first.folder,
            timed=timed,
            command=self.command,
        )


def _sample(ranges: Mapping[str, list]) -> list[Job]:
    """Return trials that together have each end and each choice of every range."""
    count = max(map(len, ranges.values()), default=1)
    return [
        Job(f"trial {number}", fields={name: ends[min(number, len(ends) - 1)] for name, ends in ranges.items()})
        for number in range(count)
    ]
