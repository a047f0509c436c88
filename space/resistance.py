"""Resistance: how many small changes of a text it takes until a model answers something else, and which model first."""

from __future__ import annotations

from dataclasses import dataclass

from asking import ask
from compare import ANSWERS, check_text
from models import Pair
from stress import KINDS, variants

MOST_TOKENS = 128


@dataclass(frozen=True)
class Trial:
    """A text with more and more changes of one kind, and what both models make of it.

    Attributes:
        kind: of the changes, a key of `stress.KINDS`.
        texts: with 0, 1, 2, ... changes; only the first where there is no place for one.
        labels: by model, what it answers to each text.
        kept: by model, the probability of its first answer, per text; of several labels the lowest.
        turned: by model, at how many changes its answer is another; None where it never is.
    """

    kind: str
    texts: list[str]
    labels: dict[str, list[list[str]]]
    kept: dict[str, list[float]]
    turned: dict[str, int | None]


def first_other(answers: list[list[str]]) -> int | None:
    """Index of the first answer that is not the one at 0."""
    return next((index for index, answer in enumerate(answers) if answer != answers[0]), None)


def first_to_turn(turned: dict[str, int | None]) -> str | None:
    """The model that needs fewer changes; None where they need as many, or neither turns."""
    ranked = sorted((changes, name) for name, changes in turned.items() if changes is not None)
    if not ranked or len({changes for changes, _ in ranked}) < len(ranked):
        return None
    return ranked[0][1]


def resist(text: str, pair: Pair, *, most: int, seed: int) -> list[Trial]:
    """Try every kind of change, up to `most` of each, all texts in one batch per model.

    Raises:
        Refused: as :func:`compare.check_text`.
    """
    text = check_text(text)
    texts = {kind: variants(text, kind, most, seed) for kind in KINDS}
    every = list(dict.fromkeys(one for some in texts.values() for one in some))
    said = {
        name: dict(zip(every, ask(every, side, longest=MOST_TOKENS), strict=True)) for name, side in pair.sides.items()
    }
    return [_trial(kind, some, said, pair) for kind, some in texts.items()]


def _trial(kind: str, texts: list[str], said: dict[str, dict[str, dict[str, float]]], pair: Pair) -> Trial:
    labels, kept = {}, {}
    for name, side in pair.sides.items():
        _, to_labels = ANSWERS[side.model.config.problem_type]
        labels[name] = [sorted(to_labels(said[name][text])) for text in texts]
        kept[name] = [min((said[name][text][label] for label in labels[name][0]), default=0.0) for text in texts]
    return Trial(kind, texts, labels, kept, {name: first_other(answers) for name, answers in labels.items()})
