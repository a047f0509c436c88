"""Seeds: one row for the runs of a recipe that differ in their seed alone, with what the seed is worth.

A result file whose name ends in `@17` belongs to the runs of seed 17. The interval is Student's, over seeds: it says how
much another seed may change, and not how much another test set may, which is the interval of a single run.
"""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
from scipy import stats

from trainer_ext.report.metric_names import TITLES
from trainer_ext.report.schema import CompressionReport, Quality

HEADINGS = (
    *("result", "seeds", "test set", "n", "metric", "baseline", "compressed", "difference", "gone", "layers"),
    "texts × tokens: speed-up",
)


def rows(reports: dict[str, CompressionReport]) -> list[list[str]]:
    """A row per recipe and test set.

    Args:
        reports: by name, `recipe@seed`.
    """
    found = []
    for name, runs in _by_name(reports):
        for parts in zip(*([run.quality, *run.other_quality] for run in runs), strict=True):
            found.append(_row(name, runs, list(parts)))
    return found


def commands(reports: dict[str, CompressionReport]) -> list[tuple[str, str]]:
    """The name and the command of the first seed of each recipe."""
    return [(f"`{name}`", f"`{runs[0].command}`") for name, runs in _by_name(reports)]


def _by_name(reports: dict[str, CompressionReport]) -> list[tuple[str, list[CompressionReport]]]:
    groups = groupby(sorted(reports.items()), key=lambda item: item[0].partition("@")[0])
    return [(name, [report for _, report in group]) for name, group in groups]


def mean_difference(runs: list[CompressionReport]) -> str:
    """Of the main metric on the main test set: the compressed models' mean, and what they lost, with intervals."""
    metric = runs[0].quality.metric
    before, after = ([getattr(r.quality, side).by_name[metric] for r in runs] for side in ("baseline", "compressed"))
    return f"{_text(after)}, {_text([b - a for a, b in zip(before, after, strict=True)], '+')}"


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds; the interval is infinite for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def _row(name: str, runs: list[CompressionReport], parts: list[Quality]) -> list[str]:
    metric, first = parts[0].metric, runs[0]
    values = {
        "baseline": [part.baseline.by_name[metric] for part in parts],
        "compressed": [part.compressed.by_name[metric] for part in parts],
    }
    values["difference"] = [b - a for a, b in zip(values["baseline"], values["compressed"], strict=True)]
    places = [(row.batch_size, row.sequence_length) for row in first.latency]
    speeds = [np.mean([run.latency[index].speedup for run in runs]) for index in range(len(places))]
    return [
        f"`{name}`",
        ", ".join(str(run.seed) for run in runs),
        parts[0].split,
        f"{parts[0].rows:,}",
        TITLES[metric],
        _text(values["baseline"]),
        _text(values["compressed"]),
        _text(values["difference"], "+"),
        f"{100 * np.mean([run.sparsity.achieved for run in runs]):.1f} %" if first.sparsity else "–",
        str(first.sparsity.layers) if first.sparsity else "–",
        "; ".join(f"{b} × {t}: {speed:.2f}x" for (b, t), speed in zip(places, speeds, strict=True)),
    ]


def _text(values: list[float], sign: str = "") -> str:
    mean, low, high = (100 * value for value in interval(values))
    noise = ", noise" if sign and low <= 0 <= high else ""
    return f"{mean:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]{noise}"
