"""Show a batch: the summary, the matrix of answers, the texts that differ, and the scores by class."""

from __future__ import annotations

from collections import Counter
from functools import partial
from html import escape

from core.batch import Batch, by_change, differing, flip_matrix, largest_gaps, most_flipped, outcome, rows_of_cell
from core.captions import model_name, say, shared

from charts.markup import note, table
from trainer_ext.report.formatting import metric_title, score
from trainer_ext.report.schema import Scores

WORDS = {
    "en": {
        "reading": "Both models read the texts: {done:,} of {total:,} readings.",
        "stopped": "Stopped. Nothing is running any more.",
        "prepared": "From the run's own test split ({name}): the texts on which the models differ most come first, so "
        "they are not a fair sample. The numbers are for all texts.",
        "differ": "They differ on <strong>{count:,}</strong> of {rows:,} texts ({share:.1f} %).",
        "same": "They give the same answer to all <strong>{rows:,}</strong> texts.",
        "left_out": "Left out: {reasons}.",
        "stray header": "{count:,} stray header rows",
        "empty rows": "{count:,} empty rows",
        "seen in train": "{count:,} in the training data",
        "repeated": "{count:,} repeated",
        "repeats": "{count:,} texts are repeated; they count, as in the “official” scores of the command line.",
        "measure": "measure",
        "agreement": "same answer",
        "lost": "lost",
        "won": "won",
        "both wrong": "both wrong",
        "both right": "both right",
        "lost_of": "lost: only the baseline is right",
        "won_of": "won: only the compressed model is right",
        "both_wrong_of": "both are wrong",
        "mcnemar": "McNemar's exact test, p",
        "matrix": "From which answer to which? Choose a number to see its texts.",
        "to": "compressed →",
        "from": "baseline ↓",
        "cell": "{count:,} · {before} → {after}",
        "others": "{count:,} more answers, which change less, are in the download.",
        "differences": "Where they differ, the largest change first",
        "moved": "No answer changed. Texts whose probabilities changed most",
        "text": "text",
        "answers": "baseline → compressed",
        "change": "change",
        "points": "{points:+.1f} points",
        "more": "and {count:,} more in the download",
        "classes": "By class",
        "class": "class",
        "texts": "texts",
        "given": "answers",
        "f1": "F1",
        "export_same": "the same answer as the compressed model to {share:.1f} % of the texts; {count:,} differ.",
    },
    "mr": {
        "reading": "दोन्ही मॉडेल मजकूर वाचत आहेत: {total:,} पैकी {done:,} वाचने.",
        "stopped": "थांबवले. आता काहीही चालू नाही.",
        "prepared": "हे मॉडेलच्या स्वतःच्या चाचणी-संचातून ({name}) आधीच निवडले आहे: ज्या मजकुरांवर मॉडेलमध्ये सर्वांत जास्त फरक आहे ते "
        "आधी येतात, म्हणून हा निष्पक्ष नमुना नाही. आकडे त्या सर्वांचे आहेत.",
        "differ": "{rows:,} पैकी <strong>{count:,}</strong> मजकुरांवर उत्तरे वेगळी आहेत ({share:.1f} %).",
        "same": "सर्व <strong>{rows:,}</strong> मजकुरांना दोन्ही मॉडेल तेच उत्तर देतात.",
        "left_out": "वगळले: {reasons}.",
        "stray header": "{count:,} मध्येच आलेल्या शीर्षक-ओळी",
        "empty rows": "{count:,} रिकाम्या ओळी",
        "seen in train": "{count:,} प्रशिक्षणात आलेले",
        "repeated": "{count:,} पुन्हा आलेले",
        "repeats": "{count:,} मजकूर आधी आलेले आहेत; कमांड लाइनच्या “official” आकड्यांप्रमाणे तेही मोजले आहेत.",
        "measure": "मोजमाप",
        "agreement": "तेच उत्तर",
        "lost": "गमावले",
        "won": "मिळवले",
        "both wrong": "दोन्ही चूक",
        "both right": "दोन्ही बरोबर",
        "lost_of": "गमावले: फक्त मूळ मॉडेल बरोबर",
        "won_of": "मिळवले: फक्त लहान मॉडेल बरोबर",
        "both_wrong_of": "दोन्ही चूक",
        "mcnemar": "मॅक्नेमार चाचणी, p",
        "matrix": "कोणत्या उत्तराचे कोणते झाले? मजकूर पाहण्यासाठी आकडा निवडा.",
        "to": "लहान →",
        "from": "मूळ ↓",
        "cell": "{count:,} · {before} → {after}",
        "others": "कमी बदललेली आणखी {count:,} उत्तरे उतरवलेल्या फाइलमध्ये आहेत.",
        "differences": "कुठे फरक आहे, सर्वांत मोठा बदल आधी",
        "moved": "एकही उत्तर बदलले नाही. इथे संभाव्यता सर्वांत जास्त बदलल्या",
        "text": "मजकूर",
        "answers": "मूळ → लहान",
        "change": "बदल",
        "points": "{points:+.1f} अंक",
        "more": "आणि आणखी {count:,} उतरवलेल्या फाइलमध्ये",
        "classes": "वर्गानुसार",
        "class": "वर्ग",
        "texts": "मजकूर",
        "given": "उत्तरे",
        "f1": "F1 गुण",
        "export_same": "{share:.1f} % मजकुरांना लहान मॉडेलसारखेच उत्तर; {count:,} उत्तरे वेगळी.",
    },
}
MOST_ANSWERS, MOST_TEXTS, MOST_CHARACTERS, FEWEST_TEXTS = 16, 50, 300, 5
SIDES = ("baseline", "compressed")
_REASONS = {"empty": "empty rows"}


