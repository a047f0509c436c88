"""Sweep collect: the rows of a sweep, from the report of each run, what was judged of its files, and what was timed.

Sweep judge: exported files answer the same texts as the baseline, and what that is worth becomes paired quality.

Sweep times: all models of a sweep timed in one go, in turn with their baseline, with their memory and their energy.

While runs train side by side nothing can be timed well. So what the tables show is measured when everything is trained
and this is the only thing that runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from .. import report
from ..benchmark.energy import BLOCKS, measure_inference
from ..benchmark.runner import Benchmark, benchmark
from ..benchmark.size import random_inputs
from ..benchmark.tables import machine, merged, report_rows
from ..callbacks import training_energy
from ..errors import InputError
from ..export.formats import FORMATS
from ..export.source import ExportSource, open_source
from ..export.verify import answers_of, run_model
from ..models.loading import load_model
from ..models.runtimes import open_runtime
from ..pipeline.recipe import Recipe
from ..report import schema
from ..report.run_directory import RunDirectory
from ..report.schema import CompressionReport, Latency, Quality
from ..tasks.dataset import HOLDOUT, Data
from ..tasks.evaluate import compare_quality
from ..utils.files import write_json
from .config import Job
from .results import BASELINE, SweepRow
from .storage import VARIANTS, SweepDirectory, link_tree


@dataclass(frozen=True)
class JudgedExport:
    """One exported file of a run.

    Attributes:
        format: a name of `export.FORMATS`.
        part: `compressed`, or `baseline` for what int8 alone is worth.
        path: of the file, relative to the run.
        bytes: of all files that the format needs.
        qualities: against the baseline in PyTorch, on the first test set and on the rows held out.
        speedup: of the baseline's median time in PyTorch fp32, by shape; empty where it was not timed.
    """

    format: str
    part: str
    path: str
    bytes: int
    qualities: list[Quality]
    speedup: dict[str, float] = field(default_factory=dict)


def judge(run: RunDirectory, part: str, formats: Sequence[str], on_rows: Callable[[int], None]) -> list[JudgedExport]:
    """Quality of what was exported of one model, row by row against the baseline of the run.

    Args:
        run: a finished run with these exports.
        part: `compressed` or `baseline`.
        formats: names of `export.FORMATS`.
        on_rows: called with the number of rows after each batch.
    """
    if not formats:
        return []
    before, after = open_source(run.baseline), open_source(run.root / part)
    splits = judged_splits(after.data)
    expected = {split: _answers(before, split, run_model(before), on_rows) for split in splits}
    found = []
    for name in formats:
        format_ = FORMATS[name]
        runtime = open_runtime(after.folder / format_.file)
        qualities = []
        for split in splits:
            answers = _answers(after, split, runtime.run, on_rows)
            references = after.task.references(list(after.data.tests[split]["label"]), after.data.labels)
            options = {"task": after.task, "args": after.args, "labels": after.data.labels}
            qualities.append(compare_quality(split, expected[split], answers, references, **options))
        files = format_.files(after.folder)
        path = str(files[-1].relative_to(run.root))
        found.append(JudgedExport(name, part, path, sum(file.stat().st_size for file in files), qualities))
    return found


def judged_splits(data: Data) -> list[str]:
    """The test set that is reported first, and the rows to choose by where some were held out."""
    first = next(iter(data.tests))
    return [first, *(name for name in data.tests if name == HOLDOUT and name != first)]


def write_variants(file: Path, variants: Sequence[JudgedExport]) -> None:
    """Write them down, whole or not at all."""
    write_json(file, schema.encode(list(variants)))


def read_variants(file: Path) -> list[JudgedExport]:
    """What `write_variants` wrote.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return schema.decode(list[JudgedExport], json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); remove it, and its run is judged again.") from error


def _answers(source: ExportSource, split: str, run: Callable, on_rows: Callable[[int], None]):
    encoded = source.encoded.tests[split]
    logits = answers_of(source, encoded, run, on_rows=on_rows)
    return source.task.answer(logits, encoded, source.data.tests[split], source.data.labels, source.args)


AT_ONCE = 8  # models that are in memory together, the baseline always among them
REPEATS = 30


@dataclass
class Times:
    """What was measured of one model or file, by shape such as `32 x 64`."""

    speedup: dict[str, float] = field(default_factory=dict)
    ideal_speedup: dict[str, float] = field(default_factory=dict)
    median_ms: dict[str, float] = field(default_factory=dict)
    memory_mib: float | None = None
    kwh_per_1000: float | None = None
    g_per_1000: float | None = None
    report: list[Latency] = field(default_factory=list)  # the same as the report of a run states it


def time_variants(run: RunDirectory, recipe: Recipe, variants: Sequence[JudgedExport], *, console: Console):
    """The exported files of one run beside its baseline, at the shapes of the recipe.

    Returns:
        The variants with their speed-ups.
    """
    times, _ = _time([run.baseline, run.compressed], _shapes(recipe), memory=False, console=console)
    return [replace(one, speedup=times[str(run.root / one.path)].speedup) for one in variants]


