"""Show what both models mark in one text: the entities of a sentence, or the answer to a question in its context."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from html import escape

from core import captions
from core.captions import model_name
from core.kinds import Span
from core.models import Pair
from core.spans import SpanAnswer, SpanComparison

from charts.compare import facts
from charts.exports import Exported, exports_table
from charts.markup import note

MOST_NAMED = 8  # parts of the text in one sentence
WORDS = {
    "en": {
        "same": "Both mark {marked}.",
        "differ": "They differ.",
        "none": "nothing",
        "only_baseline": "Only the baseline: {marked}.",
        "only_compressed": "Only the compressed model: {marked}.",
        "more": "{marked} and {count} more",
        "dashed": "Dashed: only this model marks it so.",
        "token-classification": "A word is what stands between spaces, as in the training data; put spaces around punctuation "
        "if they are there too.",
        "question-answering": "The percentage is the probability of the answer's first token times that of its last one.",
        "answer": "marks",
        "export_note": "Bold: not what the compressed model marks.",
    },
    "mr": {
        "same": "दोन्ही मॉडेलची निवड एकच: {marked}.",
        "differ": "उत्तरे वेगळी आहेत.",
        "none": "काहीही नाही",
        "only_baseline": "फक्त मूळ मॉडेल: {marked}.",
        "only_compressed": "फक्त लहान मॉडेल: {marked}.",
        "more": "{marked} आणि आणखी {count}",
        "dashed": "तुटक रेषा: फक्त याच मॉडेलची निवड.",
        "token-classification": "दोन मोकळ्या जागांमधले अक्षरगट म्हणजे एक शब्द, प्रशिक्षणाच्या मजकुराप्रमाणे; तिथे तसे असल्यास "
        "विरामचिन्हांभोवती मोकळी जागा ठेवा.",
        "question-answering": "टक्केवारी म्हणजे उत्तराच्या पहिल्या टोकनची शक्यता गुणिले शेवटच्या टोकनची शक्यता.",
        "answer": "निवड",
        "export_note": "ठळक: लहान मॉडेलपेक्षा वेगळी निवड.",
    },
}
say = partial(captions.say, WORDS)


def spans_result(found: SpanComparison, pair: Pair, language: str) -> str:
    """Show the verdict, the text as each model marks it, the answers of exported files, and cards."""
    return (
        _verdict(found, language)
        + _both(found, pair, language)
        + _exported(found, language)
        + facts(found, pair, language)
    )


def _verdict(found: SpanComparison, language: str) -> str:
    """Say in a sentence whether both mark the same, and what only one of them marks."""
    if found.same:
        marked = _named(found.text, found.compressed.spans, language)
        return (
            f"<p class='verdict same' role='status'>{say(language, 'same', marked=f'<strong>{marked}</strong>')}</p>"
        )
    lines = [
        say(language, f"only_{name}", marked=_named(found.text, only, language))
        for name, (one, other) in _sides(found).items()
        if (only := _only(one, other))
    ]
    return f"<p class='verdict differ' role='status'>{say(language, 'differ')} <span>{' '.join(lines)}</span></p>"


def _sides(found: SpanComparison) -> dict[str, tuple[SpanAnswer, SpanAnswer]]:
    """Return what each model marks, and beside it what the other one does."""
    return {"baseline": (found.baseline, found.compressed), "compressed": (found.compressed, found.baseline)}


def _both(found: SpanComparison, pair: Pair, language: str) -> str:
    """Show the text twice, side by side where there is room, with the parts that each model marks."""
    parts = "".join(
        f"<section class='{name}'><h2>{model_name(language, name)}</h2><p>{marked(found.text, one, other)}</p></section>"
        for name, (one, other) in _sides(found).items()
    )
    notes = [say(language, pair.kind.task)]
    if not found.same:
        notes.insert(0, say(language, "dashed"))
    return f"<div class='spans'>{parts}</div>{note(' '.join(notes))}"


def marked(text: str, answer: SpanAnswer, other: SpanAnswer) -> str:
    """Return a text with what a model marks, each part with its label or its probability.

    Args:
        text: The text.
        answer: What is marked.
        other: What the other model marks; parts that it does not mark alike are dashed.
    """
    html, at = "", 0
    only = _only(answer, other)
    for span in answer.spans:
        tag = escape(span.label) if span.probability is None else f"{100 * span.probability:.0f} %"
        kind = " class='only'" if span in only else ""
        html += f"{escape(text[at : span.start])}<mark{kind}>{escape(text[span.start : span.end])}<small>{tag}</small></mark>"
        at = span.end
    return html + escape(text[at:])


def _only(answer: SpanAnswer, other: SpanAnswer) -> list[Span]:
    """Return the spans of an answer that the other one does not have."""
    return [span for span in answer.spans if (span.start, span.end, span.label) not in other.places]


def _named(text: str, spans: Iterable[Span], language: str) -> str:
    """Return parts of a text in words, as HTML; the first ones if there are many."""
    names = [
        f"{text[span.start : span.end]} ({span.label})" if span.label else text[span.start : span.end]
        for span in spans
    ]
    shown = escape(", ".join(names[:MOST_NAMED])) or say(language, "none")
    return say(language, "more", marked=shown, count=len(names) - MOST_NAMED) if len(names) > MOST_NAMED else shown


def _exported(found: SpanComparison, language: str) -> str:
    """Show what each exported file marks, and its time."""
    rows = [
        Exported(
            name,
            _named(found.text, answer.spans, language),
            answer.places == found.compressed.places,
            answer.milliseconds,
        )
        for name, answer in found.exports.items()
    ]
    columns = [say(language, "answer")]
    return exports_table(rows, columns, say(language, "export_note"), found.baseline.milliseconds, language)
