"""Tables of sweeps for recipes/README.md: the number of the paper, our results at the small and at the full scale."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipes.tools.markdown import NOT_RUN, UNKNOWN, difference, per_cent, some, table, times, with_interval
from trainer_ext.errors import InputError
from trainer_ext.report.formatting import TITLES
from trainer_ext.sweep.output import JSON, read_sweep_json
from trainer_ext.sweep.results import SweepResult, SweepRow
from trainer_ext.utils.yaml import read_yaml

PUBLISHED = Path(__file__).parents[1] / "results" / "published.yaml"
NOT_PUBLISHED = "not published"
FULL, SMALL = "full", "small"
SECOND_ORDER = "second order"  # in a label: what goes was chosen by second order, which the paper has not


def scale_of(result: SweepResult) -> str:
    """Return the scale of a sweep; without `--scale` it is "full"."""
    return result.scale or FULL


def is_second_order(row: SweepRow) -> bool:
    """Return whether second order chose what was removed; a row says so in one of its labels only."""
    return any(SECOND_ORDER in label for label in row.settings.values())


def load_all(folder: Path) -> dict[str, SweepResult]:
    """Return all sweeps in a folder by the name of their files."""
    return {path.stem: read_sweep_json(path) for path in sorted(folder.glob("*.json"))}


def add(out: Path, name: str, folder: Path) -> list[str]:
    """Keep the result of a finished sweep, or of each of its groups.

    Args:
        out: The output folder of the sweep.
        name: Name of the result; group and scale are appended.
        folder: The folder of the results.

    Returns:
        The names of the results.

    Raises:
        InputError: The folder contains no finished sweep.
    """
    found = {name: out / JSON} if (out / JSON).is_file() else {}
    found = found or {f"{name}-{file.parent.name}": file for file in sorted(out.glob(f"*/{JSON}"))}
    if not found:
        raise InputError(f"There is no {JSON} in {out} or in its folders; give the folder of a finished sweep.")
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for title, file in found.items():
        names.append(f"{title}@{scale_of(read_sweep_json(file))}")
        shutil.copyfile(file, folder / f"{names[-1]}.json")
    return names


def published() -> dict[str, Any]:
    """Return the published numbers of others."""
    return read_yaml(PUBLISHED)


def tables(sweeps: Mapping[str, SweepResult]) -> str:
    """Return the tables of each sweep, and below them the machine, the command and notes.

    Args:
        sweeps: The results by name, `NAME-GROUP@SCALE`; the scales of one name share a table.
    """
    titles = list(dict.fromkeys(name.partition("@")[0] for name in sweeps))
    parts = []
    for title in titles:
        scales = {scale_of(one): one for name, one in sweeps.items() if name.partition("@")[0] == title}
        parts += [f"### {title}", _results(scales, files=False), _costs(scales)]
        parts += ["As files:", _results(scales, files=True)] if _titles(scales, files=True) else []
        parts += map(_about, scales.values())
    return "\n\n".join(parts) or f"No sweep: {NOT_RUN}."


def _results(scales: Mapping[str, SweepResult], *, files: bool) -> str:
    """Return quality and speed: of the models in PyTorch with the numbers of the paper, or of their exported files."""
    shapes = _shapes(scales)
    asked = list(dict.fromkeys([*scales, SMALL, FULL]))
    metric = next((row.metric for one in scales.values() for row in one.rows if row.metric), "accuracy")
    headings = ["model", *([] if files else ["paper"])]
    for scale in asked:
        headings += [f"{scale}: {TITLES.get(metric, metric)}, difference"]
        headings += ["gone", "MB", *(f"{shape} (ideal)" for shape in shapes)] if scale in scales else []
    found = []
    for title in _titles(scales, files=files):
        first = next(row for one in scales.values() for row in one.rows if row.title == title)
        cells = [title, *([] if files else [_paper(first, next(iter(scales.values())).recipe)])]
        for scale in asked:
            row = next((r for r in scales[scale].rows if r.title == title), None) if scale in scales else None
            if row is None:
                cells += [NOT_RUN] + ([UNKNOWN] * (2 + len(shapes)) if scale in scales else [])
                continue
            score = with_interval(row.metric, row.value, row.low, row.high)
            lost = difference(row.metric, row.difference, row.difference_low, row.difference_high)
            cells += [score if row.is_baseline else f"{score}, {lost}", per_cent(row.sparsity, 1), _megabytes(row)]
            cells += [_speed(row, shape) for shape in shapes]
        found.append(cells)
    return table(headings, found)


def _costs(scales: Mapping[str, SweepResult]) -> str:
    """Return time, memory and energy."""
    found = []
    for scale, one in scales.items():
        for row in _rows(one):
            ours = [_time(row, shape) for shape in _shapes(scales)]
            energy = [some(row.train_kwh), some(row.train_g), some(row.kwh_per_1000), some(row.g_per_1000)]
            found.append(
                [row.title, scale, some(row.train_seconds), *ours, some(row.memory_mib), *energy, str(row.seed)]
            )
    shapes = [f"{shape}, ms" for shape in _shapes(scales)]
    head = ("model", "scale", "training, s", *shapes, "peak MiB", "training, kWh", "training, g CO2e")
    return table((*head, "kWh per 1,000", "g CO2e per 1,000", "seed"), found)


def _about(one: SweepResult) -> str:
    """Return a paragraph: split and rows, machine, date, command, failures and notes."""
    tests = dict.fromkeys(f"n = {row.rows:,} ({row.split})" for row in one.rows if row.rows)
    seeds = dict.fromkeys(f"seed {row.seed}" for row in one.rows if row.seed is not None)
    words = [f"{scale_of(one).capitalize()} scale: {', '.join([*tests, *seeds])}; {one.machine}; {one.created[:10]}."]
    words += [f"Command: `{one.command}`."] if one.command else []
    words += [f"Failed: {name} ({why})." for name, why in one.failed.items()]
    words += [note if note.endswith(".") else f"{note}." for note in one.notes]
    words += [f"Best: {'; '.join(f'{key} {value}' for key, value in one.best.items())}."] if one.best else []
    return " ".join(words)


def _rows(one: SweepResult, *, files: bool = False) -> list[SweepRow]:
    return [row for row in one.rows if row.value is not None and (row.runtime != "torch") == files]


def _titles(scales: Mapping[str, SweepResult], *, files: bool) -> list[str]:
    return list(dict.fromkeys(row.title for one in scales.values() for row in _rows(one, files=files)))


def _paper(row: SweepRow, recipe: str) -> str:
    """Return the only published number of the paper for the rows that it may belong to; a dash for what the paper has not."""
    known = published()["paper"]
    if recipe != known["recipe"] or is_second_order(row):
        return "–"
    if row.is_baseline:
        return NOT_PUBLISHED
    words, label = " ".join(row.settings.values()), f"{known['label']} %"
    return known["words"] if label in words and known["teacher"] in row.settings.values() else NOT_PUBLISHED


def _shapes(scales: Mapping[str, SweepResult]) -> list[str]:
    return list(dict.fromkeys(shape for one in scales.values() for row in one.rows for shape in row.speedup))


def _megabytes(row: SweepRow) -> str:
    return UNKNOWN if row.bytes is None else f"{row.bytes / 1e6:.1f}"


def _speed(row: SweepRow, shape: str) -> str:
    ideal = row.ideal_speedup.get(shape)
    return times(row.speedup.get(shape)) + (f" ({times(ideal)})" if ideal else "")


def _time(row: SweepRow, shape: str) -> str:
    return some(row.median_ms.get(shape))