def summary(batch: Batch, language: str) -> str:
    """Show how many answers differ, the scores if there are labels, and how many rows were left out."""
    tell, rows = partial(say, WORDS, language), len(batch.texts)
    count = len(differing(batch))
    verdict = tell("differ" if count else "same", count=count, rows=rows, share=100 * count / rows)
    reasons = [tell(_REASONS.get(reason, reason), count=n) for reason, n in batch.left_out.items()]
    notes = [tell("left_out", reasons=", ".join(reasons))] if reasons else []
    notes += [tell("repeats", count=batch.repeated)] if batch.repeated else []
    lines = [("agreement", f"{100 * batch.agreement:.1f} %")]
    scores = ""
    if (found := batch.quality) is not None:
        before, after = found.baseline or Scores(), found.compressed or Scores()
        lines += [("lost_of", f"{found.lost:,}"), ("won_of", f"{found.won:,}")]
        lines += [("both_wrong_of", f"{found.both_wrong:,}"), ("mcnemar", f"{found.mcnemar_p:.3g}")]
        metrics = "".join(
            f"<tr><th scope='row'>{escape(metric_title(name))}</th><td>{score(before, name)}</td>"
            f"<td>{score(after, name)}</td></tr>"
            for name in before.by_name
        )
        scores = table("batch scores", [tell("measure"), *(model_name(language, side) for side in SIDES)], metrics)
    facts = "".join(f"<tr><th scope='row'>{tell(key)}</th><td>{value}</td></tr>" for key, value in lines)
    small_print = (note(" ".join(notes)) if notes else "") + _exported(batch, language)
    kind = "differ" if count else "same"
    return f"<p class='verdict {kind}' role='status'>{verdict}</p>{small_print}{scores}<table class='batch'>{facts}</table>"


def _exported(batch: Batch, language: str) -> str:
    """Say how often each exported file answers as the compressed model does, with the first texts where it does not."""
    tell, parts = partial(say, WORDS, language), []
    for name, answers in batch.exports.items():
        both = list(zip(batch.texts, batch.answers[1], answers, strict=True))
        changed = [row for row in both if row[1] != row[2]]
        share = 100 * (1 - len(changed) / len(both))
        shown = "".join(
            f"<li>{escape(text[:MOST_CHARACTERS])}: {_word(language, before)} → {_word(language, after)}</li>"
            for text, before, after in changed[:FEWEST_TEXTS]
        )
        told = tell("export_same", share=share, count=len(changed))
        parts.append(
            f"<p class='note'><strong>{escape(name)}</strong>: {told}</p>" + (f"<ul>{shown}</ul>" if shown else "")
        )
    return "".join(parts)


def reading(done: int, total: int, language: str) -> str:
    """Show how far the models are, as a bar."""
    told = say(WORDS, language, "reading", done=done, total=total)
    return f"<p>{told}</p><progress max='{total}' value='{done}' aria-label='{told}'></progress>"


def stopped(language: str) -> str:
    """Say that the comparison was stopped."""
    return f"<p class='verdict' role='status'>{say(WORDS, language, 'stopped')}</p>"


def prepared(batch: Batch, language: str) -> str:
    """Explain that the texts come from the test split of the run."""
    return note(say(WORDS, language, "prepared", name=escape(batch.name)))


