"""The kinds of labels: which class names they consist of, and how a dataset stores them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from datasets import ClassLabel, List, Value


@dataclass(frozen=True)
class LabelKind:
    """One kind of label.

    Attributes:
        names_in: returns the class names of one label.
        order: returns all class names in the order of their ids, given those of the train file, or raises a `ValueError`
            that says what the file lacks.
        feature: returns the `datasets` feature of a label column, given the names.
        value: returns the stored form of one label, given the ids by name.
        word: returns the class that a name stands for: the entity type of a tag, "" for none.
        respelled: returns a label with other words, given the new ones by the old.
        named: whether the outputs of the model are classes with names.
    """

    names_in: Callable[[Any], Iterable[str]]
    order: Callable[[set[str]], list[str]]
    feature: Callable[[list[str]], Any]
    value: Callable[[Any, Mapping[str, int]], Any]
    word: Callable[[str], str] = str
    respelled: Callable[[Any, Mapping[str, str]], Any] = lambda label, to: label
    named: bool = True


def _sorted(found: set[str]) -> list[str]:
    numbers = all(name.isdecimal() for name in found)
    return sorted(found, key=lambda name: (int(name) if numbers else 0, name))


def _two_or_more(found: set[str]) -> list[str]:
    if len(found) < 2:
        raise ValueError(
            f"holds one class only, {', '.join(map(repr, found))}; a classifier needs rows of at least two "
            "(see --label_column)."
        )
    return _sorted(found)


def _one_or_more(found: set[str]) -> list[str]:
    if not found:
        raise ValueError("names no class in any of its labels (see --label_column).")
    return _sorted(found)


def _both_tags_of_each_type(found: set[str]) -> list[str]:
    """Return O, and B- and I- of each entity type, even if the train file has only one of the two."""
    types = sorted({_type(tag) for tag in found} - {""})
    if not types:
        raise ValueError("holds no entity, every tag is O; tag some words with B-TYPE and I-TYPE.")
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]


def _type(tag: str) -> str:
    return tag.partition("-")[2]


def _none(label: Hashable) -> tuple[str, ...]:
    return ()


ONE_CLASS = LabelKind(
    names_in=lambda label: (label,),
    order=_two_or_more,
    feature=lambda names: ClassLabel(names=names),
    value=lambda label, ids: ids[label],
    respelled=lambda label, to: to.get(label, label),
)
CLASSES = LabelKind(  # 1.0 for each class of the row, as the loss expects
    names_in=lambda label: label,
    order=_one_or_more,
    feature=lambda names: List(Value("float32"), length=len(names)),
    value=lambda label, ids: [float(name in label) for name in ids],
    respelled=lambda label, to: tuple(sorted({to.get(name, name) for name in label})),
)
NUMBER = LabelKind(
    names_in=_none,
    order=lambda found: ["score"],
    feature=lambda names: Value("float32"),
    value=lambda label, ids: label,
    named=False,
)
TAGS = LabelKind(
    names_in=lambda label: label,
    order=_both_tags_of_each_type,
    feature=lambda names: List(ClassLabel(names=names)),
    value=lambda label, ids: [ids[tag] for tag in label],
    word=_type,
    respelled=lambda label, to: tuple(tag[:2] + to.get(_type(tag), _type(tag)) for tag in label),
)
ANSWERS = LabelKind(
    names_in=_none,
    order=lambda found: [],
    feature=lambda names: List({"start": Value("int64"), "text": Value("string")}),
    value=lambda label, ids: [{"start": start, "text": text} for start, text in label],
    named=False,
)
