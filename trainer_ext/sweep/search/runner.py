"""Search for the smallest, fastest or best model that a goal allows, in as few runs as possible.

The next run follows from the results alone (planner.py), so a killed search continues where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ...errors import InputError, one_line
from ...pipeline.baseline import open_baseline
from ...pipeline.recipe import recipe_fields
from ...pipeline.recipe_file import read_values, read_words
from ...pipeline.text_length import with_length
from ...report.schema import EXPORT_RUNTIMES
from ...utils.imports import require
from ...vocabulary.trim import BEFORE
from ..collect import baseline_rows, required, rows_of
from ..config import Job, SweepFile
from ..group import Group
from ..results import BASELINE, SweepResult, SweepRow, difference_of
from ..rivals import check_rivals
from ..runner import finish, run_source
from ..study import EXTRA, GridSource, open_study
from .goal import OPTIONS, Finished, Goal, Kind, Variant
from .planner import MOST_RUNS, NextRun, Stop, next_step, space_for
from .space import Candidate, Space, facts_of

HOLDOUT_SHARE = 0.15


def search(
    recipe: Path,
    kind: Kind,
    value: float,
    *,
    sure: bool = False,
    most_runs: int = MOST_RUNS,
    words: Sequence[str] = (),
    scale: str | None = None,
    storage: str | None = None,
    command: str | None = None,
    rivals: bool = False,
    console: Console | None = None,
) -> tuple[Path, SweepResult]:
    """Search for a model, one run after the other, and measure all that were trained.

    Args:
        recipe: what to compress, and on which texts.
        kind: `smallest`, `fastest` or `best`.
        value: points that may be lost; for `best` the speed-up to reach.
        sure: whether the whole interval must be within the points.
        most_runs: limit of runs.
        words: `["--field", "value", ...]`, overriding the recipe.
        scale: the name of one of its scales.
        storage: URL of Optuna's storage.
        command: the command line, without private values.
        rivals: whether to compare the baseline with classifiers that are no transformers.
        console: shows progress.

    Returns:
        `(folder, result)`; the notes of the result say why the search stopped.

    Raises:
        InputError: The search cannot work as given; this is found before any run starts.
    """
    console = console or Console(stderr=True)
    goal = Goal(kind, speedup=value, sure=sure) if kind == "best" else Goal(kind, points=value, sure=sure)
    if most_runs < 1:
        raise InputError(f"--max-runs must be 1 or more, got {most_runs}.")
    require("optuna", extra=EXTRA)
    known = recipe_fields()
    own = read_values(Path(recipe), known, scale) | read_words(words, known)
    fields = {} if own.get("holdout_share") or own.get("texts") else {"holdout_share": HOLDOUT_SHARE}
    file = SweepFile(Path(recipe), Path(recipe), fields=fields, export=[_int8_format()])
    group = Group(file, "", words, scale, command, console)
    if group.recipe.data.texts is not None and group.recipe.data.data_dir:
        raise InputError(
            f"{OPTIONS[kind]} with texts judges by the answers to texts that are held out, never by a test set: leave data_dir and "
            "test_file out; or leave texts out, and give a data_dir with labelled train files."
        )
    if group.common.get("vocab_when") == BEFORE:
        raise InputError(
            f"vocab_when=before: {OPTIONS[kind]} tries sizes of the vocabulary against one baseline with all tokens; leave it out, or "
            "make a smaller model with `trainer-ext trim` and give that as model_name_or_path."
        )
    if rivals:
        check_rivals(group.recipe)
    group.check_models()
    space = _space(group, goal)
    group.begin(goal=goal)
    directory = group.directory
    study = open_study(directory, storage, name=group.study_name)
    console.rule(Text(f"{file.path.name}: {goal.words}, at most {most_runs} runs"))
    jobs: list[Job] = []
    failed: dict[str, str] = {}
    results: list[Finished] = []
    while isinstance(step := next_step(goal, space, results, most_runs), NextRun):
        job = _job(step.candidate)
        console.print(Text(f"Run {len(jobs) + 1}: {step.candidate.words}. {step.why}"))
        jobs.append(job)
        group.jobs = jobs
        if not directory.is_finished(job):
            failed |= run_source(group, GridSource([job], directory, study), 1, total=len(jobs), timed=True)
        results = _results(group, space, failed)
    console.print(Text(f"Stopped: {step.reason}"))
    done = [job for job in jobs if directory.is_finished(job)]
    notes = [f"{OPTIONS[kind]} {value:g}: stopped after {len(jobs)} runs: {step.reason}"]
    if group.recipe.data.texts is not None:
        notes.append(
            "There were no labels: the points are those of held-out texts that are answered as by the baseline."
        )

    def choice(rows: Sequence[SweepRow]) -> tuple[SweepRow, str] | None:
        return _chosen(step, rows)

    return directory.root, finish(group, done, failed, workers=1, choice=choice, notes=notes, rivals=rivals)


def _int8_format() -> str:
    """Return the int8 format whose runtime is installed: OpenVINO's, or else ONNX's.

    Raises:
        InputError: Neither is installed.
    """
    try:
        for module in ("openvino", "nncf"):
            require(module, extra="export")
        return "openvino-int8"
    except InputError:
        require("onnxruntime", extra="export")
        return "onnx-int8"


def _space(group: Group, goal: Goal) -> Space:
    """Return the candidates, from the baseline as it will be and the texts that it is trained on."""
    model, tokenizer, data, _ = open_baseline(group.recipe)
    try:
        recipe = with_length(group.recipe, tokenizer)
        facts = facts_of(model, tokenizer, data, recipe, runtimes=("torch", *group.file.export))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(one_line(error, most=400)) from error
    return space_for(goal, facts)


def _job(candidate: Candidate) -> Job:
    settings = {
        "gone": f"{100 * candidate.strength:.0f} %",
        "layers dropped": str(candidate.layers),
        "method": str(candidate.fields.get("prune_method")),
        "tokens": str(candidate.fields.get("vocab_size", "all")),
    }
    return Job(candidate.name, settings, candidate.fields)


def _results(group: Group, space: Space, failed: dict[str, str]) -> list[Finished]:
    """Return every run that has ended, and the exported baseline, as the planner reads them."""
    found = []
    finished = [job for job in group.jobs if group.directory.is_finished(job)]
    for job in group.jobs:
        candidate = space.candidates[job.name]
        if job in finished:
            found.append(Finished(candidate, _variants(rows_of(group.directory, job).values())))
        elif job.name in failed:
            found.append(Finished(candidate, error=failed[job.name]))
    if finished:
        rows = baseline_rows(group.directory, finished[0]).values()
        found.append(Finished(space.baseline, _variants(row for row in rows if row.runtime != "torch")))
    return found


def _variants(rows: Iterable[SweepRow]) -> tuple[Variant, ...]:
    """Return the measurements of a run; speed-ups are those of the recipe's last batch size."""
    formats = {runtime: name for name, runtime in EXPORT_RUNTIMES.items()}
    found = []
    for row in rows:
        difference, low, high = required(difference_of(row), "interval of the difference")
        count = row.holdout["rows"] if row.holdout else required(row.rows, "rows")
        runtime = formats.get((row.runtime, row.precision), "torch")
        speedup = list(row.speedup.values())[-1]
        found.append(Variant(runtime, required(row.bytes, "size"), speedup, difference, low, high, int(count)))
    return tuple(found)


def _chosen(step: Stop, rows: Sequence[SweepRow]) -> tuple[SweepRow, str] | None:
    """Return the row of the planner's answer, with its verdict."""
    if step.best is None:
        return None
    runtime, precision = EXPORT_RUNTIMES.get(step.best.variant.runtime, ("torch", "fp32"))
    name = step.best.candidate.name if step.best.candidate.fields else BASELINE
    for row in rows:
        if (row.name, row.runtime, row.precision) == (name, runtime, precision):
            return row, f"{step.best.verdict.word} on the rows held out to choose by: it {step.best.variant.words}"
    return None
