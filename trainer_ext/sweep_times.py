"""Sweep times: all models of a sweep timed in one go, in turn with their baseline, with their memory and their energy.

While runs train side by side nothing can be timed well. So what the tables show is measured when everything is trained
and this is the only thing that runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from .benchmark import Benchmark, benchmark
from .benchmark_tables import machine, report_rows
from .inference_energy import BLOCKS, measure_inference
from .measure import random_inputs
from .opening import open_classifier
from .recipe import Recipe
from .report import Latency
from .run_directory import RunDirectory
from .sweep_judge import Variant

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


def time_variants(run: RunDirectory, recipe: Recipe, variants: Sequence[Variant], *, console: Console):
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
                str(folder): open_classifier(folder, option="The model", way_out="run the sweep again").eval()
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
