"""The end of `trainer-ext compress` in three sentences: what you got, what it lost, and what to run next."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

from ..report.formatting import TITLES, interval, is_fraction, number
from ..report.schema import EXPORT_RUNTIMES, CompressionReport, Latency, Pair, Quality
from ..report.tables import speedup, within_noise

ERRORS = ("rmse", "mae")  # metrics of which less is better


def outcome(report: CompressionReport, folder: str | Path) -> list[str]:
    """Return the three sentences.

    Args:
        report: the numbers of a finished run.
        folder: of the run, for the commands.
    """
    return [_got(report), _lost(report.quality) + _longer(report), _next(report, shlex.quote(str(folder)))]


def _got(report: CompressionReport) -> str:
    size: Pair[int] = report.bytes or Pair()
    parts = []
    if size.baseline and size.compressed:
        parts.append(f"{size.compressed / 1e6:.1f} MB instead of {size.baseline / 1e6:.1f} MB")
    timed = next((row for row in report.latency if row.speedup and row.runtime == "torch"), None)
    if timed:
        parts.append(_speed(timed))
    return f"What you got: a model of {' and '.join(parts) or 'unknown size'}{_exported(report)}."


def _exported(report: CompressionReport) -> str:
    """Return size, time and change of the smallest exported file."""
    file = min(report.exports, key=lambda one: one.bytes or math.inf, default=None)
    if not file or not file.bytes:
        return ""
    parts = [f"{file.bytes / 1e6:.1f} MB"]
    runs_in = EXPORT_RUNTIMES.get(file.format)
    timed = next((row for row in report.latency if row.speedup and (row.runtime, row.precision) == runs_in), None)
    if timed:
        parts.append(f"{timed.compressed_ms or 0:.1f} ms ({(speedup(timed) or '').replace(chr(10), ', ')})")
    found, metric = file.from_baseline, report.quality.metric if report.quality else ""
    if found and found.main is not None and found.ci95:
        noise = ", within noise" if within_noise(found) else ""
        change = f"{number(metric, found.main, '+z')} {interval(metric, found.ci95, '+z')}"
        parts.append(f"{TITLES.get(metric, metric)} {change} from the baseline{noise}")
    return f"; as {file.format}, {', '.join(parts)}"


def _speed(row: Latency) -> str:
    texts = "a text" if row.batch_size == 1 else f"{row.batch_size} texts"
    return (
        f"{row.compressed_ms or 0:.1f} ms instead of {row.baseline_ms or 0:.1f} ms for {texts} of {row.sequence_length} "
        f"tokens ({(speedup(row) or '').replace(chr(10), ', ')})"
    )


def _lost(quality: Quality | None) -> str:
    if quality is None:
        return "What it lost was not measured."
    if quality.metric == "agreement":
        share = number("agreement", quality.agreement or 0.0)
        bounds = (
            f" (95 % interval {interval('agreement', quality.agreement_ci95)} %)" if quality.agreement_ci95 else ""
        )
        return (
            f"It gives the same answer as the original on {share} % of {quality.rows:,} texts without labels{bounds}."
        )
    on = f"{quality.rows:,} texts of {quality.split}"
    found = quality.difference
    if found is None or found.main is None:
        return f"What it lost on {on} was not measured."
    bounds = (
        f"95 % interval of the change {interval(quality.metric, found.ci95, '+z')}" if found.ci95 else "no interval"
    )
    noise = ", within noise" if within_noise(found) else ""
    return f"{_change(quality.metric, found.main)} on {on} ({bounds}{noise})."


def _longer(report: CompressionReport) -> str:
    """Return a warning if the compressed model is better than a baseline that had fewer epochs; else nothing."""
    before, after = (float(report.recipe.get(name) or 0) for name in ("baseline_epochs", "num_train_epochs"))
    tuned = report.training is not None and report.training.baseline is not None
    if not (tuned and before and after and _gain(report.quality) > 0):
        return ""
    return f" Part of that may be longer training: --baseline_epochs {before + after:g} gives a baseline with as many epochs."


def _gain(quality: Quality | None) -> float:
    """Return by how much the compressed model is better, negative if it is worse; 0 within noise, or if nobody knows."""
    found = quality.difference if quality else None
    if quality is None or found is None or found.main is None or within_noise(found):
        return 0.0
    return -found.main if quality.metric in ERRORS else found.main


def _change(name: str, change: float) -> str:
    """Say how a metric changed; "lost" only where something is lost."""
    title = TITLES.get(name, name)
    amount = number(name, abs(change)) + (" points" if is_fraction(name) else "")
    if not float(number(name, change)):
        return f"Its {title} is the same as the original's"
    if name in ERRORS:
        return f"Its {title} {'rose' if change > 0 else 'fell'} by {amount}"
    return f"It {'gained' if change > 0 else 'lost'} {amount} of {title}"


def _next(report: CompressionReport, folder: str) -> str:
    quality = report.quality
    if _gain(quality) < 0 or (quality and quality.metric == "agreement" and (quality.agreement or 1.0) < 0.9):
        trained = (report.training or Pair()).compressed
        more = "--prune_sparsity 0.25 removes less"
        if trained is None or not report.trained:
            alone = " --distill_alpha 1" if quality and quality.metric == "agreement" else ""
            more = f"--num_train_epochs 3 --distill_teacher self{alone} trains it, or {more}"
        return f"Next: to lose less, the same with another --output_dir and {more}; to look at it, trainer-ext demo {folder}."
    if report.exports:
        return f"Next: trainer-ext demo {folder} shows where both models differ; trainer-ext push {folder} USER/NAME publishes it."
    return (
        f"Next: trainer-ext export {folder} --format openvino-int8 makes a file of about a quarter of the size that runs without torch; "
        f"trainer-ext demo {folder} shows where both models differ."
    )
