"""Show the stress test: for each kind of change which model changes its answer first, and all texts that were tried."""

from __future__ import annotations

from collections import Counter
from functools import partial
from html import escape

from core import captions
from core.captions import Refused, model_name, shared
from core.stress import ZERO_WIDTH_JOINER, Trial, first_to_turn

from charts.markup import note, refusal, table

WORDS = {
    "en": {
        "typos": "typos: letters swapped",
        "joiners": "zero-width joiners: invisible, here ·",
        "nuktas": "dots (nukta) added or removed",
        "digits": "digits: ०-९ for 0-9, 0-9 for ०-९",
        "truncation": "words cut off at the end",
        "nobody": "Neither model changes its answer before the other.",
        "somebody": "Changes its answer first: the baseline in {before} of {kinds} kinds, the compressed model in {after}.",
        "stays": "never: {label}",
        "turns": "at {changes}: {label}",
        "nowhere": "nothing to change",
        "kind": "change",
        "tried": "tried",
        "every": "Every text that was tried",
        "changes": "changes",
        "text": "text",
        "note": "Bars: the probability of the first answer, with one more change in each bar. Pale bars: the answer has "
        "changed.",
    },
    "mr": {
        "typos": "टंकनचुका: अक्षरांची अदलाबदल",
        "joiners": "अदृश्य जोडचिन्हे (ZWJ), इथे ·",
        "nuktas": "नुक्ता देणे किंवा काढणे",
        "digits": "अंक: 0-9 ऐवजी ०-९, ०-९ ऐवजी 0-9",
        "truncation": "शेवटचे शब्द वगळणे",
        "nobody": "कोणतेही मॉडेल दुसऱ्याच्या आधी उत्तर बदलत नाही.",
        "somebody": "आधी उत्तर बदलणारे: {kinds} प्रकारांपैकी {before} मध्ये मूळ मॉडेल, {after} मध्ये लहान मॉडेल.",
        "stays": "बदलत नाही: {label}",
        "turns": "{changes} बदलांवर: {label}",
        "nowhere": "बदलण्यासारखे काही नाही",
        "kind": "बदलाचा प्रकार",
        "tried": "केलेले बदल",
        "every": "तपासलेले सर्व मजकूर",
        "changes": "बदल",
        "text": "मजकूर",
        "note": "पट्ट्या: प्रत्येक वाढत्या बदलानंतर पहिल्या उत्तराची शक्यता. फिकट पट्टी: उत्तर बदलले आहे.",
    },
}
say = partial(captions.say, WORDS)


def stress_chart(trials: list[Trial] | Refused | None, language: str) -> str:
    """Show the verdict, one row for each kind of change, and the texts; nothing before the first test."""
    if isinstance(trials, Refused):
        return refusal(trials, language)
    if not trials:
        return ""
    first = Counter(first_to_turn(trial.turned) for trial in trials)
    before, after = first["baseline"], first["compressed"]
    verdict = (
        say(language, "somebody", before=before, after=after, kinds=len(trials))
        if before + after
        else say(language, "nobody")
    )
    kind = "differ" if before + after else "same"
    names = [model_name(language, name) for name in ("baseline", "compressed")]
    rows = "".join(_summary(trial, language) for trial in trials)
    texts = "".join(_texts(trial, language) for trial in trials if len(trial.texts) > 1)
    return (
        f"<p class='verdict {kind}' role='status'>{verdict}</p>"
        + table("numbers stress", [say(language, "kind"), say(language, "tried"), *names], rows)
        + f"{note(say(language, 'note'))}<h2>{say(language, 'every')}</h2>{texts}"
    )


def _summary(trial: Trial, language: str) -> str:
    """Return a table row: the kind, the number of possible changes, and for each model when its answer changes."""
    name = f"<th scope='row'>{say(language, trial.kind)}</th>"
    if len(trial.texts) == 1:
        return f"<tr>{name}<td>0</td><td colspan='2'>{say(language, 'nowhere')}</td></tr>"
    cells = "".join(
        f"<td class='{side}'>{_strip(trial, side)}{_turn(trial, side, language)}</td>" for side in trial.turned
    )
    return f"<tr>{name}<td>{len(trial.texts) - 1}</td>{cells}</tr>"


def _turn(trial: Trial, side: str, language: str) -> str:
    """Say at how many changes the answer of a model changes, and to what."""
    changes = trial.turned[side]
    label = _labels(trial.labels[side][changes or 0], language)
    return (
        say(language, "stays", label=label)
        if changes is None
        else say(language, "turns", changes=changes, label=label)
    )


def _strip(trial: Trial, side: str) -> str:
    """Return a bar for each text, as high as the first answer is likely; screen readers get the table of texts."""
    answers = trial.labels[side]
    bars = "".join(
        f"<i{'' if answer == answers[0] else ' class=other'} style='height:{100 * kept:.0f}%'></i>"
        for answer, kept in zip(answers, trial.kept[side], strict=True)
    )
    return f"<span class='strip' aria-hidden='true'>{bars}</span>"


def _texts(trial: Trial, language: str) -> str:
    """Return all texts of one kind with both answers, folded."""
    names = [model_name(language, name) for name in trial.turned]
    rows = "".join(
        _row(
            [
                str(changes),
                escape(text).replace(ZERO_WIDTH_JOINER, "<mark>·</mark>"),
                *(
                    f"{_labels(trial.labels[side][changes], language)} {100 * trial.kept[side][changes]:.0f} %"
                    for side in trial.turned
                ),
            ],
        )
        for changes, text in enumerate(trial.texts)
    )
    found = table("numbers texts", [say(language, "changes"), say(language, "text"), *names], rows)
    return f"<details><summary>{say(language, trial.kind)}</summary>{found}</details>"


def _labels(labels: list[str], language: str) -> str:
    return escape(", ".join(labels)) or shared(language, "none")


def _row(cells: list[str]) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
