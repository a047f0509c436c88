"""The kinds of tasks that the page shows, as one table: which models, which text boxes, and what an answer consists of.

Reading, encoding and decoding are those of the package (`trainer_ext.tasks.registry`), as in the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from datasets import Dataset

from core.captions import EXAMPLES, PAIR_EXAMPLES, QUESTION_EXAMPLES, TAG_EXAMPLES
from trainer_ext.data.arguments import DataArguments
from trainer_ext.models.loading import head_of
from trainer_ext.report.schema import CompressionReport
from trainer_ext.tasks.metrics import entities
from trainer_ext.tasks.postprocess import find_answers
from trainer_ext.tasks.registry import SINGLE_LABEL, Task

MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"  # which the page refuses


@dataclass(frozen=True, order=True)
class Span:
    """A part of a text that an answer marks.

    Attributes:
        start: Its first character.
        end: The character after its last one.
        label: The type of the entity; "" for the answer to a question.
        probability: Of the answer to a question; None for entities.
    """

    start: int
    end: int
    label: str = ""
    probability: float | None = None


Spans = Callable[[list, Dataset, Dataset, list[str], DataArguments, Task], tuple[Span, ...]]


@dataclass(frozen=True)
class Kind:
    """What the page knows about a kind of task.

    Attributes:
        task: Its name in `trainer_ext.tasks.registry`.
        head: The head of its models, one of `trainer_ext.models.loading.HEADS`.
        problem_types: Those of the models' configs that belong to it.
        boxes: The text boxes, by the keys of their captions.
        examples: What to try, a text for each box.
        labels: The fewest outputs of a model.
        unlabelled: Returns a label without meaning for a text: the package encodes rows with labels.
        spans: Returns what an answer marks in the last text, from the logits of its rows; None if an answer is a label.
    """

    task: str
    head: str
    problem_types: tuple[str | None, ...]
    boxes: tuple[str, ...]
    examples: tuple[tuple[str, ...], ...]
    labels: int = 2
    unlabelled: Callable[[str], Any] | None = None
    spans: Spans | None = None


def entity_spans(
    logits: list, encoded: Dataset, rows: Dataset, names: list[str], args: DataArguments, task: Task
) -> tuple[Span, ...]:
    """Return the entities of the first row, whose words stand between single spaces."""
    (tags,) = task.answer(logits, encoded, rows, names, args)
    starts, ends = word_places(rows["text"][0].split(" "))
    return tuple(sorted(Span(starts[first], ends[after - 1], kind) for kind, first, after in entities(tags)))


def answer_spans(
    logits: list, encoded: Dataset, rows: Dataset, names: list[str], args: DataArguments, task: Task
) -> tuple[Span, ...]:
    """Return the answer to the question of the first row; no span if there is none."""
    (found,) = find_answers(logits, encoded, 1, longest=args.max_answer_length)
    return (Span(found.start, found.end, probability=found.probability),) if found.start < found.end else ()


def word_places(words: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the first characters of words between single spaces, and the characters after their last ones."""
    starts, ends, at = [], [], 0
    for word in words:
        starts.append(at)
        ends.append(at + len(word))
        at = ends[-1] + 1
    return starts, ends


_of_texts = partial(
    Kind,
    task="text-classification",
    head="ForSequenceClassification",
    problem_types=(None, SINGLE_LABEL, MULTI_LABEL),
)
CLASSES = _of_texts(boxes=("text",), examples=tuple((text,) for text in EXAMPLES))
PAIRS = _of_texts(boxes=("first", "second"), examples=PAIR_EXAMPLES)
TAGS = Kind(
    task="token-classification",
    head="ForTokenClassification",
    problem_types=(None, SINGLE_LABEL),
    boxes=("text",),
    examples=tuple((text,) for text in TAG_EXAMPLES),
    unlabelled=lambda text: [0] * len(text.split(" ")),
    spans=entity_spans,
)
ANSWERS = Kind(
    task="question-answering",
    head="ForQuestionAnswering",
    problem_types=(None, SINGLE_LABEL),
    boxes=("question", "context"),
    examples=QUESTION_EXAMPLES,
    unlabelled=lambda text: [{"start": 0, "text": ""}],
    spans=answer_spans,
)
KINDS = (CLASSES, PAIRS, TAGS, ANSWERS)


def kind_of(config: Any, report: CompressionReport | None) -> Kind | None:
    """Return the kind of task of a model; None if the page does not show it.

    Args:
        config: The config of the model.
        report: The report of its run, which says whether it reads pairs of texts.
    """
    pairs = bool(report and report.recipe.get("text_pair_column"))
    fitting = [
        kind
        for kind in KINDS
        if kind.head == head_of(config)
        and config.problem_type in kind.problem_types
        and config.num_labels >= kind.labels
    ]
    return next((kind for kind in fitting if kind.spans or (len(kind.boxes) == 2) == pairs), None)
