"""Compare both models on one text whose answer is a part of it: the entities of a sentence, the answer to a question."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding

from core.batch_input import arguments
from core.compare import CPU, ROUNDS, SECONDS, WARM_UP, check_texts
from core.kinds import Span
from core.models import Pair, Side
from trainer_ext.benchmark.latency import take_turns, timed
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.encoding import WORD_STARTS
from trainer_ext.models.outputs import logits as logits_of
from trainer_ext.tasks.registry import Task, task_of


@dataclass(frozen=True)
class SpanAnswer:
    """What one model marks in a text.

    Attributes:
        spans: The entities in the order of the text, or the answer to the question.
        tokens: Number of tokens that the model read, in all windows of a long context.
        cut: Whether there are words that it could not read.
        milliseconds: Median latency of a forward pass, with the two models taking turns.
    """

    spans: tuple[Span, ...]
    tokens: int
    cut: bool
    milliseconds: float

    @property
    def places(self) -> set[tuple[int, int, str]]:
        """The spans without their probabilities."""
        return {(span.start, span.end, span.label) for span in self.spans}


@dataclass(frozen=True)
class SpanComparison:
    """The answers of both models, as positions in a text.

    Attributes:
        text: The text that the positions are in: the sentence, or the context of the question.
        baseline: The answer of the baseline.
        compressed: The answer of the compressed model.
        same: Whether both mark the same.
        exports: The answers of the exported files, by format.
    """

    text: str
    baseline: SpanAnswer
    compressed: SpanAnswer
    same: bool
    exports: dict[str, SpanAnswer] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reading:
    """How the run read its texts."""

    task: Task
    args: DataArguments


@dataclass(frozen=True)
class _Encoded:
    """A text as the run encodes it: the rows with all columns, and the model's inputs as one batch."""

    rows: Dataset
    batch: dict[str, torch.Tensor]

    def answer(self, logits: np.ndarray, texts: Dataset, side: Side, reading: _Reading, *, times: list) -> SpanAnswer:
        """Return what logits `[rows, length, ...]` mean for the first of the texts."""
        spans = side.kind.spans
        assert spans is not None
        cut = WORD_STARTS in self.rows.column_names and any(start < 0 for start in self.rows[WORD_STARTS][0])
        return SpanAnswer(
            spans(list(logits), self.rows, texts, side.labels, reading.args, reading.task),
            int(self.batch["attention_mask"].sum()),
            cut,
            statistics.median(times),
        )


def find(text: str, pair: Pair, second: str | None = None) -> SpanComparison:
    """Let both models mark a text in turns, then each exported file, and time them.

    Args:
        text: A sentence, or a question.
        pair: The models.
        second: The context of a question.

    Raises:
        Refused: As :func:`core.compare.check_texts`.
    """
    given = check_texts([text] if second is None else [text, second])
    if second is None:
        given = [" ".join(given[0].split())]  # words stand between single spaces, as the package reads them
    unlabelled = pair.kind.unlabelled
    assert unlabelled is not None
    columns = {"text": given[:1], "label": [unlabelled(given[0])]}
    texts = Dataset.from_dict(columns if second is None else {**columns, "text_pair": given[1:]})
    reading = read_as(pair)
    encoded = {name: _encode(texts, side, reading) for name, side in pair.sides.items()}
    found: dict[str, np.ndarray] = {}

    def timed_call(name: str, side: Side) -> Callable[[int], float]:
        def ask() -> None:
            found[name] = logits_of(side.model, encoded[name].batch).cpu().numpy()

        return lambda _: timed(ask, side.model.device)

    calls = {name: timed_call(name, side) for name, side in pair.sides.items()}
    times = take_turns(calls, repeats=ROUNDS, warmup=WARM_UP, seconds_limit=SECONDS)
    before, after = (
        encoded[name].answer(found[name], texts, side, reading, times=times[name]) for name, side in pair.sides.items()
    )
    exports = {}
    for one in pair.exports:
        inputs = {name: values.cpu().numpy() for name, values in encoded["compressed"].batch.items()}
        answers: list[Any] = []
        call = _timed_file(one, inputs, answers)
        taken = take_turns({one.name: call}, repeats=ROUNDS, warmup=WARM_UP, seconds_limit=SECONDS / 2)[one.name]
        exports[one.name] = encoded["compressed"].answer(answers[-1], texts, pair.compressed, reading, times=taken)
    return SpanComparison(given[-1], before, after, before.places == after.places, exports)


def read_as(pair: Pair) -> _Reading:
    """Return how the run read its texts, with no window longer than what both models can read."""
    args = arguments(pair.report, None, task=pair.kind.task)
    length = min(args.max_length, *(side.max_tokens for side in pair.sides.values()))
    args = replace(args, max_length=length, doc_stride=max(1, min(args.doc_stride, length // 2)))
    return _Reading(task_of(args), args)


def _timed_file(one: Any, inputs: dict[str, np.ndarray], answers: list) -> Callable[[int], float]:
    return lambda _: timed(lambda: answers.append(np.asarray(one.logits(inputs), dtype=np.float32)), CPU)


def _encode(texts: Dataset, side: Side, reading: _Reading) -> _Encoded:
    rows = Dataset.from_dict(reading.task.encode(texts, side.tokenizer, reading.args))
    inputs = rows.select_columns([name for name in side.tokenizer.model_input_names if name in rows.column_names])
    batch = DataCollatorWithPadding(side.tokenizer)(list(inputs))
    return _Encoded(rows, {name: values.to(side.model.device) for name, values in batch.items()})
