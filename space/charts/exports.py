"""Show what the exported files say about one text, and how long they take: one table for every kind of task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from core import captions

from charts.markup import note, table

WORDS = {
    "en": {
        "export": "exported file",
        "latency": "this text",
        "fast": "speed",
        "note": "Speed: relative to the baseline.",
    },
    "mr": {
        "export": "निर्यात केलेली फाइल",
        "latency": "या मजकुराला लागलेला वेळ",
        "fast": "वेग",
        "note": "वेग: मूळ मॉडेलच्या तुलनेत.",
    },
}
say = partial(captions.say, WORDS)


@dataclass(frozen=True)
class Exported:
    """What one exported file says.

    Attributes:
        name: The format.
        answer: HTML of its answer.
        same: Whether the compressed model says the same; else the answer is bold.
        milliseconds: Time of a call.
        further: HTML of further cells.
    """

    name: str
    answer: str
    same: bool
    milliseconds: float
    further: tuple[str, ...] = ()


def exports_table(
    rows: Sequence[Exported], columns: Iterable[str], about: str, baseline_ms: float, language: str
) -> str:
    """Return a table with a row per exported file; empty if there is none.

    Args:
        rows: The files.
        columns: Headings of the answer and of the further cells.
        about: HTML that explains them, below the table.
        baseline_ms: Time of a call of the baseline.
        language: Language of the captions.
    """
    if not rows:
        return ""
    lines = "".join(
        f"<tr><th scope='row'>{escape(row.name)}</th>"
        f"<td class='text'>{row.answer if row.same else f'<strong>{row.answer}</strong>'}</td>"
        f"{''.join(f'<td>{cell}</td>' for cell in row.further)}<td>{row.milliseconds:.1f}&nbsp;ms</td>"
        f"<td>{baseline_ms / row.milliseconds:.2f}x</td></tr>"
        for row in rows
    )
    heads = [say(language, "export"), *columns, say(language, "latency"), say(language, "fast")]
    return table("numbers exports", heads, lines) + note(f"{about} {say(language, 'note')}")
