"""Charts: a comparison as HTML. Whatever comes from outside is escaped: labels, names, words, numbers of a report."""

from __future__ import annotations

from functools import partial
from html import escape

import captions
from captions import Refused
from compare import Comparison
from models import Pair

MOST_ROWS, FEWEST_ROWS, WORTH_A_ROW = 12, 3, 0.005
WORDS = {
    "en": {
        "same": "Both say {label}.",
        "differ": "They differ: {before} before, {after} after compression.",
        "none": "none of the labels",
        "gap": "Largest gap: {points:+.1f} points for {label}.",
        "label": "label",
        "rest": "The other {count} labels are less likely.",
        "latency": "this text",
        "parameters": "parameters",
        "weights": "weights",
        "fast": "{ratio:.2f}x as fast",
        "timed": "Times: medians of a burst in which both models take turns on this machine.",
        "cut_baseline": "The baseline read the first {tokens} tokens only.",
        "cut_compressed": "The compressed read the first {tokens} tokens only.",
    },
    "mr": {
        "same": "दोन्ही मॉडेलचे उत्तर एकच: {label}.",
        "differ": "उत्तरे वेगळी आहेत: मूळ मॉडेल {before}, लहान मॉडेल {after}.",
        "none": "एकही वर्ग नाही",
        "gap": "सर्वांत मोठा फरक: {label}, {points:+.1f} टक्के बिंदू.",
        "label": "वर्ग",
        "rest": "उरलेल्या {count} वर्गांची शक्यता याहून कमी आहे.",
        "latency": "या मजकुराला लागलेला वेळ",
        "parameters": "पॅरामीटर",
        "weights": "मॉडेलचा आकार",
        "fast": "{ratio:.2f} पट वेग",
        "timed": "वेळ: याच यंत्रावर दोन्ही मॉडेल आळीपाळीने अनेकदा चालवून काढलेला मध्यक.",
        "cut_baseline": "मूळ मॉडेलने पहिले {tokens} टोकनच वाचले.",
        "cut_compressed": "लहान मॉडेलने पहिले {tokens} टोकनच वाचले.",
    },
}
say = partial(captions.say, WORDS)
both = partial(captions.say, captions.WORDS)


def verdict(comparison: Comparison, language: str) -> str:
    """One sentence: do they agree, and where are they furthest apart?"""
    before, after = (
        f"<strong>{escape(', '.join(answer.labels)) or say(language, 'none')}</strong>"
        for answer in (comparison.baseline, comparison.compressed)
    )
    said = (
        say(language, "same", label=before) if comparison.same else say(language, "differ", before=before, after=after)
    )
    gap = say(language, "gap", points=100 * comparison.gap, label=escape(comparison.gap_label))
    kind = "same" if comparison.same else "differ"
    return f'<p class="verdict {kind}" role="status">{said} <span>{gap}</span></p>'


def butterfly(comparison: Comparison, language: str) -> str:
    """Paired bars on one axis of labels, the likeliest first: the baseline to the left, the compressed to the right.

    It is a table, so that it can be read without seeing the bars. Labels that neither model believes in are counted.
    """
    before, after = comparison.baseline.probabilities, comparison.compressed.probabilities
    ranked = sorted(before, key=lambda label: -max(before[label], after[label]))
    worth = sum(max(before[label], after[label]) >= WORTH_A_ROW for label in ranked)
    shown = ranked[: min(MOST_ROWS, max(FEWEST_ROWS, worth))]
    rows = "".join(
        f"<tr>{_bar(before[label])}<th scope='row'>{escape(label)}</th>{_bar(after[label])}</tr>" for label in shown
    )
    rest = len(ranked) - len(shown)
    note = f"<p class='note'>{say(language, 'rest', count=rest)}</p>" if rest else ""
    names = (both(language, "baseline"), say(language, "label"), both(language, "compressed"))
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    return f"<table class='butterfly'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def facts(comparison: Comparison, pair: Pair, language: str) -> str:
    """Cards: latency of this text, parameters and megabytes of both models, and what changed."""
    answers = {"baseline": comparison.baseline, "compressed": comparison.compressed}
    before, after = (answer.milliseconds for answer in answers.values())
    fast = say(language, "fast", ratio=before / after)
    cards = [
        _card(say(language, "latency"), fast, [f"{before:.1f} ms", f"{after:.1f} ms"], language),
        *(
            _card(say(language, name), f"{100 * (new / old - 1):+.1f} %", [form(old), form(new)], language)
            for name, old, new, form in (
                ("parameters", pair.baseline.parameters, pair.compressed.parameters, "{:,}".format),
                ("weights", pair.baseline.megabytes, pair.compressed.megabytes, "{:.1f} MB".format),
            )
        ),
    ]
    cuts = [say(language, f"cut_{name}", tokens=answer.tokens) for name, answer in answers.items() if answer.cut]
    notes = " ".join([*cuts, say(language, "timed")])
    return f"<dl class='cards'>{''.join(cards)}</dl><p class='note'>{notes}</p>"


def result(comparison: Comparison, pair: Pair, language: str) -> str:
    """Everything that the page shows for one text."""
    return verdict(comparison, language) + butterfly(comparison, language) + facts(comparison, pair, language)


def refusal(refused: Refused, language: str) -> str:
    """Why there is no result."""
    return f"<p class='verdict refused' role='alert'>{escape(refused.said(language))}</p>"


def _bar(probability: float) -> str:
    """A cell with a number and a bar of this width."""
    return f"<td><span><b>{100 * probability:.1f} %</b><i style='width:{100 * probability:.2f}%'></i></span></td>"


def _card(name: str, change: str, values: list[str], language: str) -> str:
    """What changed, large, and both values below it."""
    rows = "".join(
        f"<dd class='{side}'>{both(language, side)} <b>{value}</b></dd>"
        for side, value in zip(("baseline", "compressed"), values, strict=True)
    )
    return f"<div><dt>{name}</dt><dd class='change'>{change}</dd>{rows}</div>"
