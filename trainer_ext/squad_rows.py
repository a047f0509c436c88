"""Questions with contexts and answers from one JSON file in the layout of SQuAD 1.1.

Rajpurkar et al. 2016 (arXiv 1606.05250): `data > paragraphs > (context, qas > (question, answers > (text,
answer_start)))`, an answer being a piece of the context that starts at character `answer_start`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .data_arguments import DataArguments
from .errors import InputError, one_line
from .rows import Row, Table, read_text


def read_squad(path: Path, args: DataArguments) -> Table:
    """Reads the questions of a file: text = question, pair = context, label = answers `((start, text), ...)`.

    Args:
        path: The file.
        args: Not used; every reader takes them.

    Raises:
        InputError: The file cannot be read or has another layout, a question has no answer (as in SQuAD 2.0), or an
            answer does not stand in its context where it says.
    """
    try:
        rows = list(_questions(json.loads(read_text(path)), path))
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not in the layout of SQuAD 1.1 (data > paragraphs > context, qas > question, answers > text, "
            f"answer_start): {type(error).__name__} {one_line(error)}."
        ) from error
    kept = tuple(row for row in rows if row.text and row.pair.strip())
    if not kept:
        raise InputError(f"{path} holds no question; it needs data > paragraphs > qas > question.")
    dropped = len(rows) - len(kept)
    return Table(rows=kept, dropped=Counter(empty=dropped) if dropped else Counter())


def _questions(values: dict, path: Path) -> Iterator[Row]:
    for paragraph in (paragraph for article in values["data"] for paragraph in article["paragraphs"]):
        context = paragraph["context"]
        for asked in paragraph["qas"]:
            question = asked["question"].strip()
            answers = tuple((answer["answer_start"], answer["text"]) for answer in asked["answers"])
            if not answers:
                raise InputError(
                    f"{path}: the question {one_line(question, most=60)!r} has no answer; questions without one "
                    "(SQuAD 2.0) cannot be used, take them out."
                )
            for start, text in answers:
                if type(start) is not int:
                    raise TypeError(f"answer_start is {start!r}, no whole number")
                for words in (context, question, text):
                    words.encode()  # JSON can write half a character, of which no tokenizer makes anything
                if start < 0 or not text or not context.startswith(text, start):
                    raise InputError(
                        f"{path}: the answer {one_line(text, most=60)!r} does not stand at character {start} of its "
                        f"context (question {one_line(question, most=60)!r}); correct answer_start or take it out."
                    )
            yield Row(question, answers, context)
