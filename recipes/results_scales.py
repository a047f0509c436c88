"""Results by scale: for every recipe what it gave at the small scale and at the full one, or that it was not run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from recipes.markdown import NOT_RUN, table, times
from recipes.results_runs import compressed_of, difference_of
from recipes.seeds import mean_difference
from trainer_ext.report.metric_names import TITLES
from trainer_ext.report.schema import CompressionReport
from trainer_ext.sweep.results import SweepResult

FULL, SMALL = "full", "small"
HEADINGS = ("recipe", "two cores (`--scale small`)", "a GPU and the Hub")
# Results that were kept under another name than the recipe has now, and the seeds that stand for a recipe.
KEPT_AS = {
    "sst2_minilm": "sst2",
    "trec6_minilm": "trec6-movement",
    "yoruba_topics": "masakhanews_yor",
}


def rows(
    recipes: Sequence[Path],
    small: Mapping[str, CompressionReport],
    full: Mapping[str, CompressionReport],
    sweeps: Mapping[str, SweepResult],
) -> str:
    """A table with a row per recipe.

    Args:
        recipes: the recipe and sweep files.
        small: results at the small scale, by name, `@seed` included.
        full: those at the full scale.
        sweeps: results of sweeps, by name.
    """
    found = []
    for path in sorted(recipes):
        runs = [_runs(path.stem, reports) for reports in (small, full)]
        swept = [_sweeps(path.name, scale, sweeps) for scale in (SMALL, FULL)]
        found.append([f"`{path.stem}`", *(a or b or NOT_RUN for a, b in zip(runs, swept, strict=True))])
    return table(HEADINGS, found)


def scale_of(result: SweepResult) -> str:
    """`small`, or `full` where the command named no scale."""
    return result.scale or FULL


def _runs(stem: str, reports: Mapping[str, CompressionReport]) -> str | None:
    name = KEPT_AS.get(stem, stem)
    found = [report for kept, report in sorted(reports.items()) if kept.partition("@")[0] == name]
    if not found:
        return None
    first = found[0]
    quality, speed = first.quality, first.latency[-1]
    score = f"{compressed_of(quality)}, {difference_of(quality)}" if len(found) == 1 else mean_difference(found)
    seeds = f"{len(found)} seeds, " if len(found) > 1 else ""
    speedup = times(statistics.fmean(report.latency[-1].speedup for report in found))
    return f"{TITLES[quality.metric]} {score} ({seeds}n = {quality.rows:,}); {speedup} at {speed.batch_size} × {speed.sequence_length}"


def _sweeps(file: str, scale: str, sweeps: Mapping[str, SweepResult]) -> str | None:
    found = [result for result in sweeps.values() if result.recipe == file and scale_of(result) == scale]
    models = sum(len({row.name for row in result.rows}) for result in found)
    failed = sum(len(result.failed) for result in found)
    if not found:
        return None
    return (
        f"{models} models in {len(found)} sweep{'s' if len(found) > 1 else ''}{f', {failed} failed' if failed else ''}"
    )
