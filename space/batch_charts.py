"""Batch charts: a batch as HTML tables. Whatever comes from outside is escaped: texts, labels, names."""

from __future__ import annotations

from collections import Counter
from functools import partial
from html import escape

from batch import Batch
from batch_words import WORDS
from captions import Refused, say
from flips import by_change, differing, flip_matrix, largest_gaps, most_flipped, outcome, rows_of_cell

from trainer_ext import InputError
from trainer_ext.report.tables import metric_title, score

MOST_ANSWERS, MOST_TEXTS, MOST_CHARACTERS = 16, 50, 300
_REASONS = {"empty": "empty rows"}


def summary(batch: Batch, language: str) -> str:
    """How many answers differ, what the models are worth where there are labels, and what was left out."""
    tell, rows = partial(say, WORDS, language), len(batch.texts)
    count = len(differing(batch))
    said = tell("differ", count=count, rows=rows, share=100 * count / rows) if count else tell("same", rows=rows)
    reasons = [tell(_REASONS.get(reason, reason), count=n) for reason, n in batch.left_out.items()]
    notes = [tell("left_out", reasons=", ".join(reasons))] if reasons else []
    notes += [tell("repeats", count=batch.repeated)] if batch.repeated else []
    lines = [("agreement", f"{100 * batch.agreement:.1f} %")]
    scores = ""
    if (found := batch.quality) is not None:
        lines += [("lost_of", f"{found.lost:,}"), ("won_of", f"{found.won:,}")]
        lines += [("both_wrong_of", f"{found.both_wrong:,}"), ("mcnemar", f"{found.mcnemar_p:.3g}")]
        metrics = "".join(
            f"<tr><th scope='row'>{escape(metric_title(name))}</th><td>{score(found.baseline, name)}</td>"
            f"<td>{score(found.compressed, name)}</td></tr>"
            for name in found.baseline.by_name
        )
        scores = _table("scores", [tell("measure"), tell("baseline"), tell("compressed")], metrics)
    facts = "".join(f"<tr><th scope='row'>{tell(key)}</th><td>{value}</td></tr>" for key, value in lines)
    note = f"<p class='note'>{' '.join(notes)}</p>" if notes else ""
    kind = "differ" if count else "same"
    return f"<p class='verdict {kind}' role='status'>{said}</p>{note}{scores}<table class='batch'>{facts}</table>"


def prepared(batch: Batch, language: str) -> str:
    """What a prepared set is."""
    return f"<p class='note'>{say(WORDS, language, 'prepared', name=escape(batch.name))}</p>"


def matrix(batch: Batch, language: str) -> str:
    """Answers of the baseline by answers of the compressed model; each number is a button that asks for its texts."""
    tell, flips = partial(say, WORDS, language), flip_matrix(*batch.answers)
    names = most_flipped(flips, most=MOST_ANSWERS)
    names.sort(key=lambda name: batch.labels.index(name) if name in batch.labels else len(batch.labels))
    most = max((count for (before, after), count in flips.items() if before != after), default=1)

    def cell(before: str, after: str) -> str:
        count = flips[before, after]
        if not count:
            return "<td></td>"
        shade = "" if before == after else f" style='--share: {5 + 30 * count / most:.0f}%'"
        said = _cell_title(tell, count, before, after)
        return (
            f"<td class='{'kept' if before == after else 'flip'}'{shade}><button type='button' aria-label='{said}' "
            f"data-before='{escape(before)}' data-after='{escape(after)}'>{count:,}</button></td>"
        )

    head = "".join(f"<th scope='col'><span>{_word(tell, name)}</span></th>" for name in names)
    body = "".join(
        f"<tr><th scope='row'>{_word(tell, before)}</th>{''.join(cell(before, after) for after in names)}</tr>"
        for before in names
    )
    others = len({answer for both in flips for answer in both}) - len(names)
    note = f"<p class='note'>{tell('others', count=others)}</p>" if others > 0 else ""
    corner = f"<td>{tell('from')}<br>{tell('to')}</td>"
    return (
        f"<h2>{tell('matrix')}</h2><div class='wide' tabindex='0' role='region' aria-label='{tell('matrix')}'>"
        f"<table class='batch flips'><thead><tr>{corner}{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
    )


