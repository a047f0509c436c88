"""Results of runs: quality, cost and commands of single runs, from their compression.json."""

from __future__ import annotations

from collections.abc import Mapping

from recipes import seeds
from recipes.markdown import UNKNOWN, difference, number, per_cent, table, times, with_interval
from trainer_ext.report.metric_names import TITLES
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


def tables(reports: Mapping[str, CompressionReport]) -> str:
    """Markdown tables: quality, a row per run and test set; size and speed, a row per run; means over seeds; commands.

    Args:
        reports: by name of the result file.
    """
    by_seed = {name: result for name, result in reports.items() if "@" in name}
    kept = sorted((name, result) for name, result in reports.items() if name not in by_seed)
    parts = [
        table(QUALITY, [_quality(name, part) for name, result in kept for part in parts_of(result)]),
        table(COST, [_cost(name, result) for name, result in kept]),
        *([table(seeds.HEADINGS, seeds.rows(by_seed))] if by_seed else []),
        table(("result", "command"), [*((f"`{n}`", f"`{r.command}`") for n, r in kept), *seeds.commands(by_seed)]),
    ]
    return "\n\n".join(parts)


def parts_of(result: CompressionReport) -> list[Quality]:
    """The test sets of a run, the main one first."""
    return [part for part in (result.quality, *result.other_quality) if part is not None]


def compressed_of(quality: Quality) -> str:
    """The main metric of the compressed model, with its interval."""
    return _scores(quality.metric, quality.compressed or Scores())


def difference_of(quality: Quality) -> str:
    """What the compressed model lost or won."""
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