def time_all(
    baseline: Path, models: Sequence[Path], recipe: Recipe, *, memory: bool = True, console: Console
) -> tuple[dict[str, Times], str]:
    """Every model and every exported file beside it, a few at a time, each time in turn with the baseline.

    Args:
        baseline: folder of the model that the others are compared with.
        models: folders of the others.
        recipe: says the shapes.
        memory: whether peak memory is measured too, in a process of its own for each.
        console: where progress goes.

    Returns:
        `(times, machine)`: what was measured by the path of the folder or file, and on what, in one line.
    """
    found: dict[str, Times] = {}
    line = ""
    chunks = [models[start : start + AT_ONCE - 1] for start in range(0, len(models), AT_ONCE - 1)] or [[]]
    for chunk in chunks:
        times, about = _time([baseline, *chunk], _shapes(recipe), memory=memory, console=console)
        found |= times
        line = line or about
    return found, line


def energy_of(
    folders: Sequence[Path], recipe: Recipe, *, console: Console
) -> tuple[dict[str, tuple[float, float | None]], bool]:
    """Kilowatt-hours and grams of CO2 of a thousand predictions of each PyTorch model.

    Args:
        folders: of the models.
        recipe: says the shape (its first batch size), the seconds of each and the country.
        console: where progress goes.

    Returns:
        `(energy, estimated)`: by folder, grams None without a country; and whether no counter could be read.
    """
    options, found, estimated = recipe.model, {}, False
    with Progress(console=console) as progress:
        bar = progress.add_task("energy", total=len(folders) * BLOCKS)
        for start in range(0, len(folders), AT_ONCE):
            models = {
                str(folder): load_model(folder, option="The model", way_out="run the sweep again").eval()
                for folder in folders[start : start + AT_ONCE]
            }
            # Tokens that all have: a trimmed vocabulary is the smaller one.
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
                about = energy.blocks[0][0]
                grams = None if about.grid_g_per_kwh is None else energy.kwh_per_1000 * about.grid_g_per_kwh
                found[name], estimated = (energy.kwh_per_1000, grams), estimated or about.estimated
    return found, estimated


def _shapes(recipe: Recipe) -> list[tuple[int, int]]:
    return [(size, recipe.model.latency_sequence_length) for size in recipe.model.latency_batch_sizes]


def _time(folders: Sequence[Path], shapes, *, memory: bool, console: Console) -> tuple[dict[str, Times], str]:
    results: Benchmark = benchmark(
        [str(folder) for folder in folders], shapes=shapes, repeats=REPEATS, memory=memory, console=console
    )
    found: dict[str, Times] = {size.entry.path: Times() for size in results.sizes}
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


EXPORT_RUNTIMES = {
    "onnx": ("onnxruntime", "fp32"),
    "onnx-int8": ("onnxruntime", "int8"),
    "openvino": ("openvino", "fp32"),
    "openvino-int8": ("openvino", "int8"),
}


def rows_of(place: SweepDirectory, job: Job) -> list[SweepRow]:
    """The rows of one finished run: its model in PyTorch, and each exported file of it.

    Args:
        place: where it lies.
        job: the run.
    """
    run = place.run(job)
    numbers, variants = report.load(run.root), read_variants(run.root / VARIANTS)
    kept = job.folder if run.compressed.is_dir() else ""
    cost = numbers.training.compressed if numbers.training else report.TrainingCost()
    row = SweepRow(
        name=job.name,
        settings=job.settings,
        seed=numbers.seed,
        sparsity=numbers.sparsity.achieved if numbers.sparsity else 0.0,
        parameters=numbers.parameters.compressed.total,
        bytes=numbers.bytes.compressed,
        train_seconds=cost.seconds,
        train_kwh=cost.energy_kwh,
        train_g=cost.emissions_g,
        speedup=_by_shape(numbers, "speedup"),
        ideal_speedup=_by_shape(numbers, "ideal_speedup"),
        folder=kept,
    )
    rows = [_with_quality(row, [numbers.quality, *numbers.other_quality])]
    for one in (one for one in variants if one.part == "compressed"):
        rows.append(_with_quality(_exported(row, one), one.qualities))
    return rows


