"""Run energy: the inference energy of a finished run's two models, measured on this machine and put into its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from . import report
from .energy import check_country
from .errors import InputError
from .inference_energy import BLOCKS, check_seconds, compare_inference
from .opening import open_classifier
from .run_directory import RunDirectory


def measure_run(path: str | Path, *, country: str | None, seconds: float, console: Console):
    """Measure what predictions of both models draw, in calls of the size of the first latency row.

    Args:
        path: a finished run; its compression.json is written anew, with `inference`.
        country: ISO 3166 alpha-3 code for grams of CO2; None measures kWh alone.
        seconds: for each model.
        console: where progress goes.

    Returns:
        The report with what was found.

    Raises:
        InputError: no finished run there, too few seconds, an unknown country, or codecarbon is not installed.
    """
    check_country(country)
    check_seconds(seconds)
    run = RunDirectory(Path(path).expanduser())
    if not (run.report.is_file() and run.baseline.is_dir() and run.compressed.is_dir()):
        raise InputError(f"{path} holds no finished run; name the output_dir of trainer-ext compress.")
    numbers = report.load(run.root)
    if not numbers.latency:
        raise InputError(f"{run.report} has no latency row, so it is not known what size a call has; run it again.")
    models = [
        open_classifier(folder, option="The model", way_out="name a finished run").eval()
        for folder in (run.baseline, run.compressed)
    ]
    cost = (numbers.training or report.Pair()).compressed or report.TrainingCost()
    with Progress(console=console) as progress:
        bar = progress.add_task("energy", total=len(models) * BLOCKS)
        found = compare_inference(
            *models,
            batch_size=numbers.latency[0].batch_size,
            sequence_length=numbers.latency[0].sequence_length,
            extra_training_kwh=cost.energy_kwh,
            seconds=seconds,
            country=country,
            on_block=lambda: progress.advance(bar),
        )
    numbers = replace(numbers, inference=found)
    report.save(numbers, run.root)
    return numbers
