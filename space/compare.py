"""Compare: what both models say about one text, how far apart they are, and how long each takes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from captions import Refused

from trainer_ext.benchmark.latency import take_turns, timed

if TYPE_CHECKING:
    from models import Pair

MOST_CHARACTERS = 10_000
ROUNDS, WARM_UP, SECONDS = 15, 1, 0.04  # of the burst; no round starts after these seconds, but three are always made
_ON = 0.5
WORDS = {
    "en": {
        "empty": "There is no text to classify; type a sentence or choose an example.",
        "long": "The text has {characters:,} characters; this page takes at most {most:,}.",
    },
    "mr": {
        "empty": "मजकूर रिकामा आहे; एखादे वाक्य लिहा किंवा उदाहरण निवडा.",
        "long": "मजकुरात {characters:,} अक्षरचिन्हे आहेत; येथे जास्तीत जास्त {most:,} चालतात.",
    },
}


@dataclass(frozen=True)
class Answer:
    """What one model says about a text.

    Attributes:
        labels: its answer: the likeliest label, or with several labels per text every one above one half.
        probabilities: of every label.
        tokens: that it read.
        cut: the text had more than it can read.
        milliseconds: of one forward pass over this text, the median of a burst in which the models took turns.
    """

    labels: list[str]
    probabilities: dict[str, float]
    tokens: int
    cut: bool
    milliseconds: float


@dataclass(frozen=True)
class Comparison:
    """Both answers; `gap` is the probability of `gap_label` under the compressed model minus that under the baseline,
    the one that is furthest from zero."""

    baseline: Answer
    compressed: Answer
    same: bool
    gap_label: str
    gap: float


def likeliest(probabilities: dict[str, float]) -> list[str]:
    """The one label of the highest probability."""
    return [max(probabilities, key=probabilities.__getitem__)]


def all_on(probabilities: dict[str, float]) -> list[str]:
    """Every label above one half."""
    return [label for label, probability in probabilities.items() if probability > _ON]


# By the problem type of the model's config: probabilities of logits [labels], and the answer that they mean.
ANSWERS: dict[str | None, tuple[Callable, Callable]] = {
    None: (lambda logits: logits.softmax(-1), likeliest),
    "single_label_classification": (lambda logits: logits.softmax(-1), likeliest),
    "multi_label_classification": (torch.sigmoid, all_on),
}


def check_text(text: str) -> str:
    """The text without space around it.

    Raises:
        Refused: nothing is left, or it is too long.
    """
    text = text.strip()
    if not text:
        raise Refused(WORDS, "empty")
    if len(text) > MOST_CHARACTERS:
        raise Refused(WORDS, "long", characters=len(text), most=MOST_CHARACTERS)
    return text


def largest_gap(before: dict[str, float], after: dict[str, float]) -> tuple[str, float]:
    """The label whose probability changed most, and `after - before` of it."""
    label = max(before, key=lambda name: abs(after[name] - before[name]))
    return label, after[label] - before[label]


@torch.inference_mode()
def compare(text: str, pair: Pair) -> Comparison:
    """Ask both models about one text, in turns, and time them; raises as :func:`check_text` does."""
    text = check_text(text)
    inputs, logits = {}, {}

    def call(name: str, model) -> Callable[[int], float]:
        def ask() -> None:
            logits[name] = model(**inputs[name]).logits[0].float()

        return lambda _: timed(ask, model.device)

    for name, side in pair.sides.items():
        encoded = side.tokenizer(text, truncation=True, max_length=side.longest, return_tensors="pt")
        inputs[name] = encoded.to(side.model.device)
    calls = {name: call(name, side.model) for name, side in pair.sides.items()}
    times = take_turns(calls, repeats=ROUNDS, warmup=WARM_UP, seconds_limit=SECONDS)
    before, after = (
        answer(
            logits[name],
            labels=side.labels,
            problem_type=side.model.config.problem_type,
            tokens=inputs[name]["input_ids"].shape[1],
            tokens_of_text=len(side.tokenizer(text, verbose=False)["input_ids"]),
            milliseconds=statistics.median(times[name]),
        )
        for name, side in pair.sides.items()
    )
    same = sorted(before.labels) == sorted(after.labels)
    return Comparison(before, after, same, *largest_gap(before.probabilities, after.probabilities))


def answer(
    logits: torch.Tensor,
    *,
    labels: list[str],
    problem_type: str | None,
    tokens: int,
    tokens_of_text: int,
    milliseconds: float,
) -> Answer:
    """What logits [labels] mean for a model of this problem type, which must be in `ANSWERS`."""
    to_probabilities, to_labels = ANSWERS[problem_type]
    probabilities = dict(zip(labels, to_probabilities(logits).tolist(), strict=True))
    return Answer(to_labels(probabilities), probabilities, tokens, tokens_of_text > tokens, milliseconds)