def matrix(batch: Batch, language: str) -> str:
    """Show answers of the baseline by answers of the compressed model; each number is a button that shows its texts."""
    tell, flips = partial(say, WORDS, language), flip_matrix(*batch.answers)
    names = most_flipped(flips, most=MOST_ANSWERS)
    names.sort(key=lambda name: batch.labels.index(name) if name in batch.labels else len(batch.labels))
    most = max((count for (before, after), count in flips.items() if before != after), default=1)

    def cell(before: str, after: str) -> str:
        count = flips[before, after]
        if not count:
            return "<td></td>"
        shade = "" if before == after else f" style='--share: {5 + 30 * count / most:.0f}%'"
        title = _cell_title(language, count, before, after)
        return (
            f"<td class='{'kept' if before == after else 'flip'}'{shade}><button type='button' aria-label='{title}' "
            f"data-before='{escape(before)}' data-after='{escape(after)}'>{count:,}</button></td>"
        )

    head = "".join(f"<th scope='col'><span>{_word(language, name)}</span></th>" for name in names)
    body = "".join(
        f"<tr><th scope='row'>{_word(language, before)}</th>{''.join(cell(before, after) for after in names)}</tr>"
        for before in names
    )
    others = len({answer for both in flips for answer in both}) - len(names)
    small_print = note(tell("others", count=others)) if others > 0 else ""
    corner = f"<td>{tell('from')}<br>{tell('to')}</td>"
    return (
        f"<h2>{tell('matrix')}</h2><div class='wide' tabindex='0' role='region' aria-label='{tell('matrix')}'>"
        f"<table class='batch flips'><thead><tr>{corner}{head}</tr></thead><tbody>{body}</tbody></table></div>{small_print}"
    )


def cell_texts(batch: Batch, language: str, before: str, after: str) -> str:
    """Show the texts of one cell of the matrix."""
    rows = rows_of_cell(batch, before, after)
    return f"<div role='status'><h2>{_cell_title(language, len(rows), before, after)}</h2></div>{_texts(batch, language, rows)}"


def differences(batch: Batch, language: str) -> str:
    """Show the texts with different answers; if there are none, those whose probabilities changed most."""
    rows = differing(batch)
    title = "differences" if rows else "moved"
    rows = rows or by_change(batch, range(len(batch.texts)))[:10]
    return f"<h2>{say(WORDS, language, title)}</h2>{_texts(batch, language, rows)}"


def classes(batch: Batch, language: str) -> str:
    """Show how often each model predicts each label, and its F1 if the texts have labels."""
    tell = partial(say, WORDS, language)
    given = [Counter(answers) for answers in batch.answers]
    scored = {one.label: one for one in batch.quality.per_class} if batch.quality else {}
    head = [tell("class"), *([tell("texts")] if scored else [])]
    head += [f"{tell('given')}, {model_name(language, side)}" for side in SIDES]
    head += [f"{tell('f1')}, {model_name(language, side)}" for side in SIDES] if scored else []
    body = ""
    for label in batch.labels:
        cells = [f"{scored[label].support:,}"] if scored else []
        cells += [f"{count[label]:,}" for count in given]
        if scored:
            sides = (scored[label].baseline, scored[label].compressed)
            cells += [f"{100 * side.f1:.1f}" if side is not None and side.f1 is not None else "" for side in sides]
        body += f"<tr><th scope='row'>{escape(label)}</th>{''.join(f'<td>{value}</td>' for value in cells)}</tr>"
    return f"<h2>{tell('classes')}</h2>{table('batch facts classes', head, body)}"


def _texts(batch: Batch, language: str, rows: list[int]) -> str:
    """Return a table row for each text: text and label, both answers, and the label whose probability changed most."""
    tell, (labels, gaps) = partial(say, WORDS, language), largest_gaps(batch.probabilities)

    def line(row: int) -> str:
        shown, *second = (
            text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
            for text in (batch.texts[row], *batch.seconds[row : row + 1])
        )
        truth = "".join(f"<p class='second'>{escape(text)}</p>" for text in second)
        if batch.truths is not None:
            named = _word(language, batch.truths[row])
            truth += f"<small>{shared(language, 'label')}: {named} · {tell(outcome(batch, row))}</small>"
        before, after = (_word(language, answers[row]) for answers in batch.answers)
        label, (first, then) = labels[row], 100 * batch.probabilities[:, row, labels[row]]
        return (
            f"<tr><td>{escape(shown)}{truth}</td><td>{before} → {after}</td><td>"
            f"{tell('points', points=100 * gaps[row])}"
            f"<small>{escape(batch.labels[label])} {first:.1f} → {then:.1f} %</small></td></tr>"
        )

    body = "".join(map(line, rows[:MOST_TEXTS]))
    more = note(tell("more", count=len(rows) - MOST_TEXTS)) if len(rows) > MOST_TEXTS else ""
    return table("batch changes", [tell("text"), tell("answers"), tell("change")], body) + more


def _cell_title(language: str, count: int, before: str, after: str) -> str:
    return say(WORDS, language, "cell", count=count, before=_word(language, before), after=_word(language, after))


def _word(language: str, answer: str) -> str:
    """Return an answer as HTML; a multi-label model may predict no label."""
    return escape(answer) if answer else shared(language, "none")
