"""Sweep group: one group of a sweep, its runs with their fields, its folder, and what each child is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ..benchmark.energy import check_country, check_seconds
from ..errors import InputError
from ..export.formats import FORMATS
from ..hub.sanitize import fields as publishable_fields
from ..pipeline.recipe import Recipe
from ..tasks.dataset import load_data
from ..utils.imports import require
from .config import Fields, Job, SweepFile, baseline_fields, checked, common_fields, run_fields, write_fields
from .storage import SweepDirectory, begin
from .study import range_job
from .worker import ChildJob


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
        InputError: a field or the data of any run cannot work.
    """

    def __init__(self, file: SweepFile, name: str, words, scale: str | None, command: str | None, console: Console):
        self.file, self.name, self.scale, self.command, self.console = file, name, scale, command, console
        self.common = common_fields(file, name, words, scale)
        out = self.common.get("output_dir")
        if not out:
            raise InputError(f"{file.path.name}: output_dir is not given; name the folder of the results.")
        self.place = SweepDirectory(Path(out).expanduser() / Job(name).folder if name else Path(out).expanduser())
        self.jobs = file.jobs()
        sample = self.jobs or _ends(file.ranges)
        recipes = [checked(self.fields(job)) for job in sample]
        self.recipe: Recipe = recipes[0]
        if self.recipe.model.measure_energy:
            check_country(self.recipe.model.energy_country)
            check_seconds(self.recipe.model.energy_seconds)
        for args in {repr(recipe.data): recipe.data for recipe in recipes}.values():
            load_data(args)  # refused now, and not by every run
        for module in dict.fromkeys(module for format_ in file.export for module in FORMATS[format_].needs):
            require(module, extra="export")

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


def _ends(ranges: Mapping[str, list]) -> list[Job]:
    """Trials in which each end and each choice of every range comes up."""
    count = max(map(len, ranges.values()), default=1)
    return [
        Job(f"trial {number}", fields={name: ends[min(number, len(ends) - 1)] for name, ends in ranges.items()})
        for number in range(count)
    ]
