"""Sweep child: one run of a sweep in a process of its own, so that what fails, hangs or dies takes nothing else along.

    python -m trainer_ext.sweep_child JOB.json PID_OF_THE_SWEEP

The exit status says how it ended: 0 finished, 1 a check failed, 2 bad input, 75 another process works on this run. A child
whose sweep is gone stops within a second, for nobody would record it: what it wrote is continued by the next start.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Diverged, InputError, one_line

BUSY = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True)
class ChildJob:
    """What a child is told.

    Attributes:
        root: of the sweep or group.
        folder: of the run below it.
        recipe: a YAML file with the resolved fields of the run.
        baseline: name of the folder of its baseline below `shared/`.
        baseline_recipe: a YAML file with the fields that the baseline is trained by.
        export: formats to write and judge.
        export_baseline: whether the same is done with the baseline: what int8 alone is worth.
        timed: whether exported files are timed at once, beside the baseline; a search decides by it.
        command: the command line of the sweep, for the report.
    """

    root: str
    folder: str
    recipe: str
    baseline: str
    baseline_recipe: str
    export: list[str] = field(default_factory=list)
    export_baseline: bool = False
    timed: bool = False
    command: str | None = None


def work(job: ChildJob) -> None:
    """Do one run to its end: baseline (if nobody has made it), compression, exports, judgement.

    Raises:
        InputError: something given cannot work.
        Busy: another process works on this run, or has finished it since this one was started.
    """
    from .sweep_file import Job
    from .sweep_place import Busy, SweepPlace

    place = SweepPlace(Path(job.root))
    with place.claim(job.folder):
        if place.is_finished(Job(job.folder)):
            raise Busy(job.folder)
        _baseline(place, job)
        _run(place, job)


def _baseline(place, job: ChildJob) -> None:
    """Train the shared baseline; who comes while another one does so waits for it."""
    from rich.console import Console

    from .compress import train_baseline
    from .recipe import read_recipe
    from .run_directory import RunDirectory
    from .sweep_place import Busy

    run = RunDirectory(place.shared / job.baseline)
    while not run.baseline.is_dir():
        try:
            with place.claim(f"{job.baseline}.training"):
                recipe = read_recipe(job.baseline_recipe)
                train_baseline(recipe, run, console=Console(stderr=True))
        except Busy:
            time.sleep(1)


def _run(place, job: ChildJob) -> None:
    from rich.console import Console

    from .compress import compress
    from .export import export
    from .recipe import read_recipe
    from .run_directory import RunDirectory, start_run
    from .sweep_judge import judge, write_variants
    from .sweep_place import VARIANTS, link_tree

    console = Console(stderr=True)
    recipe, shared = read_recipe(job.recipe), RunDirectory(place.shared / job.baseline)
    run = RunDirectory(place.root / job.folder)
    start_run(run, recipe.resolved)
    link_tree(shared.baseline, run.baseline)
    link_tree(shared.log("baseline").parent, run.log("baseline").parent)
    compress(recipe, resume=True, command=job.command, inference_energy=False, console=console)
    parts = ["compressed", *(["baseline"] if job.export_baseline else [])]
    variants = []
    for part in parts if job.export else []:
        # Whatever int8 loses is to be seen in the table, not refused.
        export(run.root / part, job.export, max_drop=1.0, force=True, console=console)
        variants += judge(run, part, job.export, on_rows=lambda rows: None)
    if job.timed:
        from .sweep_times import time_variants

        variants = time_variants(run, recipe, variants, console=console)
    write_variants(run.root / VARIANTS, variants)


def _leave_with_the_sweep(sweep: int) -> None:
    """End this process as soon as the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == sweep:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """Read the job, work, and say how it ended in the exit status and one last line."""
    from .quiet_logging import quiet

    _leave_with_the_sweep(int(arguments[1]))
    quiet()
    from .check import CheckFailed
    from .export_check import ExportRefused
    from .sweep_place import Busy

    values: dict[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        work(ChildJob(**values))
    except Busy:
        return BUSY
    except InputError as error:
        print(f"\n{one_line(error, most=1000)}", file=sys.stderr)
        return 2
    except (CheckFailed, Diverged, ExportRefused) as error:
        print(f"\n{one_line(error, most=1000)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
