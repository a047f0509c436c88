"""Sweep collect: the rows of a sweep, from the report of each run, what was judged of its files, and what was timed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

from . import report
from .benchmark_tables import merged
from .data import HOLDOUT
from .emissions_callback import training_energy
from .report import CompressionReport, Latency, Quality
from .sweep_file import Job
from .sweep_judge import Variant, read_variants
from .sweep_place import VARIANTS, SweepPlace, link_tree
from .sweep_rows import BASELINE, SweepRow
from .sweep_times import Times

RUNTIMES = {
    "onnx": ("onnxruntime", "fp32"),
    "onnx-int8": ("onnxruntime", "int8"),
    "openvino": ("openvino", "fp32"),
    "openvino-int8": ("openvino", "int8"),
}


def rows_of(place: SweepPlace, job: Job) -> list[SweepRow]:
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


def baseline_rows(place: SweepPlace, job: Job) -> list[SweepRow]:
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
    quality = numbers.quality
    low, high = quality.baseline.ci95.get(quality.metric, (None, None))
    about = {"split": quality.split, "rows": quality.rows, "metric": quality.metric}
    first = replace(row, value=quality.baseline.by_name[quality.metric], low=low, high=high, **about)
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


def path_of(place: SweepPlace, job: Job, row: SweepRow) -> str:
    """The folder of a model in PyTorch, or the exported file of another row."""
    run = place.run(job)
    part = "baseline" if row.name == BASELINE else "compressed"
    if row.runtime == "torch":
        return str(run.root / part)
    variants = read_variants(run.root / VARIANTS)
    kind = (row.runtime, row.precision)
    return next(str(run.root / one.path) for one in variants if one.part == part and RUNTIMES[one.format] == kind)


def judged_by(place: SweepPlace, job: Job) -> list[float]:
    """What a search looks at: quality on the rows to choose by, else on the test set, and the last speed-up."""
    numbers = report.load(place.run(job).root)
    parts = {part.split: part for part in (numbers.quality, *numbers.other_quality)}
    part = parts.get(HOLDOUT, numbers.quality)
    return [part.compressed.by_name[part.metric], numbers.latency[-1].speedup]


def write_latency(place: SweepPlace, job: Job, rows: Sequence[Latency]) -> None:
    """Into the report of a run, instead of what was timed while others trained."""
    run = place.run(job)
    numbers = report.load(run.root)
    report.save(replace(numbers, latency=merged(numbers.latency, rows)), run.root)


def keep_best(place: SweepPlace, job: Job) -> None:
    """The chosen run once more as best/, whole, so that it can be pushed and shown; no disk is spent on it."""
    if place.best.is_dir():
        shutil.rmtree(place.best)
    link_tree(place.run(job).root, place.best)


def sentence(numbers: CompressionReport) -> str:
    """How a finished run did, in one line."""
    quality, speed = numbers.quality, numbers.latency[-1]
    low, high = quality.difference.ci95 or (None, None)
    words = f"{quality.metric} {quality.compressed.by_name[quality.metric]:.3f}, {quality.difference.main:+.3f}"
    words += "" if low is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{words} on {quality.rows:,} {quality.split} rows; {speed.speedup:.2f}x"


def _by_shape(numbers: CompressionReport, name: str) -> dict[str, float]:
    """One figure of the model in PyTorch for each shape that was timed."""
    rows = [one for one in numbers.latency if one.runtime == "torch" and getattr(one, name) is not None]
    return {f"{one.batch_size} x {one.sequence_length}": getattr(one, name) for one in rows}


def _exported(row: SweepRow, one: Variant) -> SweepRow:
    runtime, precision = RUNTIMES[one.format]
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
