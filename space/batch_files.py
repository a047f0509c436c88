"""Batch files: a batch as a CSV file that is safe to open in a spreadsheet, and as JSON for programs."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from batch import Batch
from flips import by_change, differing, flip_matrix, largest_gaps, outcome

_COLUMNS = ("text", "label", "outcome", "baseline", "compressed", "most_changed", "p_baseline", "p_compressed")
# What makes a spreadsheet compute a cell (OWASP, "CSV Injection"), also in the wide forms of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def neutral(cell: str) -> str:
    """The cell with an apostrophe before it, where a spreadsheet would take it for a formula."""
    formula = cell.startswith(("\t", "\r", "\n")) or cell.lstrip("\ufeff\u200b\u200c\u200d \t\r\n").startswith(
        _FORMULA
    )
    return f"'{cell}" if formula else cell


def as_csv(batch: Batch) -> bytes:
    """A row per text, those with two answers first, then by how far the probability of `most_changed` moved.

    UTF-8 with a byte order mark, without which a spreadsheet shows no Devanagari.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    labels, _ = largest_gaps(batch.probabilities)
    first = differing(batch)
    rest = set(range(len(batch.texts))) - set(first)
    for row in [*first, *by_change(batch, rest)]:
        label = labels[row]
        truth = batch.truths[row] if batch.truths else ""
        words = [batch.texts[row], truth, outcome(batch, row), *(answers[row] for answers in batch.answers)]
        numbers = [f"{probability:.6f}" for probability in batch.probabilities[:, row, label]]
        writer.writerow([*map(neutral, [*words, batch.labels[label]]), *numbers])
    return file.getvalue().encode("utf-8-sig")


def as_json(batch: Batch) -> dict[str, Any]:
    """All of it for programs: every label's probability of both models for every row."""
    names = ("baseline", "compressed")

    def row(index: int) -> dict[str, Any]:
        sides = {
            name: {
                "answer": batch.answers[side][index],
                "probabilities": dict(zip(batch.labels, batch.probabilities[side, index].tolist(), strict=True)),
            }
            for side, name in enumerate(names)
        }
        truth = {} if batch.truths is None else {"label": batch.truths[index], "outcome": outcome(batch, index)}
        return {"text": batch.texts[index], **truth, **sides}

    flips = flip_matrix(*batch.answers)
    return {
        "name": batch.name,
        "labels": batch.labels,
        "rows": [row(index) for index in range(len(batch.texts))],
        "flips": [{"baseline": before, "compressed": after, "rows": n} for (before, after), n in flips.items()],
        "agreement": batch.agreement,
        "quality": asdict(batch.quality) if batch.quality else None,
        "left_out": batch.left_out,
        "repeated": batch.repeated,
    }
