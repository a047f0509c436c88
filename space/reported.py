"""Reported: the main numbers of compression.json in two sentences, and where all of them are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import captions
from huggingface_hub import constants

from trainer_ext.report.schema import CompressionReport
from trainer_ext.report.tables import metric_title, number

WORDS = {
    "en": {
        "quality": "{metric} on {rows:,} rows of {split}: {before} before, {after} after compression.",
        "speed": "{ratio:.2f}x as fast at {batch} x {length} tokens ({processor}).",
        "card": "All numbers: the model's card",
    },
    "mr": {
        "quality": "{split} मधील {rows:,} मजकुरांवर {metric}: मूळ मॉडेल {before}, लहान मॉडेल {after}.",
        "speed": "{batch} x {length} टोकनसाठी {ratio:.2f} पट वेग ({processor}).",
        "card": "सर्व आकडे: मॉडेलचे माहितीपत्रक",
    },
}
say = partial(captions.say, WORDS)


def reported(report: CompressionReport | None, compressed: str, language: str) -> str:
    """Quality and latency of the report as Markdown, with a link to the model's card where it lies on the Hub."""
    lines = []
    if report is not None and (quality := report.quality) is not None and quality.baseline and quality.compressed:
        name = quality.metric
        before, after = (side.by_name.get(name) for side in (quality.baseline, quality.compressed))
        if before is not None and after is not None:
            values = {"before": number(name, before), "after": number(name, after)}
            place = {"metric": metric_title(name), "rows": quality.rows, "split": quality.split}
            lines.append(say(language, "quality", **place, **values))
    if report is not None and report.latency and (row := report.latency[0]).speedup is not None:
        place = {"batch": row.batch_size, "length": row.sequence_length, "processor": row.processor}
        lines.append(say(language, "speed", ratio=row.speedup, **place))
    if not Path(compressed).is_dir():
        lines.append(f"[{say(language, 'card')}]({constants.ENDPOINT}/{compressed})")
    return " ".join(lines)
