"""Search: the smallest, the fastest or the best model that a goal allows, found in as few runs as it can.

What is run next, and when it ends, follows from the results alone (search_plan.py). So a search that was killed goes on
where it was: finished runs are read, not repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ...errors import InputError, one_line
from ...pipeline.baseline import open_baseline
from ...pipeline.recipe import recipe_fields
from ...pipeline.recipe_file import read_values, read_words
from ...utils.imports import require
from ..collect import EXPORT_RUNTIMES, baseline_rows, rows_of
from ..config import Job, SweepFile
from ..group import Group
from ..results import BASELINE, SweepResult, SweepRow, difference_of
from ..runner import finish, run_source
from ..study import EXTRA, GridSource, open_study
from .goal import OPTIONS, Finished, Goal, Variant
from .planner import NextRun, Stop, next_step, space_for
from .space import Candidate, Space, facts_of

HOLDOUT_SHARE = 0.15
INT8 = ("openvino-int8", "onnx-int8")  # the first that is installed


def search(
    recipe: Path,
    kind: str,
    value: float,
    *,
    sure: bool = False,
    most_runs: int = 12,
    words: Sequence[str] = (),
    scale: str | None = None,
    storage: str | None = None,
    command: str | None = None,
    console: Console | None = None,
) -> tuple[Path, SweepResult]:
    """Look for a model, one run after the other, and measure all that were tried.

    Args:
        recipe: what is compressed, and on which texts.
        kind: `smallest`, `fastest` or `best`.
        value: points that may be lost; of `best` the speed-up that is wanted.
        sure: accept only what the interval shows.
        most_runs: runs at most.
        words: `["--field", "value", ...]`, laid over the recipe.
        scale: one of its scales.
        storage: URL of Optuna's storage.
        command: the command line, as it may be published.
        console: where progress goes.

    Returns:
        `(folder, result)`; its notes say why the search stopped.

    Raises:
        InputError: something given cannot work; found before any run starts.
    """
    console = console or Console(stderr=True)
    goal = Goal(kind, sure=sure, **({"speedup": value} if kind == "best" else {"points": value}))
    if most_runs < 1:
        raise InputError(f"--max-runs must be 1 or more, got {most_runs}.")
    require("optuna", extra=EXTRA)
    known = recipe_fields()
    own = read_values(Path(recipe), known, scale) | read_words(words, known)
    fields = {} if own.get("holdout_share") else {"holdout_share": HOLDOUT_SHARE}
    file = SweepFile(Path(recipe), Path(recipe), fields=fields, export=[_int8()])
    group = Group(file, "", words, scale, command, console)
    space = _space(group, goal)
    group.begin({"goal": vars(goal)})
    study = open_study(group.place, storage, name=group.study_name)
    console.rule(Text(f"{file.path.name}: {goal.words}, at most {most_runs} runs"))
    jobs, failed, results = [], {}, []
    while isinstance(step := next_step(goal, space, results, most_runs), NextRun):
        job = _job(step.candidate)
        console.print(Text(f"Run {len(jobs) + 1}: {step.candidate.words}. {step.why}"))
        jobs.append(job)
        group.jobs = jobs
        if not group.place.is_finished(job):
            source = GridSource([job], group.place, study)
            failed |= run_source(group, source, 1, total=len(jobs), timed=True)
        results = _results(group, space, jobs, failed)
    console.print(Text(f"Stopped: {step.reason}"))
    done = [job for job in jobs if group.place.is_finished(job)]
    notes = [f"{OPTIONS[kind]} {value:g}: stopped after {len(jobs)} runs: {step.reason}"]

    def choice(rows: Sequence[SweepRow]) -> tuple[SweepRow, str] | None:
        return _chosen(step, rows)

    return group.place.root, finish(group, done, failed, workers=1, choice=choice, notes=notes)


def _int8() -> str:
    """The int8 format whose runtime is installed.

    Raises:
        InputError: neither is.
    """
    for name in INT8[:-1]:
        try:
            for module in ("openvino", "nncf"):
                require(module, extra="export")
            return name
        except InputError:
            continue
    require("onnxruntime", extra="export")
    return INT8[-1]


def _space(group: Group, goal: Goal) -> Space:
    """What may be tried, from the baseline as it will be and the texts that it is trained on."""
    model, tokenizer, data, _ = open_baseline(group.recipe)
    runtimes = ("torch", *group.file.export)
    try:
        return space_for(goal, facts_of(model, tokenizer, data, group.recipe, runtimes=runtimes))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(one_line(error, most=400)) from error


def _job(candidate: Candidate) -> Job:
    settings = {
        "gone": f"{100 * candidate.strength:.0f} %",
        "layers dropped": str(candidate.layers),
        "method": str(candidate.fields.get("prune_method")),
        "tokens": str(candidate.fields.get("vocab_size", "all")),
    }
    return Job(candidate.name, settings, candidate.fields)


def _results(group: Group, space: Space, jobs: Sequence[Job], failed: dict[str, str]) -> list[Finished]:
    """Every run that has ended, and the exported baseline, as the plan reads them."""
    found = []
    for job in jobs:
        candidate = space.candidates[job.name]
        if group.place.is_finished(job):
            found.append(Finished(candidate, _variants(group, rows_of(group.place, job))))
        elif job.name in failed:
            found.append(Finished(candidate, error=failed[job.name]))
    first = next((job for job in jobs if group.place.is_finished(job)), None)
    if first is not None:
        rows = [row for row in baseline_rows(group.place, first) if row.runtime != "torch"]
        found.append(Finished(space.baseline, _variants(group, rows)))
    return found


def _variants(group: Group, rows: Sequence[SweepRow]) -> tuple[Variant, ...]:
    """What was measured of a run; speed at the recipe's largest batch."""
    names = {kind: name for name, kind in EXPORT_RUNTIMES.items()}
    found = []
    for row in rows:
        difference, low, high = difference_of(row)
        count = int(row.holdout["rows"]) if row.holdout else row.rows
        runtime = names.get((row.runtime, row.precision), "torch")
        speed = list(row.speedup.values())[-1]
        found.append(Variant(runtime, row.bytes, speed, difference, low, high, count))
    return tuple(found)


def _chosen(step: Stop, rows: Sequence[SweepRow]) -> tuple[SweepRow, str] | None:
    """The row that the plan chose, with its verdict."""
    if step.best is None:
        return None
    runtime, precision = EXPORT_RUNTIMES.get(step.best.variant.runtime, ("torch", "fp32"))
    name = step.best.candidate.name if step.best.candidate.fields else BASELINE
    for row in rows:
        if (row.name, row.runtime, row.precision) == (name, runtime, precision):
            return row, f"{step.best.verdict.word} on the rows held out to choose by: it {step.best.variant.words}"
    return None
