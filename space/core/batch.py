"""Compare both models on many texts: their answers, their scores, the rows that differ, and the download files."""

from __future__ import annotations

import csv
import io
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from core.models import DECODERS, Pair, Side
from core.startup import SIDES
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.cleaning import unseen
from trainer_ext.data.encoding import encode_texts
from trainer_ext.data.records import Examples
from trainer_ext.report.schema import Quality
from trainer_ext.tasks.dataset import as_known
from trainer_ext.tasks.evaluate import compare_quality, predict
from trainer_ext.tasks.registry import task_of

BATCH_SIZE = 32  # bounds the memory
_OUTCOMES = {(True, False): "lost", (False, True): "won", (False, False): "both wrong", (True, True): "both right"}
_COLUMNS = ("label", "outcome", "baseline", "compressed", "most_changed", "p_baseline", "p_compressed")
# First characters of a formula in a spreadsheet (OWASP, "CSV Injection"), also in the wide forms of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, eq=False)
class Batch:
    """The answers of both models to the same texts.

    Attributes:
        name: Name of the file, or of the text box.
        texts: The texts.
        truths: The right answer to each text as words; None if the texts have no labels.
        labels: Names of the labels, in the order of the probabilities.
        answers: Answers of the baseline and of the compressed model as words; "" if none of several labels is predicted.
        probabilities: Of both models, [2, rows, labels].
        agreement: Fraction of texts with the same answer.
        quality: The scores as in compression.json; None if the texts have no labels.
        left_out: Number of rows without a usable text, by reason.
        repeated: Number of rows whose text occurred before; they are not left out.
        exports: The answers of the exported files as words, by format.
        seconds: The second text of each row, if the models read pairs.
    """

    name: str
    texts: list[str]
    truths: list[str] | None
    labels: list[str]
    answers: tuple[list[str], list[str]]
    probabilities: np.ndarray
    agreement: float
    quality: Quality | None
    left_out: dict[str, int]
    repeated: int
    exports: dict[str, list[str]] = field(default_factory=dict)
    seconds: list[str] = field(default_factory=list)


Steps = Generator[int, None, Batch]  # yields the number of rows of each batch, and returns the result


def compare_texts(
    table: Examples, pair: Pair, args: DataArguments, *, name: str, on_rows: Callable[[int], None] | None = None
) -> Batch:
    """Classify texts with both models, as :func:`compare_in_steps`, to the end.

    Args:
        table: The texts.
        pair: The models.
        args: How the texts were read.
        name: Name of the file, or of the text box.
        on_rows: Called with the number of rows of each batch.
    """
    steps = compare_in_steps(table, pair, args, name=name)
    while not isinstance(found := advance(steps), Batch):
        if on_rows is not None:
            on_rows(found)
    return found


def advance(steps: Steps) -> int | Batch:
    """Do the next step: return the number of its rows, or the result if there is no further one."""
    try:
        return next(steps)
    except StopIteration as end:
        return end.value


class Ending:
    """How a comparison ends: with its result or stopped by its visitor, whichever comes first. It starts once."""

    def __init__(self) -> None:
        self._end = ""
        self._has_started = False
        self._lock = threading.Lock()  # the button is not in the queue

    def start(self) -> bool:
        """Start the comparison; returns False if it has started, or was stopped before."""
        with self._lock:
            starts = not (self._has_started or self._end)
            self._has_started = True
            return starts

    def by_result(self) -> bool:
        """End with the result; returns False if it was stopped before."""
        return self._first("result")

    def by_stop(self) -> bool:
        """End because the visitor stops it; returns False if the result came before."""
        return self._first("stop")

    @property
    def is_running(self) -> bool:
        """Whether it has started and not ended."""
        return self._has_started and not self._end

    @property
    def is_stopped(self) -> bool:
        """Whether the visitor stopped it."""
        return self._end == "stop"

    def _first(self, end: str) -> bool:
        with self._lock:
            self._end = self._end or end
            return self._end == end


