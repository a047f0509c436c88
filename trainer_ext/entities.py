"""Entities: IOB tags become spans, and spans are counted by type, as the shared task of CoNLL-2003 counts them.

Tjong Kim Sang and De Meulder 2003 (https://aclanthology.org/W03-0419): an entity is found if its type, first and last
word are all right. As in its `conlleval`, an I-TYPE that continues nothing begins an entity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """The entities of a sentence as (type, first word, word after the last), from its tags O, B-TYPE and I-TYPE."""
    found, kind, first = set(), "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, named = tag.partition("-")
        if prefix != "I" or named != kind:
            if kind:
                found.add((kind, first, position))
            kind, first = named, position
    return found


def entity_types(*taggings: Sequence[Sequence[str]]) -> list[str]:
    """The types that occur in any of these, sorted."""
    return sorted({tag.partition("-")[2] for tagging in taggings for tags in tagging for tag in tags} - {""})


def entity_counts(
    answers: Sequence[Sequence[str]], references: Sequence[Sequence[str]], types: Sequence[str]
) -> np.ndarray:
    """Entities right, given and true, per sentence and type: `[rows, types, 3]`."""
    counts = np.zeros((len(references), len(types), 3), dtype=np.int64)
    number = {kind: index for index, kind in enumerate(types)}
    for row, (answer, truth) in enumerate(zip(answers, references, strict=True)):
        given, true = entities(answer), entities(truth)
        for column, some in enumerate((given & true, given, true)):
            for kind, _, _ in some:
                counts[row, number[kind], column] += 1
    return counts
