"""Tables of single runs for recipes/README.md: quality, cost and commands, and means over seeds.

Result files named `recipe@17` belong to the run with seed 17. The interval of a mean is Student's over seeds: how much
another seed may change the result. That of a single run says how much another test set may change it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby

import numpy as np
from scipy import stats

from recipes.tools.markdown import UNKNOWN, difference, number, per_cent, table, times, with_interval
from trainer_ext.report.formatting import TITLES
from trainer_ext.report.schema import CompressionReport, Latency, Quality, Scores, Sparsity

QUALITY = ("result", "test set", "n", "metric", "baseline", "compressed", "difference", "also", "same answer")
COST = (
    "result",
    "asked / gone",
    "parameters, M",
    "MB",
    "texts × tokens: speed-up (ideal)",
    "measured on",
    "seed",
    "date",
)
MEANS = (
    *("result", "seeds", "test set", "n", "metric", "baseline", "compressed", "difference", "gone", "layers"),
    "texts × tokens: speed-up",
)


def tables(reports: Mapping[str, CompressionReport]) -> str:
    """Return four tables: quality by run and test set, size and speed by run, means over seeds, and commands.

    Args:
        reports: The reports by name of the result file.
    """
    by_seed = {name: result for name, result in reports.items() if "@" in name}
    kept = sorted((name, result) for name, result in reports.items() if name not in by_seed)
    parts = [
        table(QUALITY, [_quality(name, part) for name, result in kept for part in parts_of(result)]),
        table(COST, [_cost(name, result) for name, result in kept]),
        *([table(MEANS, mean_rows(by_seed))] if by_seed else []),
        table(("result", "command"), [*((f"`{n}`", f"`{r.command}`") for n, r in kept), *commands(by_seed)]),
    ]
    return "\n\n".join(parts)


def parts_of(result: CompressionReport) -> list[Quality]:
    """Return the quality on each test set of a run, the main one first."""
    return [part for part in (result.quality, *result.other_quality) if part is not None]


def compressed_of(quality: Quality) -> str:
    """Return the main metric of the compressed model with its interval."""
    return _scores(quality.metric, quality.compressed or Scores())


def difference_of(quality: Quality) -> str:
    """Return the difference of the main metric, compressed minus baseline, with its interval."""
    return difference(quality.metric, quality.difference.main, *(quality.difference.ci95 or (None, None)))


def _quality(name: str, quality: Quality) -> list[str]:
    before, after = quality.baseline or Scores(), quality.compressed or Scores()
    others = [name for name in before.by_name if name != quality.metric]
    return [
        f"`{name}`",
        quality.split,
        f"{quality.rows:,}",
        TITLES[quality.metric],
        _scores(quality.metric, before),
        compressed_of(quality),
        difference_of(quality),
        "; ".join(
            f"{TITLES.get(x, x)} {number(x, before.by_name[x])} → {number(x, after.by_name[x])}" for x in others
        ),
        per_cent(quality.agreement, 1),
    ]


def _scores(metric: str, scores: Scores) -> str:
    return with_interval(metric, scores.by_name[metric], *scores.ci95.get(metric, (None, None)))


def _cost(name: str, result: CompressionReport) -> list[str]:
    sparsity, parameters, sizes = result.sparsity, result.parameters, result.bytes
    return [
        f"`{name}`",
        f"{_asked(sparsity)} / {per_cent(sparsity.achieved, 1)}" if sparsity else UNKNOWN,
        f"{parameters.baseline.total / 1e6:.1f} → {parameters.compressed.total / 1e6:.1f}",
        f"{sizes.baseline / 1e6:.1f} → {sizes.compressed / 1e6:.1f}",
        "; ".join(
            f"{row.batch_size} × {row.sequence_length}: {times(row.speedup)} ({times(row.ideal_speedup)})"
            for row in result.latency
        ),
        "; ".join(dict.fromkeys(_machine(row) for row in result.latency)),
        str(result.seed),
        result.created[:10],
    ]


def _asked(sparsity: Sparsity) -> str:
    if sparsity.requested_speedup is not None:
        return f"{sparsity.requested_speedup:g}x"
    return per_cent(sparsity.requested)


def _machine(row: Latency) -> str:
    threads = f"{row.threads} thread{'s' if row.threads > 1 else ''}"
    return f"{row.processor}, {threads}, {row.runtime} {row.precision}"


def mean_rows(reports: dict[str, CompressionReport]) -> list[list[str]]:
    """Return a row of means for each recipe and test set.

    Args:
        reports: The reports by name, `recipe@seed`.
    """
    found = []
    for name, runs in _by_recipe(reports):
        for parts in zip(*([run.quality, *run.other_quality] for run in runs), strict=True):
            found.append(_mean_row(name, runs, list(parts)))
    return found


def commands(reports: dict[str, CompressionReport]) -> list[tuple[str, str]]:
    """Return the name of each recipe and the command of its first seed."""
    return [(f"`{name}`", f"`{runs[0].command}`") for name, runs in _by_recipe(reports)]


def _by_recipe(reports: dict[str, CompressionReport]) -> list[tuple[str, list[CompressionReport]]]:
    groups = groupby(sorted(reports.items()), key=lambda item: item[0].partition("@")[0])
    return [(name, [report for _, report in group]) for name, group in groups]


def mean_difference(runs: list[CompressionReport]) -> str:
    """Return the mean of the compressed models' main metric and the mean difference, with intervals over seeds."""
    metric = runs[0].quality.metric
    before, after = ([getattr(r.quality, side).by_name[metric] for r in runs] for side in ("baseline", "compressed"))
    return f"{_mean_text(after)}, {_mean_text([b - a for a, b in zip(before, after, strict=True)], '+')}"


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return mean, low and high end of the 95 % interval over seeds; the interval is infinite for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def _mean_row(name: str, runs: list[CompressionReport], parts: list[Quality]) -> list[str]:
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
        _mean_text(values["baseline"]),
        _mean_text(values["compressed"]),
        _mean_text(values["difference"], "+"),
        f"{100 * np.mean([run.sparsity.achieved for run in runs]):.1f} %" if first.sparsity else "–",
        str(first.sparsity.layers) if first.sparsity else "–",
        "; ".join(f"{b} × {t}: {speed:.2f}x" for (b, t), speed in zip(places, speeds, strict=True)),
    ]


def _mean_text(values: list[float], sign: str = "") -> str:
    mean, low, high = (100 * value for value in interval(values))
    noise = ", noise" if sign and low <= 0 <= high else ""
    return f"{mean:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]{noise}"