def compare_in_steps(table: Examples, pair: Pair, args: DataArguments, *, name: str) -> Steps:
    """Classify texts with both models, in batches; long texts are cut as in the run. Nothing runs between two steps.

    Args:
        table: The texts; their labels are used only if `args.label_column` is set.
        pair: The models.
        args: How the texts were read.
        name: Name of the file, or of the text box.

    Yields:
        Numbers of processed rows, in total the number of texts for each model and file.

    Returns:
        The answers.

    Raises:
        InputError: The models do not know a label.
    """
    task, labels, rows = task_of(args), pair.baseline.labels, table.rows
    if args.label_column:
        rows = tuple(as_known(rows, labels, task.labels, path=Path(name)))
    texts, seconds = [row.text for row in rows], [row.pair for row in rows if row.pair]
    asked = Dataset.from_dict({"text": texts, "text_pair": seconds} if seconds else {"text": texts})
    logits = []
    for side in pair.sides.values():
        found = yield from _logits(side, asked, labels, args)
        logits.append(found)
    unused = Dataset.from_dict({})  # only tasks on tokens need the encoded rows
    before, after = (task.answer(list(found), unused, unused, labels, args) for found in logits)
    exports = {}
    for one in pair.exports:
        said = yield from _of_file(one, pair, asked, labels, args)
        exports[one.name] = in_words(task.answer(said, unused, unused, labels, args), labels)
    to_probabilities, _ = DECODERS[args.problem_type]
    quality = truths = None
    if args.label_column:
        ids = {label: index for index, label in enumerate(labels)}
        truth = task.references([task.labels.value(row.label, ids) for row in rows], labels)
        quality = compare_quality(name, before, after, truth, task=task, args=args, labels=labels)
        truths = in_words(truth, labels)
    return Batch(
        name=name,
        texts=texts,
        truths=truths,
        labels=labels,
        answers=(in_words(before, labels), in_words(after, labels)),
        probabilities=to_probabilities(torch.from_numpy(np.stack(logits))).numpy(),
        agreement=float(np.mean((task.same or np.equal)(before, after))),
        quality=quality,
        left_out=dict(table.dropped),
        repeated=unseen(rows, seen=frozenset())[1]["repeated"],
        exports=exports,
        seconds=seconds,
    )


def _encoded(side: Side, asked: Dataset, args: DataArguments) -> tuple[Dataset, np.ndarray]:
    """Return the tokenized rows, the shortest first, so that few tokens are padding, and where each text is among them."""
    args = replace(args, max_length=min(args.max_length, side.max_tokens))
    encoded = Dataset.from_dict(encode_texts(asked, side.tokenizer, args))
    order = np.argsort([len(ids) for ids in encoded["input_ids"]], kind="stable")
    return encoded.select(order), np.argsort(order)


def _of_file(
    one: Any, pair: Pair, asked: Dataset, labels: list[str], args: DataArguments
) -> Generator[int, None, list[np.ndarray]]:
    """Return the logits of an exported file for each text, in the order of `labels`."""
    side, rows = pair.compressed, []
    order = [side.labels.index(label) for label in labels]
    encoded, places = _encoded(side, asked, args)
    for start in range(0, len(encoded), BATCH_SIZE):
        some = encoded[start : start + BATCH_SIZE]
        rows += [*one.logits(dict(side.tokenizer.pad(some, return_tensors="np")))[:, order]]
        yield len(some["input_ids"])
    return [rows[place] for place in places]


def _logits(side: Side, asked: Dataset, labels: list[str], args: DataArguments) -> Generator[int, None, np.ndarray]:
    """Return logits [rows, labels] in the order of `labels`, which may differ from the model's own order."""
    (encoded, places), rows = _encoded(side, asked, args), []
    for start in range(0, len(encoded), BATCH_SIZE):
        some = encoded.select(range(start, min(start + BATCH_SIZE, len(encoded))))
        rows += predict(side.model, some, side.tokenizer, batch_size=BATCH_SIZE)
        yield len(some)
    return np.stack(rows)[places][:, [side.labels.index(label) for label in labels]]


def in_words(answers: np.ndarray, labels: Sequence[str]) -> list[str]:
    """Return the label names of class ids [rows] or of booleans [rows, labels]; several names are joined by commas."""
    if answers.ndim == 1:
        return [labels[index] for index in answers]
    return [", ".join(label for label, on in zip(labels, row, strict=True) if on) for row in answers]


def flip_matrix(before: Sequence[str], after: Sequence[str]) -> Counter[tuple[str, str]]:
    """Count the rows by their two answers, (before, after)."""
    return Counter(zip(before, after, strict=True))


