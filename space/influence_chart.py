"""Influence chart: the words of a text, shaded and numbered by how much each carried the answer of either model."""

from __future__ import annotations

from functools import partial
from html import escape

import captions
from influence import Influence

WORDS = {
    "en": {
        "title": "Which words carried the answer",
        "note": "Points of probability that the answer loses when the word is left out.",
        "cut": "Of the first {count} words.",
    },
    "mr": {
        "title": "कोणत्या शब्दांमुळे हे उत्तर आले",
        "note": "तो शब्द वगळल्यास उत्तराची शक्यता किती टक्के बिंदूंनी कमी होते.",
        "cut": "फक्त पहिल्या {count} शब्दांसाठी.",
    },
}
say = partial(captions.say, WORDS)


def influence_chart(influences: dict[str, Influence], language: str) -> str:
    """One line of words per model, by what it is ("baseline", "compressed")."""
    lines = "".join(
        f"<dt>{captions.say(captions.WORDS, language, name)}: <strong>{escape(one.label)}</strong></dt>"
        f"<dd class='{name}'>{''.join(map(_word, one.words, one.shares))}</dd>"
        for name, one in influences.items()
    )
    cuts = {say(language, "cut", count=len(one.words)) for one in influences.values() if one.cut}
    note = " ".join([say(language, "note"), *cuts])
    return f"<h2>{say(language, 'title')}</h2><dl class='influence'>{lines}</dl><p class='note'>{note}</p>"


def _word(word: str, share: float) -> str:
    """A word on a ground as strong as its share, its points below it; one that spoke against the answer is dashed."""
    points = round(100 * share)
    kind = " class='against'" if points < 0 else ""
    return f"<span{kind} style='--share:{abs(share):.3f}'>{escape(word)}<small>{f'{points:+}' if points else 0}</small></span> "
