"""Compare both models on one text: their answers, the largest difference, the latency, and the influence of each word."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from core.captions import Refused
from core.limits import MOST_CHARACTERS
from core.models import DECODERS, Pair, Probabilities, Side, likeliest
from trainer_ext.benchmark.latency import take_turns, timed

# Timed rounds. None starts after SECONDS, but three always run.
ROUNDS, WARM_UP, SECONDS = 15, 1, 0.04
CPU = torch.device("cpu")
MOST_WORDS, MOST_TOKENS = 32, 128  # for the influence of words, whose batch has one text more than words
WORDS = {
    "en": {
        "empty": "There is no text to classify; type a sentence or choose an example.",
        "long": "The text has {characters:,} characters; this page takes at most {most:,}.",
        "half": "One of the two text boxes is empty; fill both, or choose an example.",
    },
    "mr": {
        "empty": "मजकूर रिकामा आहे; एखादे वाक्य लिहा किंवा उदाहरण निवडा.",
        "long": "मजकुरात {characters:,} अक्षरचिन्हे आहेत; येथे जास्तीत जास्त {most:,} चालतात.",
        "half": "दोनपैकी एक मजकूर रिकामा आहे; दोन्ही लिहा किंवा उदाहरण निवडा.",
    },
}


@dataclass(frozen=True)
class Answer:
    """The prediction of one model for a text.

    Attributes:
        labels: The likeliest label, or for a multi-label model all labels above one half.
        probabilities: The probability of every label.
        tokens: Number of tokens that the model read.
        cut: Whether the text is longer than the model can read.
        milliseconds: Median latency of a forward pass over this text, with the two models taking turns.
    """

    labels: list[str]
    probabilities: Probabilities
    tokens: int
    cut: bool
    milliseconds: float


@dataclass(frozen=True)
class Comparison:
    """The answers of both models.

    Attributes:
        baseline: The answer of the baseline.
        compressed: The answer of the compressed model.
        same: Whether their labels are the same.
        gap_label: The label whose probability differs most.
        gap: Its probability under the compressed model minus that under the baseline.
        exports: The answers of the exported files, by format.
    """

    baseline: Answer
    compressed: Answer
    same: bool
    gap_label: str
    gap: float
    exports: dict[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True)
class Influence:
    """How much each word contributed to the answer of one model.

    Attributes:
        label: The likeliest label of the text.
        words: The words that were left out, one at a time: the first ones of the text.
        shares: For each word the probability of the label with all words minus that without this word, in [-1, 1].
        cut: Whether the text has more words.
    """

    label: str
    words: list[str]
    shares: list[float]
    cut: bool


def check_text(text: str) -> str:
    """Return the text without leading and trailing white space.

    Raises:
        Refused: The text is empty or too long.
    """
    text = text.strip()
    if not text:
        raise Refused(WORDS, "empty")
    if len(text) > MOST_CHARACTERS:
        raise Refused(WORDS, "long", characters=len(text), most=MOST_CHARACTERS)
    return text


def check_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts of all boxes without surrounding white space.

    Raises:
        Refused: One of them is empty or too long.
    """
    if len(texts) > 1 and not all(text.strip() for text in texts):
        raise Refused(WORDS, "half")
    return [check_text(text) for text in texts]


def largest_gap(before: Probabilities, after: Probabilities) -> tuple[str, float]:
    """Return the label whose probability changed most, and the change, `after - before`."""
    label = max(before, key=lambda name: abs(after[name] - before[name]))
    return label, after[label] - before[label]


