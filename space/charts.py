"""Charts: a comparison as HTML. Whatever comes from outside is escaped: labels, names, numbers of a report."""

from __future__ import annotations

from html import escape

from compare import Comparison
from models import Pair

MOST_ROWS = 12


def verdict(comparison: Comparison) -> str:
    """One sentence: do they agree, and where are they furthest apart?"""
    before, after = (
        escape(", ".join(answer.labels) or "none of the labels")
        for answer in (comparison.baseline, comparison.compressed)
    )
    said = (
        f"Both say <strong>{before}</strong>."
        if comparison.same
        else f"They differ: <strong>{before}</strong> before, <strong>{after}</strong> after compression."
    )
    gap = f"{100 * comparison.gap:+.1f} points for {escape(comparison.gap_label)}"
    kind = "same" if comparison.same else "differ"
    return f'<p class="verdict {kind}" role="status">{said} <span>Largest gap: {gap}.</span></p>'


def butterfly(comparison: Comparison) -> str:
    """Paired bars on one axis of labels, the likeliest first: the baseline to the left, the compressed to the right.

    It is a table, so that it can be read without seeing the bars.
    """
    before, after = comparison.baseline.probabilities, comparison.compressed.probabilities
    ranked = sorted(before, key=lambda label: -max(before[label], after[label]))
    rows = "".join(
        f"<tr>{_bar(before[label])}<th scope='row'>{escape(label)}</th>{_bar(after[label])}</tr>"
        for label in ranked[:MOST_ROWS]
    )
    rest = len(ranked) - MOST_ROWS
    note = f"<p class='note'>and {rest} less likely labels</p>" if rest > 0 else ""
    head = "<tr><th scope='col'>baseline</th><th scope='col'>label</th><th scope='col'>compressed</th></tr>"
    return f"<table class='butterfly'><thead>{head}</thead><tbody>{rows}</tbody></table>{note}"


def facts(comparison: Comparison, pair: Pair) -> str:
    """Latency of this text, parameters and megabytes of both models, and what changed."""
    answers, sides = (comparison.baseline, comparison.compressed), (pair.baseline, pair.compressed)
    milliseconds = [answer.milliseconds for answer in answers]
    parameters = [side.parameters for side in sides]
    megabytes = [side.megabytes for side in sides]
    lines = [
        ("this text", [f"{value:.1f} ms" for value in milliseconds], f"{_ratio(milliseconds)} as fast"),
        ("parameters", [f"{value:,}" for value in parameters], f"{_percent(parameters)}"),
        ("weights", [f"{value:.1f} MB" for value in megabytes], f"{_percent(megabytes)}"),
    ]
    rows = "".join(
        f"<tr><th scope='row'>{name}</th><td>{values[0]}</td><td>{values[1]}</td><td>{change}</td></tr>"
        for name, values, change in lines
    )
    names = "".join(f"<th scope='col' title='{escape(side.name)}'>{kind}</th>" for kind, side in pair.sides.items())
    notes = [
        f"The {kind} read the first {answer.tokens} tokens only."
        for kind, answer in zip(pair.sides, answers, strict=True)
        if answer.cut
    ]
    note = f"<p class='note'>{' '.join(notes)}</p>" if notes else ""
    return (
        f"<table class='facts'><thead><tr><td></td>{names}<th scope='col'>change</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{note}"
    )


def result(comparison: Comparison, pair: Pair) -> str:
    """Everything that the page shows for one text."""
    return verdict(comparison) + butterfly(comparison) + facts(comparison, pair)


def refusal(message: str) -> str:
    """Why there is no result."""
    return f"<p class='verdict refused' role='alert'>{escape(message)}</p>"


def _bar(probability: float) -> str:
    """A cell with a bar of this width and its number."""
    return f"<td><i style='width:{100 * probability:.2f}%'></i><b>{100 * probability:.1f} %</b></td>"


def _ratio(values: list[float]) -> str:
    return f"{values[0] / values[1]:.2f}x"


def _percent(values: list[float]) -> str:
    return f"{100 * (values[1] / values[0] - 1):+.1f} %"