def most_flipped(flips: Counter[tuple[str, str]], *, most: int) -> list[str]:
    """Return at most `most` answers: those of the most flipped rows first, then the most frequent ones."""
    flipped: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for (before, after), count in flips.items():
        for answer in (before, after):
            given[answer] += count
            flipped[answer] += count * (before != after)
    return sorted(given, key=lambda answer: (-flipped[answer], -given[answer], answer))[:most]


def largest_gaps(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the label whose probability changed most in each row.

    Args:
        probabilities: Of both models, [2, rows, labels].

    Returns:
        Indices of the labels, [rows], and the changes, after - before, [rows].
    """
    change = probabilities[1] - probabilities[0]
    label = np.abs(change).argmax(-1)
    return label, np.take_along_axis(change, label[:, None], -1)[:, 0]


def by_change(batch: Batch, rows: Iterable[int]) -> list[int]:
    """Sort rows by how much their probabilities changed, the largest change first."""
    gaps = np.abs(largest_gaps(batch.probabilities)[1])
    return sorted(rows, key=lambda row: (-gaps[row], row))


def differing(batch: Batch) -> list[int]:
    """Return the rows with two different answers, the largest change first."""
    before, after = batch.answers
    return by_change(batch, (row for row in range(len(before)) if before[row] != after[row]))


def rows_of_cell(batch: Batch, before: str, after: str) -> list[int]:
    """Return the rows with these two answers, the largest change first."""
    answers = list(zip(*batch.answers, strict=True))
    return by_change(batch, (row for row, both in enumerate(answers) if both == (before, after)))


def outcome(batch: Batch, row: int) -> str:
    """Return "lost", "won", "both wrong" or "both right"; "" if the texts have no labels."""
    if batch.truths is None:
        return ""
    before, after = (answers[row] == batch.truths[row] for answers in batch.answers)
    return _OUTCOMES[before, after]


def neutral(cell: str) -> str:
    """Return a cell of a CSV file, with an apostrophe in front if a spreadsheet would take it for a formula."""
    first = next((one for one in cell if unicodedata.category(one)[0] not in "CZ"), "")  # neither control nor space
    return f"'{cell}" if cell.startswith(("\t", "\r", "\n")) or first in _FORMULA else cell


def as_csv(batch: Batch) -> bytes:
    """Return a CSV file with a row for each text: first those with two answers, then by the change of `most_changed`.

    It is UTF-8 with a byte order mark, without which spreadsheets do not show Devanagari.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["text", *(["text_pair"] if batch.seconds else []), *_COLUMNS, *batch.exports])
    labels, _ = largest_gaps(batch.probabilities)
    first = differing(batch)
    rest = set(range(len(batch.texts))) - set(first)
    for row in [*first, *by_change(batch, rest)]:
        label = labels[row]
        truth = batch.truths[row] if batch.truths else ""
        words = [
            batch.texts[row],
            *batch.seconds[row : row + 1],
            truth,
            outcome(batch, row),
            *(answers[row] for answers in batch.answers),
        ]
        numbers = [f"{probability:.6f}" for probability in batch.probabilities[:, row, label]]
        files = [neutral(answers[row]) for answers in batch.exports.values()]
        writer.writerow([*map(neutral, [*words, batch.labels[label]]), *numbers, *files])
    return file.getvalue().encode("utf-8-sig")


def as_json(batch: Batch) -> dict[str, Any]:
    """Return everything for programs, with the probability of every label under both models."""

    def row(index: int) -> dict[str, Any]:
        sides = {
            name: {
                "answer": batch.answers[side][index],
                "probabilities": dict(zip(batch.labels, batch.probabilities[side, index].tolist(), strict=True)),
            }
            for side, name in enumerate(SIDES)
        }
        truth = {} if batch.truths is None else {"label": batch.truths[index], "outcome": outcome(batch, index)}
        files = {"exports": {name: answers[index] for name, answers in batch.exports.items()}} if batch.exports else {}
        second = {"text_pair": batch.seconds[index]} if batch.seconds else {}
        return {"text": batch.texts[index], **second, **truth, **sides, **files}

    flips = flip_matrix(*batch.answers)
    return {
        "name": batch.name,
        "labels": batch.labels,
        "rows": [row(index) for index in range(len(batch.texts))],
        "flips": [{"baseline": before, "compressed": after, "rows": n} for (before, after), n in flips.items()],
        "agreement": batch.agreement,
        "quality": asdict(batch.quality) if batch.quality else None,
        "left_out": batch.left_out,
        "repeated": batch.repeated,
    }
