"""Collect the numbers of a sweep: quality of exported files, times and energy of all models, and the rows of the table.

Nothing can be timed well while runs train side by side. So the times in the tables are measured at the end, when nothing
else runs, with all models taking turns with their baseline.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from .. import report
from ..benchmark.energy import BLOCKS, measure_inference
from ..benchmark.runner import benchmark
from ..benchmark.size import random_inputs
from ..benchmark.tables import machine, merged, report_rows
from ..callbacks import training_energy
from ..errors import InputError
from ..export.formats import FORMATS
from ..export.source import open_source
from ..export.verify import answers_to, judged_split, run_model
from ..models.loading import load_model
from ..models.runtimes import open_runtime
from ..pipeline.recipe import Recipe
from ..report.io import decode, encode
from ..report.run_directory import RunDirectory
from ..report.schema import AGREEMENT, EXPORT_RUNTIMES, CompressionReport, Latency, Quality
from ..tasks.dataset import HOLDOUT
from ..tasks.evaluate import Answers, compare_on
from ..utils.files import write_json
from ..utils.progress import progress_bar
from .config import Job
from .results import BASELINE, SweepRow
from .storage import VARIANTS, SweepDirectory, link_tree

T = TypeVar("T")
MODELS_AT_ONCE = 8  # in memory, the baseline among them
REPEATS = 30


def required(value: T | None, name: str) -> T:
    """Return a value that every finished run has.

    Raises:
        InputError: It is None.
    """
    if value is None:
        raise InputError(f"A finished run has no {name}; remove the folder of that run and start the sweep again.")
    return value


@dataclass(frozen=True)
class JudgedExport:
    """The quality of one exported file, as `variants.json` holds it."""

    format: str  # a name of `export.FORMATS`
    part: str  # `compressed`, or `baseline` for the effect of int8 alone
    path: str  # of the file, relative to the run
    bytes: int  # of all files that the format needs
    qualities: list[Quality]  # compared with the baseline in PyTorch, on the first test set and on the held-out rows
    # over the median time of the baseline in PyTorch fp32, by shape; empty if it was not timed
    speedup: dict[str, float] = field(default_factory=dict)


def evaluate_exports(
    run: RunDirectory,
    part: str,
    formats: Sequence[str],
    on_rows: Callable[[int], None],
    *,
    answers: Answers | None = None,
) -> list[JudgedExport]:
    """Compare the exported files of a model with the baseline of its run, row by row.

    Args:
        run: a finished run with these exports.
        part: `compressed` or `baseline`.
        formats: names of `export.FORMATS`.
        on_rows: called with the number of rows after each batch that is computed.
        answers: those of the run that are known, as `compress` and `export` gave them; those of the baseline that are
            computed here are added. None to compute all.
    """
    if not formats:
        return []
    known: Answers = {} if answers is None else answers
    source = open_source(run.root / part)
    data = required(source.data, "data")
    first = judged_split(source)
    splits = [first, *(name for name in data.tests if name == HOLDOUT and name != first)]
    missing = [split for split in splits if (run.baseline.name, split) not in known]
    baseline = open_source(run.baseline) if missing and part != run.baseline.name else source
    for split in missing:
        known[run.baseline.name, split] = answers_to(baseline, split, run_model(baseline), on_rows=on_rows)
    compare = partial(compare_on, task=source.task, args=source.args, labels=data.labels)
    found = []
    for name in formats:
        files = FORMATS[name].files(source.folder)
        path = str(files[-1].relative_to(run.root))
        own = {split: known[path, split] for split in splits if (path, split) in known}
        if len(own) < len(splits):
            runtime = open_runtime(files[-1])
            own |= {
                split: answers_to(source, split, runtime.run, on_rows=on_rows) for split in splits if split not in own
            }
        qualities = [
            compare(split, data.tests[split], known[run.baseline.name, split], own[split]) for split in splits
        ]
        found.append(JudgedExport(name, part, path, sum(file.stat().st_size for file in files), qualities))
    return found


def write_variants(file: Path, variants: Sequence[JudgedExport]) -> None:
    """Write the results of exported files; the file is never half written."""
    write_json(file, encode(list(variants)))


def read_variants(file: Path) -> list[JudgedExport]:
    """Return what `write_variants` wrote.

    Raises:
        InputError: The file is damaged.
    """
    try:
        return decode(list[JudgedExport], json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); remove it and start the sweep again.") from error


@dataclass
class Times:
    """The measurements of one model or file; dictionaries are by shape, such as `32 x 64`."""

    speedup: dict[str, float] = field(default_factory=dict)
    ideal_speedup: dict[str, float] = field(default_factory=dict)
    median_ms: dict[str, float] = field(default_factory=dict)
    memory_mib: float | None = None
    kwh_per_1000: float | None = None
    g_per_1000: float | None = None
    report: list[Latency] = field(default_factory=list)  # the same times, for the report of the run


def time_variants(
    run: RunDirectory, recipe: Recipe, variants: Sequence[JudgedExport], *, console: Console
) -> list[JudgedExport]:
    """Return the exported files of one run with their speed-ups, timed beside its baseline."""
    times, _ = _time([run.baseline, run.compressed], recipe, memory=False, console=console)
    return [replace(one, speedup=times[str(run.root / one.path)].speedup) for one in variants]


def time_all(
    baseline: Path, models: Sequence[Path], recipe: Recipe, *, memory: bool = True, console: Console
) -> tuple[dict[str, Times], str]:
    """Time every model and its exported files, a few models at once, taking turns with the baseline.

    Args:
        baseline: folder of the model that the others are compared with.
        models: folders of the others.
        recipe: gives the shapes.
        memory: whether to measure peak memory too, in a process of its own for each.
        console: shows progress.

    Returns:
        The measurements by path of the folder or file, and one line about the machine.
    """
    found: dict[str, Times] = {}
    about = ""
    step = MODELS_AT_ONCE - 1
    for start in range(0, max(len(models), 1), step):
        times, line = _time([baseline, *models[start : start + step]], recipe, memory=memory, console=console)
        found |= times
        about = about or line
    return found, about


def _time(folders: Sequence[Path], recipe: Recipe, *, memory: bool, console: Console) -> tuple[dict[str, Times], str]:
    options = recipe.model
    shapes = [(size, options.latency_sequence_length) for size in options.latency_batch_sizes]
    results = benchmark(
        [str(folder) for folder in folders], shapes=shapes, repeats=REPEATS, memory=memory, console=console
    )
    found = {size.entry.path: Times() for size in results.sizes}
    for size in results.sizes:
        if size.memory is not None:
            found[size.entry.path].memory_mib = size.memory.peak / 2**20
    for row in results.rows:
        shape, times = f"{row.batch_size} x {row.sequence_length}", found[row.entry.path]
        times.speedup[shape], times.median_ms[shape] = row.speedup, row.median_ms
        if row.ideal_speedup:
            times.ideal_speedup[shape] = row.ideal_speedup
    first = results.rows[0].entry
    for path, times in found.items():
        pair = [row for row in results.rows if row.entry == first or row.entry.path == path]
        times.report = report_rows(replace(results, rows=pair)) if path != first.path else []
    return found, machine(results)


def measure_energy(times: Mapping[str, Times], folders: Sequence[Path], recipe: Recipe, *, console: Console) -> bool:
    """Measure the energy of a thousand predictions of each PyTorch model.

    Args:
        times: receives the numbers, by folder; the grams stay None without a country.
        folders: of the models.
        recipe: gives the shape (its first batch size), the seconds per model and the country.
        console: shows progress.

    Returns:
        Whether any number is estimated because the processor has no energy counter.
    """
    options, estimated = recipe.model, False
    with progress_bar(console=console) as progress:
        bar = progress.add_task("energy", total=len(folders) * BLOCKS)
        for start in range(0, len(folders), MODELS_AT_ONCE):
            models = {
                str(folder): load_model(folder, option="The model", way_out="run the sweep again").eval()
                for folder in folders[start : start + MODELS_AT_ONCE]
            }
            # Token ids that all models have: a trimmed vocabulary is smaller.
            smallest = min(models.values(), key=lambda model: model.get_input_embeddings().weight.shape[0])
            length, size = options.latency_sequence_length, options.latency_batch_sizes[0]
            measured = measure_inference(
                models,
                [random_inputs(smallest, size, sequence_length=length)],
                seconds=options.energy_seconds,
                country=options.energy_country,
                on_block=lambda: progress.advance(bar),
            )
            for name, energy in measured.items():
                about, kwh = energy.blocks[0][0], energy.kwh_per_1000
                times[name].kwh_per_1000 = kwh
                times[name].g_per_1000 = None if about.grid_g_per_kwh is None else kwh * about.grid_g_per_kwh
                estimated = estimated or about.estimated
    return estimated


def rows_of(directory: SweepDirectory, job: Job) -> dict[str, SweepRow]:
    """Return the rows of a finished run, by path: its model in PyTorch, and each exported file."""
    run = directory.run(job)
    numbers = report.load(run.root)
    cost = numbers.training.compressed if numbers.training else None
    cost = cost or report.TrainingCost()
    row = SweepRow(
        name=job.name,
        settings=job.settings,
        seed=numbers.seed,
        sparsity=numbers.sparsity.achieved if numbers.sparsity else 0.0,
        parameters=required(required(numbers.parameters, "parameters").compressed, "parameters").total,
        bytes=required(numbers.bytes, "size").compressed,
        train_seconds=cost.seconds,
        train_kwh=cost.energy_kwh,
        train_g=cost.emissions_g,
        speedup=_by_shape(numbers, "speedup"),
        ideal_speedup=_by_shape(numbers, "ideal_speedup"),
        folder=job.folder if run.compressed.is_dir() else "",
    )
    in_torch = _with_quality(row, [required(numbers.quality, "quality"), *numbers.other_quality])
    return {str(run.compressed): in_torch} | _exported_rows(run, "compressed", row)


def baseline_rows(directory: SweepDirectory, job: Job, name: str = BASELINE) -> dict[str, SweepRow]:
    """Return the rows of the baseline of a finished run, by path: in PyTorch, and its exported files if the run has any.

    Args:
        directory: of the sweep.
        job: the run.
        name: of the baseline, if there are several.
    """
    run = directory.run(job)
    numbers = report.load(run.root)
    log = json.loads(run.log("baseline").read_text(encoding="utf-8"))
    kwh, grams = training_energy(log["log_history"])
    shapes = _by_shape(numbers, "speedup")
    row = SweepRow(
        name=name,
        seed=numbers.seed,
        sparsity=0.0,
        parameters=required(required(numbers.parameters, "parameters").baseline, "parameters").total,
        bytes=required(numbers.bytes, "size").baseline,
        train_seconds=log["seconds"],
        train_kwh=kwh,
        train_g=grams,
        speedup=dict.fromkeys(shapes, 1.0),
        ideal_speedup=dict.fromkeys(shapes, 1.0),
    )
    quality = required(numbers.quality, "quality")
    own = quality.metric == AGREEMENT  # without labels: it agrees with itself
    value, low, high = (1.0, 1.0, 1.0) if own else _scored(quality, quality.baseline)
    in_torch = replace(
        row, split=quality.split, rows=quality.rows, metric=quality.metric, value=value, low=low, high=high
    )
    return {str(run.baseline): in_torch} | _exported_rows(run, "baseline", row)


def with_times(row: SweepRow, times: Times | None) -> SweepRow:
    """Return a row with the times that were measured when nothing else ran; what was not measured stays."""
    found = {name: value for name, value in vars(times or Times()).items() if value and name != "report"}
    return replace(row, **found)


def objectives(directory: SweepDirectory, job: Job) -> list[float]:
    """Return what Optuna maximizes: quality on the held-out rows (or else the test set), and the last speed-up.

    Without labels, quality is the agreement with the baseline.
    """
    numbers = report.load(directory.run(job).root)
    quality = required(numbers.quality, "quality")
    judged = {part.split: part for part in (quality, *numbers.other_quality)}.get(HOLDOUT, quality)
    value, _, _ = _scored(judged, judged.compressed)
    return [value, required(numbers.latency[-1].speedup, "speed-up")]


def write_latency(directory: SweepDirectory, job: Job, rows: Sequence[Latency]) -> None:
    """Put these times into the report of a run, in place of those measured while others trained."""
    run = directory.run(job)
    numbers = report.load(run.root)
    report.save(replace(numbers, latency=merged(numbers.latency, list(rows))), run.root)


def keep_best(directory: SweepDirectory, job: Job) -> None:
    """Make best/ a copy of the chosen run, by hard links where possible."""
    if directory.best.is_dir():
        shutil.rmtree(directory.best)
    link_tree(directory.run(job).root, directory.best)


def summary_line(numbers: CompressionReport) -> str:
    """Return the quality and the speed-up of a finished run in one line."""
    quality, speed = required(numbers.quality, "quality"), numbers.latency[-1]
    row = _with_quality(SweepRow(""), [quality])
    interval = "" if row.difference_low is None else f" [{row.difference_low:+.3f}, {row.difference_high:+.3f}]"
    change = "" if row.difference is None else f", {row.difference:+.3f}{interval}"
    rows = quality.split if row.is_agreement else f"{quality.split} rows"
    return f"{quality.metric} {row.value:.3f}{change} on {quality.rows:,} {rows}; {speed.speedup:.2f}x"


def _by_shape(numbers: CompressionReport, name: str) -> dict[str, float]:
    """Return one number of the model in PyTorch for each shape that was timed."""
    rows = [one for one in numbers.latency if one.runtime == "torch" and getattr(one, name) is not None]
    return {f"{one.batch_size} x {one.sequence_length}": getattr(one, name) for one in rows}


def _exported_rows(run: RunDirectory, part: str, row: SweepRow) -> dict[str, SweepRow]:
    """Return the rows of the exported files of one model; `row` is that of the model in PyTorch."""
    found = {}
    for one in read_variants(run.root / VARIANTS):
        if one.part == part:
            runtime, precision = EXPORT_RUNTIMES[one.format]
            bare = replace(row, runtime=runtime, precision=precision, bytes=one.bytes, speedup=one.speedup)
            found[str(run.root / one.path)] = _with_quality(replace(bare, ideal_speedup={}), one.qualities)
    return found


def _with_quality(row: SweepRow, qualities: Sequence[Quality]) -> SweepRow:
    """Return a row with its quality: the first split, and the held-out rows if they are among the splits."""
    first = qualities[0]
    value, low, high = _scored(first, first.compressed)
    difference = report.Difference() if first.metric == AGREEMENT else required(first.difference, "difference")
    worse, better = difference.ci95 or (None, None)
    holdout = None
    held = {one.split: one for one in qualities}.get(HOLDOUT)
    if held is not None and held.difference is not None and held.difference.ci95:
        middle = required(held.difference.main, "difference")
        holdout = dict(zip(("difference", "low", "high"), (middle, *held.difference.ci95), strict=True))
        holdout["rows"] = held.rows
        there, _, upper = _scored(held, held.compressed)
        holdout |= {"value": there} | ({} if upper is None else {"value_high": upper})
    return replace(
        row,
        split=first.split,
        rows=first.rows,
        metric=first.metric,
        value=value,
        low=low,
        high=high,
        difference=difference.main,
        difference_low=worse,
        difference_high=better,
        holdout=holdout,
    )


def _scored(quality: Quality, scores: report.Scores | None) -> tuple[float, float | None, float | None]:
    """Return the main metric of one of the models with its interval; without labels how often both models agree."""
    if quality.metric == AGREEMENT:
        return required(quality.agreement, "agreement"), *(quality.agreement_ci95 or (None, None))
    scores = required(scores, "quality")
    return scores.by_name[quality.metric], *scores.ci95.get(quality.metric, (None, None))
