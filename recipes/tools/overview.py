"""The table at the top of recipes/README.md: what one would deploy, task by task, from the result files.

Each row is a model as an OpenVINO int8 file beside the dense model in PyTorch fp32: accuracy on the same test rows, the size
of both files, and the ratio of their times on a processor.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.benchmarks.one_shot_tables import change, right, share_and_epochs
from recipes.tools.markdown import difference, number, table, times
from trainer_ext.report.io import load
from trainer_ext.report.schema import EXPORT_RUNTIMES, CompressionReport
from trainer_ext.sweep.output import read_sweep_json
from trainer_ext.sweep.results import SweepRow
from trainer_ext.utils.yaml import read_yaml

RECIPES = Path(__file__).parents[1]
BENCHMARKS = RECIPES / "benchmarks/results"
E5 = RECIPES / "results/sweeps/mahanews_e5_sizes@small.json"
E5_RECIPE = RECIPES / "mahanews_e5.yaml"
TEXTS, TOKENS = (1, 32), 32  # texts at once, and the length of each, of the columns with speed-ups
# By title: the kept result of a recipe that was run once.
RESULTS = RECIPES / "results"
ONCE = {
    "MahaNews headlines, all in one command; multilingual-e5-small": "mahanews_e5",
    "MahaNews paragraphs, 12 topics; multilingual-e5-small": "mahanews_lpc",
    "MahaNews paragraphs, trained with the headlines; multilingual-e5-small": "mahanews_both",
    "MahaSent film reviews, 3 classes; multilingual-e5-small": "mahasent",
    "MahaNER entities, F1; multilingual-e5-small": "mahaner",
    "Hausa headlines, 5 topics; multilingual-e5-small": "hausa_topics",
    "MasakhaNEWS articles in Yorùbá, 5 topics; multilingual-e5-small": "yoruba_topics",
    "XQuAD in Hindi, answers in a text, F1; multilingual-e5-small": "xquad",
}
DENSE, EXPORT = "torch fp32", "openvino-int8"
RUNTIMES = {"torch": DENSE, "openvino": EXPORT}
TIMED = 17  # seed of the models that were timed
MIB = 2**20


@dataclass(frozen=True)
class Outcome:
    """One model in one runtime, beside the dense model in PyTorch fp32.

    Attributes:
        runtime: `DENSE` or `EXPORT`.
        gone: share of the encoder's weights that was removed.
        epochs: of training after that.
        seeds: number of trainings that the accuracy is the mean of.
        rows: of the test file.
        dense: accuracy of the dense model, as a fraction.
        change: accuracy minus that, the mean of the seeds, with its 95 % interval `low`, `high`, paired over rows.
        dense_bytes: of the dense model's weights.
        bytes: of the file.
        speedup: by shape, texts x tokens.
        is_range: whether `low`, `high` are the smallest and the largest change of the seeds instead: of several trainings
            whose answers to each row were not kept, there is no common interval.
    """

    runtime: str
    gone: float
    epochs: float
    seeds: int
    rows: int
    dense: float
    change: float
    low: float
    high: float
    dense_bytes: int
    bytes: int
    speedup: dict[str, float]
    is_range: bool = False


def english(task: str) -> list[Outcome]:
    """Return the models of a task that were pruned by second order and timed; of each size the one that was trained longest.

    Args:
        task: `trec6`, `sst2` or `sst2_mpnet`.
    """
    results = _read(BENCHMARKS / f"one_shot_{task}.json")["results"]
    latency = _read(BENCHMARKS / f"one_shot_{task}_latency.json")["rows"]
    found = []
    folders = sorted({row["entry"]["source"] for row in latency}, key=share_and_epochs)
    for folder in {share_and_epochs(folder)[0]: folder for folder in folders}.values():
        gone, epochs = share_and_epochs(folder)
        runs = {one["seed"]: one for one in results if (one["sparsity"], one["epochs"]) == (gone, epochs)}
        dense = {one["seed"]: one for one in results if not one["sparsity"] and one["seed"] in runs}
        for runtime, name in RUNTIMES.items():
            rows = [row for row in latency if (row["entry"]["source"], row["entry"]["runtime"]) == (folder, runtime)]
            speedup = {f"{row['batch_size']} x {row['sequence_length']}": row["speedup"] for row in rows}
            if not speedup:
                continue
            accuracy = float(np.mean([right(one, DENSE).mean() for one in dense.values()]))
            sizes = [one[TIMED]["bytes"] for one in (dense, runs)]
            found.append(
                Outcome(
                    *(name, gone, epochs, len(runs), runs[TIMED]["rows"], accuracy),
                    *(*change(list(runs.values()), dense, name), sizes[0][DENSE], sizes[1][name], speedup),
                )
            )
    return found


def marathi() -> list[Outcome]:
    """Return the sizes of multilingual-e5-small on MahaNews headlines; none if they were not run."""
    if not E5.is_file():
        return []
    result = read_sweep_json(E5)
    whole = next(row for row in result.rows if row.is_baseline)
    groups: dict[tuple[str, str], list[SweepRow]] = {}
    for row in result.rows:
        if row.value is not None:
            groups.setdefault((row.settings.get("encoder", ""), row.runtime), []).append(row)
    return [_mean(rows, whole) for rows in groups.values()]


def _mean(rows: Sequence[SweepRow], whole: SweepRow) -> Outcome:
    """Return the mean of models that differ by the seed, with the range of their changes; one alone keeps its interval."""

    def mean(value: Callable[[SweepRow], float | None]) -> float:
        return statistics.fmean(value(row) or 0.0 for row in rows)  # the baseline has no difference

    speedup = {shape: mean(lambda row, shape=shape: row.speedup[shape]) for shape in rows[0].speedup}  # type: ignore[misc]
    changes = [row.difference or 0.0 for row in rows]
    ends = min(changes), max(changes)
    if len(rows) == 1:
        ends = rows[0].difference_low or 0.0, rows[0].difference_high or 0.0
    return Outcome(
        RUNTIMES[rows[0].runtime],
        round(mean(lambda row: row.sparsity), 2),
        float(read_yaml(E5_RECIPE)["num_train_epochs"]) if rows[0].sparsity else 0.0,
        len(rows),
        rows[0].rows or 0,
        mean(lambda row: (row.value or 0.0) - (row.difference or 0.0)),
        *(statistics.fmean(changes), *ends, whole.bytes or 0, round(mean(lambda row: row.bytes)), speedup),
        is_range=len(rows) > 1,
    )


def panels() -> dict[str, list[Outcome]]:
    """Return the outcomes by task and model; a task without results is left out."""
    found = {
        "MahaNews headlines, 12 topics; multilingual-e5-small": marathi(),
        "SST-2 sentences; all-MiniLM-L6-v2": english("sst2"),
        "TREC-6 questions; all-MiniLM-L6-v2": english("trec6"),
        "SST-2 sentences; all-mpnet-base-v2": english("sst2_mpnet"),
    }
    return {title: outcomes for title, outcomes in found.items() if outcomes}


def once(report: CompressionReport) -> list[Outcome]:
    """Return the exported file of a run; nothing if it has none, or if that was not compared with the baseline."""
    file = next((one for one in report.exports if one.format == EXPORT), None)
    quality, sparsity, size = report.quality, report.sparsity, report.bytes
    if not file or not file.from_baseline or not quality or not quality.baseline or not sparsity or not size:
        return []
    scores, found = quality.baseline.by_name[quality.metric], file.from_baseline
    low, high = found.ci95 or (math.nan, math.nan)
    speedup = {
        f"{row.batch_size} x {row.sequence_length}": row.speedup
        for row in report.latency
        if (row.runtime, row.precision) == EXPORT_RUNTIMES[EXPORT] and row.speedup
    }
    epochs = float(report.recipe["num_train_epochs"])
    return [
        Outcome(
            *(EXPORT, round(sparsity.achieved, 2), epochs, 1, quality.rows, scores, found.main, low, high),
            *(size.baseline, file.bytes, speedup),
        )
    ]


def section() -> str:
    """Return the table: of each task the exported files."""
    rows = []
    alone = {
        title: once(load(RESULTS / f"{name}.json"))
        for title, name in ONCE.items()
        if (RESULTS / f"{name}.json").is_file()
    }
    for title, outcomes in {**panels(), **alone}.items():
        for one in outcomes:
            if one.runtime == EXPORT:
                removed = f"{100 * one.gone:.0f} %" if one.gone else "nothing"
                trained = f", {one.epochs:g} epochs" if one.epochs else ""
                accuracy = number("accuracy", one.dense), number("accuracy", one.dense + one.change)
                lost = _lost(one)
                about = f"{one.rows:,} rows, {one.seeds} seed{'s' if one.seeds > 1 else ''}"
                size = f"{one.dense_bytes / MIB:.1f} → {one.bytes / MIB:.1f}"
                speeds = [speed(one, texts) for texts in TEXTS]
                rows.append([title, f"{removed}{trained}", " → ".join(accuracy), lost, about, size, *speeds])
                title = ""
    heads = ("task; model", "encoder gone", "accuracy", "change [95 %]", "measured on", "MiB")
    return table((*heads, *(f"{texts} × {TOKENS}" for texts in TEXTS)), rows)


def _lost(one: Outcome) -> str:
    """Return the change with its interval, or with the range over the seeds."""
    if not one.is_range:
        return difference("accuracy", one.change, one.low, one.high)
    change, low, high = (number("accuracy", value, "+") for value in (one.change, one.low, one.high))
    return f"{change}, seeds {low} to {high}"


def speed(one: Outcome, texts: int) -> str:
    """Return the speed-up for so many texts at once, with the length of a text if it is not that of the column."""
    for shape, speedup in one.speedup.items():
        count, length = shape.split(" x ")
        if count == str(texts):
            return times(speedup) + ("" if length == str(TOKENS) else f" at {length} tokens")
    return times(None)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