def baseline_rows(place: SweepDirectory, job: Job) -> list[SweepRow]:
    """The rows of the baseline, as a finished run has it: in PyTorch, and its exported files if this run has them."""
    run = place.run(job)
    numbers, variants = report.load(run.root), read_variants(run.root / VARIANTS)
    log = json.loads(run.log("baseline").read_text(encoding="utf-8"))
    kwh, grams = training_energy(log["log_history"])
    shapes = _by_shape(numbers, "speedup")
    row = SweepRow(
        name=BASELINE,
        seed=numbers.seed,
        sparsity=0.0,
        parameters=numbers.parameters.baseline.total,
        bytes=numbers.bytes.baseline,
        train_seconds=log["seconds"],
        train_kwh=kwh,
        train_g=grams,
        speedup=dict.fromkeys(shapes, 1.0),
        ideal_speedup=dict.fromkeys(shapes, 1.0),
    )
    compare_quality = numbers.quality
    low, high = compare_quality.baseline.ci95.get(compare_quality.metric, (None, None))
    about = {"split": compare_quality.split, "rows": compare_quality.rows, "metric": compare_quality.metric}
    first = replace(row, value=compare_quality.baseline.by_name[compare_quality.metric], low=low, high=high, **about)
    return [
        first,
        *(_with_quality(_exported(row, one), one.qualities) for one in variants if one.part == "baseline"),
    ]


def with_times(rows: Sequence[SweepRow], paths: Sequence[str], times: Mapping[str, Times]) -> list[SweepRow]:
    """The same rows with what was timed when nothing else ran.

    Args:
        rows: of the sweep.
        paths: of the folder or file of each row.
        times: by path; what is missing there keeps what it has.
    """
    found = []
    for row, path in zip(rows, paths, strict=True):
        measured = times.get(path)
        found.append(
            replace(row, **{k: v for k, v in vars(measured).items() if v and k != "report"}) if measured else row
        )
    return found


def path_of(place: SweepDirectory, job: Job, row: SweepRow) -> str:
    """The folder of a model in PyTorch, or the exported file of another row."""
    run = place.run(job)
    part = "baseline" if row.name == BASELINE else "compressed"
    if row.runtime == "torch":
        return str(run.root / part)
    variants = read_variants(run.root / VARIANTS)
    kind = (row.runtime, row.precision)
    return next(
        str(run.root / one.path) for one in variants if one.part == part and EXPORT_RUNTIMES[one.format] == kind
    )


def judged_by(place: SweepDirectory, job: Job) -> list[float]:
    """What a search looks at: quality on the rows to choose by, else on the test set, and the last speed-up."""
    numbers = report.load(place.run(job).root)
    parts = {part.split: part for part in (numbers.quality, *numbers.other_quality)}
    part = parts.get(HOLDOUT, numbers.quality)
    return [part.compressed.by_name[part.metric], numbers.latency[-1].speedup]


def write_latency(place: SweepDirectory, job: Job, rows: Sequence[Latency]) -> None:
    """Into the report of a run, instead of what was timed while others trained."""
    run = place.run(job)
    numbers = report.load(run.root)
    report.save(replace(numbers, latency=merged(numbers.latency, rows)), run.root)


def keep_best(place: SweepDirectory, job: Job) -> None:
    """The chosen run once more as best/, whole, so that it can be pushed and shown; no disk is spent on it."""
    if place.best.is_dir():
        shutil.rmtree(place.best)
    link_tree(place.run(job).root, place.best)


def sentence(numbers: CompressionReport) -> str:
    """How a finished run did, in one line."""
    compare_quality, speed = numbers.quality, numbers.latency[-1]
    low, high = compare_quality.difference.ci95 or (None, None)
    words = f"{compare_quality.metric} {compare_quality.compressed.by_name[compare_quality.metric]:.3f}, {compare_quality.difference.main:+.3f}"
    words += "" if low is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{words} on {compare_quality.rows:,} {compare_quality.split} rows; {speed.speedup:.2f}x"


def _by_shape(numbers: CompressionReport, name: str) -> dict[str, float]:
    """One figure of the model in PyTorch for each shape that was timed."""
    rows = [one for one in numbers.latency if one.runtime == "torch" and getattr(one, name) is not None]
    return {f"{one.batch_size} x {one.sequence_length}": getattr(one, name) for one in rows}


def _exported(row: SweepRow, one: JudgedExport) -> SweepRow:
    runtime, precision = EXPORT_RUNTIMES[one.format]
    bare = replace(row, runtime=runtime, precision=precision, bytes=one.bytes, speedup=one.speedup)
    return replace(bare, ideal_speedup={}, median_ms={})


def _with_quality(row: SweepRow, qualities: Sequence[Quality]) -> SweepRow:
    parts = {part.split: part for part in qualities}
    first = qualities[0]
    low, high = first.compressed.ci95.get(first.metric, (None, None))
    worse, better = first.difference.ci95 or (None, None)
    held = parts.get(HOLDOUT)
    holdout = None
    if held is not None and held.difference.ci95:
        holdout = {
            "difference": held.difference.main,
            "low": held.difference.ci95[0],
            "high": held.difference.ci95[1],
            "rows": held.rows,
        }
    return replace(
        row,
        split=first.split,
        rows=first.rows,
        metric=first.metric,
        value=first.compressed.by_name[first.metric],
        low=low,
        high=high,
        difference=first.difference.main,
        difference_low=worse,
        difference_high=better,
        holdout=holdout,
    )