def cell_texts(batch: Batch, language: str, before: str, after: str) -> str:
    """The texts of one number of the matrix."""
    rows = rows_of_cell(batch, before, after)
    tell = partial(say, WORDS, language)
    return f"<div role='status'><h2>{_cell_title(tell, len(rows), before, after)}</h2></div>{_texts(batch, language, rows)}"


def differences(batch: Batch, language: str) -> str:
    """The texts with two answers; where there are none, those whose probabilities moved most."""
    rows = differing(batch)
    title = "differences" if rows else "moved"
    rows = rows or by_change(batch, range(len(batch.texts)))[:10]
    return f"<h2>{say(WORDS, language, title)}</h2>{_texts(batch, language, rows)}"


def classes(batch: Batch, language: str) -> str:
    """How often each label is answered by both models, and with labels its F1."""
    tell = partial(say, WORDS, language)
    given = [Counter(answers) for answers in batch.answers]
    scored = {one.label: one for one in batch.quality.per_class} if batch.quality else {}
    head = [tell("class"), *([tell("texts")] if scored else [])]
    head += [f"{tell('given')}, {tell(side)}" for side in ("baseline", "compressed")]
    head += [f"{tell('f1')}, {tell(side)}" for side in ("baseline", "compressed")] if scored else []
    body = ""
    for label in batch.labels:
        cells = [f"{scored[label].support:,}"] if scored else []
        cells += [f"{count[label]:,}" for count in given]
        if scored:
            cells += [f"{100 * side.f1:.1f}" for side in (scored[label].baseline, scored[label].compressed)]
        body += f"<tr><th scope='row'>{escape(label)}</th>{''.join(f'<td>{value}</td>' for value in cells)}</tr>"
    return f"<h2>{tell('classes')}</h2>{_table('facts classes', head, body)}"


def refusal(error: InputError, language: str) -> str:
    """Why there is no result; what the package says is said in English."""
    message = error.said(language) if isinstance(error, Refused) else str(error)
    return f"<p class='verdict refused' role='alert'>{escape(message)}</p>"


def _texts(batch: Batch, language: str, rows: list[int]) -> str:
    """A row per text: it and its label, both answers, and the label whose probability changed most."""
    tell, (labels, gaps) = partial(say, WORDS, language), largest_gaps(batch.probabilities)

    def line(row: int) -> str:
        text = batch.texts[row]
        shown = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
        truth = ""
        if batch.truths is not None:
            named = _word(tell, batch.truths[row])
            truth = f"<small>{tell('label')}: {named} · {tell(outcome(batch, row))}</small>"
        before, after = (_word(tell, answers[row]) for answers in batch.answers)
        label, (first, then) = labels[row], 100 * batch.probabilities[:, row, labels[row]]
        return (
            f"<tr><td>{escape(shown)}{truth}</td><td>{before} → {after}</td><td>"
            f"{tell('points', points=100 * gaps[row])}"
            f"<small>{escape(batch.labels[label])} {first:.1f} → {then:.1f} %</small></td></tr>"
        )

    body = "".join(map(line, rows[:MOST_TEXTS]))
    more = f"<p class='note'>{tell('more', count=len(rows) - MOST_TEXTS)}</p>" if len(rows) > MOST_TEXTS else ""
    return _table("changes", [tell("text"), tell("answers"), tell("change")], body) + more


def _table(kind: str, head: list[str], body: str) -> str:
    cells = "".join(f"<th scope='col'>{name}</th>" for name in head)
    return f"<table class='batch {kind}'><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _cell_title(tell: partial[str], count: int, before: str, after: str) -> str:
    return tell("cell", count=count, before=_word(tell, before), after=_word(tell, after))


def _word(tell: partial[str], answer: str) -> str:
    """An answer, escaped; with several labels per text it may be that none is on."""
    return escape(answer) if answer else tell("none")
