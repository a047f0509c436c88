"""Reported: the main numbers of compression.json in two sentences, and where all of them are."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants

from trainer_ext.report import CompressionReport
from trainer_ext.tables import metric_title, number


def reported(report: CompressionReport | None, compressed: str) -> str:
    """Quality and latency of the report as Markdown, with a link to the model's card where it lies on the Hub."""
    lines = []
    if report is not None and (quality := report.quality) is not None and quality.baseline and quality.compressed:
        name = quality.metric
        before, after = (side.by_name.get(name) for side in (quality.baseline, quality.compressed))
        if before is not None and after is not None:
            lines.append(
                f"{metric_title(name)} on {quality.rows:,} rows of {quality.split}: {number(name, before)} before, "
                f"{number(name, after)} after compression."
            )
    if report is not None and report.latency and (row := report.latency[0]).speedup is not None:
        lines.append(
            f"{row.speedup:.2f}x as fast at {row.batch_size} x {row.sequence_length} tokens ({row.processor})."
        )
    if not Path(compressed).is_dir():
        lines.append(f"[All numbers: the model's card]({constants.ENDPOINT}/{compressed})")
    return " ".join(lines)
