"""Load the train and test sets of a task: read, clean, check and tokenize them.

With `DataArguments.texts` the train set has no labels, and what both models are compared on may have none either.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets import Dataset, Features, Value
from transformers import PreTrainedTokenizerBase

from ..data import class_names
from ..data.arguments import DataArguments
from ..data.cleaning import evenly, first_of_each_text, row_key, spread, unseen, without
from ..data.encoding import ASIDE, encode_texts
from ..data.labels import CLASSES, ONE_CLASS, TAGS, LabelKind
from ..data.mojibake import look_at
from ..data.readers import read_unlabelled
from ..data.records import Example, Examples, listed
from ..errors import InputError
from ..report.schema import HELD_OUT
from ..utils.files import exists
from .registry import task_of

__all__ = ["Data", "DataArguments", "as_known", "load_data", "names_as_known", "refuse_unknown_labels", "tokenize"]

HOLDOUT = "holdout"
ONE_IN, MOST_HELD_OUT = 5, 2000
FEWEST_TEXTS = 20
MOST_SHOWN = 40  # class names in a line of the log
TAKEN = ("test", "clean", "official")


@dataclass(frozen=True)
class Data:
    """A train set, its test sets and what was left out of them.

    Attributes:
        train: columns `text`, `text_pair` (for pairs) and `label` (see labels.py); after `tokenize`, model inputs.
        tests: test sets with the same columns, the main one first: "clean" (rows whose text is not in train and did not
            occur earlier in the file) and "official" (every row with a text), or only "test" if the two are the same;
            then each further test file, cleaned too, by its name without suffix; last "holdout", rows of the train file
            kept from training (with `holdout_share`). With `texts`, the train set has no column `label`; neither has the
            only test set "held-out texts", if no labelled test file is given.
        labels: class names in the order of their ids; empty if neither a file nor a model says them.
        dropped: number of dropped rows by "file: reason", e.g. "train: duplicate". "test: seen in train" and "test:
            repeated" are dropped from "clean" only. Reasons that did not occur are absent.
        train_file: name of the train file.
        notes: lines that say how files and class names were understood, where that is not plain.
    """

    train: Dataset
    tests: dict[str, Dataset]
    labels: list[str]
    dropped: dict[str, int]
    train_file: str
    notes: tuple[str, ...] = ()


def load_data(args: DataArguments, *, labels: Sequence[str] | None = None, as_they_are: bool = False) -> Data:
    """Read, clean and check the train and test files; nothing is written.

    Rows with the same text, or the same pair of texts, are duplicates (see cleaning.py).

    Args:
        args: the files and how to read them.
        labels: class names in the order of the ids of a fine-tuned model; the files may also hold these ids, or the names
            in another case or Unicode form. Default: `label_columns`, or the names in the train file, sorted (as numbers
            if all are whole numbers).
        as_they_are: whether names are not compared with each other, because those of a model are not known yet.

    Returns:
        The data; each set keeps the order of its file.

    Raises:
        InputError: A field or a file is not valid; the message says what to change.
    """
    task = task_of(args)
    if args.texts is not None and not args.data_dir:
        return _load_texts(args, labels or ())
    folder = _folder(args.data_dir)
    train_path = Path(args.texts) if args.texts is not None else _first_present(folder, args.train_files)
    paths = {} if args.test_share else {"test": _present(folder, args.test_file, option="--test_file")}
    for name in args.more_test_files:
        key = Path(name).stem
        if key in TAKEN or key in paths or (key == HOLDOUT and args.holdout_share):
            raise InputError(
                f"--more_test_files: {name} would be reported as {key!r}, which is taken; rename the file."
            )
        paths[key] = _present(folder, name, option="--more_test_files")
    if args.label_columns and args.label_column != DataArguments.label_column:
        raise InputError(
            f"--label_columns and --label_column {args.label_column!r} are both given; leave one of them out."
        )
    unlabelled = _read_texts(args) if args.texts is not None else None
    if unlabelled is None:
        paths = {"train": train_path, **paths}
    if args.repair_encoding and task.encode is not encode_texts:
        raise InputError(f"repair_encoding would move the answers of {task.title}; repair the files first.")
    tables = {name: task.read(path, args) for name, path in paths.items()}
    damaged = []
    for name, table in tables.items():
        tables[name], line = look_at(table, paths[name].name, repair=args.repair_encoding)
        damaged.append(line)
    labels = labels or args.label_columns or None
    notes = [*filter(None, [*(table.note for table in tables.values()), *damaged])]
    later = as_they_are and labels is None  # which names are the same is not known yet
    if task.labels.named and not later:
        tables, more = _with_known_names(tables, paths, labels, task.labels, args)
        notes += more
    notes += filter(None, [unlabelled.note if unlabelled else ""])
    train = unlabelled or tables.pop("train")

    train_rows, left_out = first_of_each_text(train.rows)
    dropped = {"train": train.dropped + left_out}
    if args.test_share:
        train_rows, held_out = _split_test(train_rows, args.test_share, task.labels, path=train_path)
        tables, paths = {"test": Examples(tuple(held_out), Counter()), **tables}, {**paths, "test": train_path}
        notes.append(_about_split(len(train_rows), len(held_out), task.labels, path=train_path))
    rows_with_all = [] if unlabelled else [*train_rows]
    rows_with_all += (row for table in tables.values() if later or unlabelled for row in table.rows)
    in_train = names = _label_names(rows_with_all, task.labels, path=next(iter(paths.values())))
    if labels is not None and task.labels.named and unlabelled:
        in_train = names = list(labels)
    elif labels is not None and task.labels.named:
        refuse_unknown_labels(train_rows, labels, task.labels, path=train_path, known_by="the model")
        names = list(labels)
    for name, table in tables.items():
        refuse_unknown_labels(table.rows, in_train, task.labels, path=paths[name])
    seen = {row_key(row) for row in train_rows}
    clean = {}
    for name, table in tables.items():
        clean[name], left_out = unseen(table.rows, seen=seen)
        dropped[name] = table.dropped + left_out
        if not clean[name]:
            raise InputError(
                f"every text of {paths[name]} is also in {train_path.name}, so a score on it would measure memory only; "
                f"name another file with {'--test_file' if name == 'test' else '--more_test_files'}."
            )
    as_published = tables["test"].rows
    same = len(clean["test"]) == len(as_published)
    tests: dict[str, Sequence[Example]] = {"test": as_published}
    if not same:
        tests = {"clean": clean["test"], "official": as_published}
    tests |= {name: rows for name, rows in clean.items() if name != "test"}

    if args.holdout_share:
        train_rows, tests[HOLDOUT] = _hold_out(train_rows, args.holdout_share, task.labels)

    return Data(
        train=_dataset(
            _at_most(train_rows, args.max_train_rows, task.labels), names, None if unlabelled else task.labels
        ),
        tests={name: _dataset(rows, names, task.labels) for name, rows in tests.items()},
        labels=names,
        dropped={f"{name}: {reason}": count for name, counts in dropped.items() for reason, count in counts.items()},
        train_file=train_path.name,
        notes=tuple(notes),
    )


def _read_texts(args: DataArguments) -> Examples:
    """Return the rows of `texts`, without labels."""
    path = Path(args.texts or "")
    found, line = look_at(read_unlabelled(path, args), path.name, repair=args.repair_encoding)
    rows, left_out = first_of_each_text(found.rows)
    if len(rows) < FEWEST_TEXTS:
        raise InputError(
            f"{path} has {len(rows)} different text{'s' if len(rows) > 1 else ''}; give at least {FEWEST_TEXTS}, better a "
            "thousand, such as the model will read."
        )
    note = " ".join(filter(None, [found.note, line]))
    return replace(found, rows=tuple(rows), dropped=found.dropped + left_out, note=note)


def _load_texts(args: DataArguments, labels: Sequence[str]) -> Data:
    """Return texts without labels: some to compare both models on, at equal distances, and the others to train on."""
    found = _read_texts(args)
    count = min(len(found.rows) // ONE_IN, MOST_HELD_OUT)
    train, held_out = without(found.rows, count=count, by_class=False)
    return Data(
        train=_dataset(evenly(train, most=args.max_train_rows or len(train)), [], None),
        tests={HELD_OUT: _dataset(held_out, [], None)},
        labels=list(labels),
        dropped={f"texts: {reason}": count for reason, count in found.dropped.items()},
        train_file=Path(args.texts or "").name,
        notes=tuple(filter(None, [found.note])),
    )


def tokenize(data: Data, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> Data:
    """Turn texts into model inputs, truncated to `args.max_length` tokens and not padded (the task's collator pads).

    Args:
        data: the result of `load_data`.
        tokenizer: the tokenizer of the model.
        args: the argument of `load_data`.

    Returns:
        The same data. Each set has the tokenizer's outputs (`input_ids`, `attention_mask`, ...) and `labels`, or
        `start_positions` and `end_positions`; a test set also has columns for postprocessing (see encoding.py).

    Raises:
        InputError: The model cannot take `max_length` tokens, or the task needs a fast tokenizer.
    """
    if args.max_length > tokenizer.model_max_length:
        raise InputError(
            f"--max_length is {args.max_length}, but this model takes at most {tokenizer.model_max_length} tokens; "
            f"pass --max_length {tokenizer.model_max_length} or less."
        )
    task = task_of(args)
    if not tokenizer.is_fast and task.encode is not encode_texts:
        raise InputError(
            f"{task.name} needs a fast tokenizer, which knows the position of a token in its text; "
            f"{type(tokenizer).__name__} is not one: take a model with a tokenizer.json."
        )

    def inputs(rows: Dataset) -> Dataset:
        return Dataset.from_dict(task.encode(rows, tokenizer, args))

    train = inputs(data.train)
    return replace(
        data,
        train=train.remove_columns([name for name in train.column_names if name in ASIDE]),
        tests={name: inputs(rows) for name, rows in data.tests.items()},
    )


def _folder(data_dir: str | None) -> Path:
    if not data_dir:
        raise InputError("--data_dir is not given; name the folder that holds the data files.")
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if exists(folder) else "does not exist"
        raise InputError(f"--data_dir {folder} {what}; name the folder that holds the data files.")
    return folder


def _first_present(folder: Path, names: Sequence[str]) -> Path:
    if isinstance(names, str):
        raise InputError(f"train_files is the text {names!r}; write it as a list, [{names}].")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder} holds none of the train files {listed(names) or '(none named)'}; it holds {_files(folder)}: "
        "name one with --train_files."
    )


def _present(folder: Path, name: str, *, option: str) -> Path:
    if not (folder / name).is_file():
        raise InputError(f"{folder} holds no file {name!r}; it holds {_files(folder)}: name one with {option}.")
    return folder / name


def _files(folder: Path) -> str:
    return listed(sorted(path.name for path in folder.iterdir() if path.is_file())) or "no files"


def _with_known_names(
    tables: Mapping[str, Examples],
    paths: Mapping[str, Path],
    labels: Sequence[str] | None,
    kind: LabelKind,
    args: DataArguments,
) -> tuple[dict[str, Examples], list[str]]:
    """Return the tables with each class called as the model calls it, or in one way, and lines that say so."""
    notes: list[str] = []
    words = {key: {kind.word(name) for name in _found(table.rows, kind)} - {""} for key, table in tables.items()}
    folder = next(iter(paths.values())).parent
    try:
        if labels is None:
            to = class_names.one_spelling({paths[key].name: found for key, found in words.items()})
            if kind in (ONE_CLASS, CLASSES):
                notes += _check_several(tables, kind, args)
        else:
            to = names_as_known(words.values(), labels, kind)
    except ValueError as error:
        raise InputError(f"{folder}: {error}") from None
    if not to:
        return dict(tables), notes
    pairs = [f"{class_names.shown_beside(old, new)} as {new!r}" for old, new in to.items()]
    more = f" and {len(pairs) - MOST_SHOWN} more" if len(pairs) > MOST_SHOWN else ""
    read_as = "as they are known" if labels else "as one"
    notes.append(f"{folder}: class names are read {read_as}: {', '.join(pairs[:MOST_SHOWN])}{more}.")
    return {key: replace(table, rows=_respelled(table.rows, to, kind)) for key, table in tables.items()}, notes


def _respelled(rows: Sequence[Example], to: Mapping[str, str], kind: LabelKind) -> tuple[Example, ...]:
    return tuple(replace(row, label=kind.respelled(row.label, to)) for row in rows)


def as_known(rows: Sequence[Example], names: Sequence[str], kind: LabelKind, *, path: Path) -> Sequence[Example]:
    """Return rows with each class called as a model calls it.

    Args:
        rows: the rows, which may write the names in another way or hold ids.
        names: the names of the model, in the order of their ids.
        kind: of the labels.
        path: the file of the rows, for the message.

    Raises:
        InputError: There are labels that the model does not know.
    """
    try:
        to = names_as_known([{kind.word(name) for name in _found(rows, kind)} - {""}], names, kind)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    rows = _respelled(rows, to, kind) if to else rows
    refuse_unknown_labels(rows, names, kind, path=path, known_by="the model")
    return rows


def names_as_known(words: Collection[Collection[str]], labels: Sequence[str], kind: LabelKind) -> dict[str, str]:
    """Return the known name by the found one, for classes that are written in another way, or as ids.

    Args:
        words: the classes of each file, by their `kind.word`.
        labels: the known names, in the order of their ids.
        kind: of the labels.

    Raises:
        ValueError: They are ids that do not fit the names.
    """
    known = list(dict.fromkeys(word for name in labels if (word := kind.word(name))))
    to = class_names.known_as(sorted(set().union(*words)), known)
    if kind is TAGS:
        return to
    unknown = [found for found in words if not {*to, *known}.intersection(found)]
    return to | class_names.known_as_ids(set().union(*unknown), known)


def _check_several(tables: Mapping[str, Examples], kind: LabelKind, args: DataArguments) -> list[str]:
    """Refuse names that are several classes with something between them; return a line if no row has several."""
    labels = [list(kind.names_in(row.label)) for table in tables.values() for row in table.rows]
    names = {name for found in labels for name in found}
    if mark := class_names.separator_in(names):
        example = max((name for name in names if mark in name), key=len)
        multi = "--problem_type multi_label_classification " if kind is ONE_CLASS else ""
        raise ValueError(
            f"the label {example!r} holds several classes that other rows have too, separated by {mark!r}; give "
            f"{multi}--label_separator {shlex.quote(mark)}, or rename it if it is one class."
        )
    if kind is ONE_CLASS or any(len(found) > 1 for found in labels):
        return []
    return [
        f"No row of {args.data_dir} has more than one class; if they are not separated by {args.label_separator!r}, give "
        "--label_separator."
    ]


def _found(rows: Sequence[Example], kind: LabelKind) -> set[str]:
    return {name for row in rows for name in kind.names_in(row.label)}


def _label_names(rows: Sequence[Example], kind: LabelKind, *, path: Path) -> list[str]:
    """Return the class names in the order that the kind of labels gives them."""
    try:
        return kind.order(_found(rows, kind))
    except ValueError as error:
        raise InputError(f"{path} {error}") from None


def refuse_unknown_labels(
    rows: Sequence[Example], names: Sequence[str], kind: LabelKind, *, path: Path, known_by: str = "the train file"
) -> None:
    """Refuse rows with unknown labels.

    Args:
        rows: the rows.
        names: the known names.
        kind: of the labels.
        path: the file of the rows, for the message.
        known_by: who knows the names, for the message.

    Raises:
        InputError: There are such labels; the message lists them and the known ones.
    """
    unknown = sorted(_found(rows, kind) - set(names))
    if unknown:
        raise InputError(
            f"{path} has labels that {known_by} lacks: {listed(unknown)}; {known_by} has {listed(names)}: "
            "rename or remove those rows."
        )


def _at_most(rows: Sequence[Example], most: int | None, kind: LabelKind) -> Sequence[Example]:
    if most is None or most >= len(rows):
        return rows
    if kind is not ONE_CLASS:
        return evenly(rows, most=most)
    classes = len(_found(rows, kind))
    if most < classes:
        raise InputError(f"--max_train_rows is {most}, fewer than the {classes} classes; give at least one row each.")
    return spread(rows, most=most)


def _hold_out(rows: Sequence[Example], share: float, kind: LabelKind) -> tuple[list[Example], list[Example]]:
    """Split the train rows into those to train on and the held-out share."""
    return _split(rows, share, kind, option="--holdout_share")


def _split_test(
    rows: Sequence[Example], share: float, kind: LabelKind, *, path: Path
) -> tuple[list[Example], list[Example]]:
    """Split the rows of the only labelled file into those to train on and the test set."""
    if len(rows) < FEWEST_TEXTS:
        raise InputError(
            f"{path} has {len(rows)} different text{'s' if len(rows) > 1 else ''} to train and test on; give at least "
            f"{FEWEST_TEXTS}, better a thousand."
        )
    return _split(rows, share, kind, option="--test_share")


def _about_split(train: int, test: int, kind: LabelKind, *, path: Path) -> str:
    """Return the line that says how one file became a train and a test set."""
    how = "at equal distances over the file" + (" within each class" if kind is ONE_CLASS else "")
    return (
        f"{path}: {test:,} of its {train + test:,} different texts are the test set, taken {how}, the same each time. If the "
        "model was trained on this file, it has seen them: give a file that it has not with --test_file."
    )


def _split(
    rows: Sequence[Example], share: float, kind: LabelKind, *, option: str
) -> tuple[list[Example], list[Example]]:
    """Return the rows that stay and those that are held out."""
    stay, held = without(rows, count=round(share * len(rows)), by_class=kind is ONE_CLASS)
    if not held or not stay:
        raise InputError(
            f"{option} {share} of {len(rows)} train rows holds out {len(held)}, and one row of each class must stay; "
            "give another share, or more rows."
        )
    return stay, held


def _dataset(rows: Sequence[Example], names: list[str], kind: LabelKind | None) -> Dataset:
    """Return rows as a dataset, without labels if their kind is None."""
    ids = {name: index for index, name in enumerate(names)}
    columns = {"text": [row.text for row in rows]}
    features = {"text": Value("string")}
    if any(row.pair for row in rows):
        columns["text_pair"], features["text_pair"] = [row.pair for row in rows], Value("string")
    if kind is not None:
        columns["label"], features["label"] = [kind.value(row.label, ids) for row in rows], kind.feature(names)
    return Dataset.from_dict(columns, features=Features(features))