@torch.inference_mode()
def compare(text: str, pair: Pair, second: str | None = None) -> Comparison:
    """Classify a text, or a pair of texts, with both models in turns, then with each exported file, and time them.

    The files wait until PyTorch is done: the threads of their runtimes stay awake after a call.

    Raises:
        Refused: As :func:`check_texts`.
    """
    given = check_texts([text] if second is None else [text, second])
    inputs: dict[str, Any] = {}
    logits: dict[str, torch.Tensor] = {}

    def timed_call(name: str, side: Side) -> Callable[[int], float]:
        def ask() -> None:
            logits[name] = side.model(**inputs[name]).logits[0].float()

        return lambda _: timed(ask, side.model.device)

    for name, side in pair.sides.items():
        encoded = side.tokenizer(*given, truncation=True, max_length=side.max_tokens, return_tensors="pt")
        inputs[name] = encoded.to(side.model.device)
    calls = {name: timed_call(name, side) for name, side in pair.sides.items()}
    times = take_turns(calls, repeats=ROUNDS, warmup=WARM_UP, seconds_limit=SECONDS)
    before, after = (
        answer(
            logits[name],
            labels=side.labels,
            problem_type=side.problem_type,
            tokens=inputs[name]["input_ids"].shape[1],
            tokens_of_text=len(side.tokenizer(*given, verbose=False)["input_ids"]),
            milliseconds=statistics.median(times[name]),
        )
        for name, side in pair.sides.items()
    )
    same = sorted(before.labels) == sorted(after.labels)
    exports = _ask_exports(pair, inputs["compressed"], after) if pair.exports else {}
    return Comparison(before, after, same, *largest_gap(before.probabilities, after.probabilities), exports)


def _ask_exports(pair: Pair, inputs: Any, read: Answer) -> dict[str, Answer]:
    """Return the answers of the exported files to the inputs of the compressed model, whose answer says what it read."""
    batch = {name: values.cpu().numpy() for name, values in inputs.items()}
    found: dict[str, Answer] = {}
    for one in pair.exports:
        logits: list[Any] = []

        def call(_: int, one: Any = one, logits: list[Any] = logits) -> float:
            return timed(lambda: logits.append(one.logits(batch)[0]), CPU)

        times = take_turns({one.name: call}, repeats=ROUNDS, warmup=WARM_UP, seconds_limit=SECONDS / 2)
        milliseconds = statistics.median(times[one.name])
        side = pair.compressed
        said = answer(
            torch.from_numpy(logits[-1]).float(),
            labels=side.labels,
            problem_type=side.problem_type,
            tokens=read.tokens,
            tokens_of_text=read.tokens + read.cut,
            milliseconds=milliseconds,
        )
        found[one.name] = said
    return found


def answer(
    logits: torch.Tensor,
    *,
    labels: list[str],
    problem_type: str | None,
    tokens: int,
    tokens_of_text: int,
    milliseconds: float,
) -> Answer:
    """Return the answer that logits [labels] mean for a model of a problem type, a key of `DECODERS`."""
    to_probabilities, to_labels = DECODERS[problem_type]
    probabilities = dict(zip(labels, to_probabilities(logits).tolist(), strict=True))
    return Answer(to_labels(probabilities), probabilities, tokens, tokens_of_text > tokens, milliseconds)


def leave_one_out(words: list[str]) -> list[str]:
    """Return the text of all words, then the text without the first word, without the second, and so on."""
    return [" ".join(words), *(" ".join(words[:index] + words[index + 1 :]) for index in range(len(words)))]


def influence(text: str, side: Side, second: str = "") -> Influence:
    """Return the influence of each word on one model's answer; raises as :func:`check_text` does.

    Of a pair, words of the first text are left out, and the second stays.

    Occlusion as in Li et al. 2016, "Understanding Neural Networks through Representation Erasure" (arXiv 1612.08220),
    section 3: the importance of a word is the probability that the answer loses without it.
    """
    all_words = check_text(text).split()
    words = all_words[:MOST_WORDS]
    with_all, *without = side.ask(leave_one_out(words), max_tokens=MOST_TOKENS, second=second)
    (label,) = likeliest(with_all)
    return Influence(label, words, [with_all[label] - one[label] for one in without], len(all_words) > len(words))
