"""Data: labelled texts in, a cleaned train set and honest test sets out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Value
from transformers import PreTrainedTokenizerBase

from .cleaning import first_of_each_text, spread, text_key, unseen
from .csv_rows import Row, Table, listed, read_table
from .errors import InputError


@dataclass
class DataArguments:
    """Which labelled texts to train and test on."""

    data_dir: str | None = field(
        default=None,
        metadata={"help": "Folder of UTF-8 CSV files with a header. Required."},
    )
    train_files: list[str] = field(
        default_factory=lambda: ["train.csv"],
        metadata={"help": "Names of train files inside data_dir, tried in order; the first that exists is used."},
    )
    test_file: str = field(
        default="test.csv",
        metadata={"help": "Name of the test file inside data_dir."},
    )
    more_test_files: list[str] = field(
        default_factory=list,
        metadata={"help": "Names of further test files inside data_dir, each reported on its own under its name."},
    )
    text_column: str = field(
        default="text",
        metadata={"help": "Header of the column that holds the text."},
    )
    label_column: str = field(
        default="label",
        metadata={"help": "Header of the column that holds the class name."},
    )
    max_length: int = field(
        default=128,
        metadata={"help": "Longest input in tokens, special tokens included; the rest is cut off. At least 3."},
    )
    max_train_rows: int | None = field(
        default=None,
        metadata={"help": "Train on at most this many rows, spread over the classes as in the file. Default: all."},
    )


@dataclass(frozen=True)
class Data:
    """A train set, its test sets and what was left out of them.

    Attributes:
        train: Columns `text` and `label` (a `ClassLabel`); after `tokenize`, what a model takes and `labels`.
        tests: Test sets of the same columns, the one to report first: "clean" (rows whose text is not in train and did
            not occur earlier in the file) and "official" (every row with a text), or only "test" where the two
            are the same; then each further test file (cleaned likewise), by its name without ending.
        labels: Class names, in the order of their ids.
        dropped: Rows left out, counted by "file: reason", e.g. "train: duplicate". "test: seen in train" and
            "test: repeated" are left out of "clean" alone. Reasons that never occurred are absent.
        train_file: Name of the train file that was used.
    """

    train: Dataset
    tests: dict[str, Dataset]
    labels: list[str]
    dropped: dict[str, int]
    train_file: str


def load_data(args: DataArguments, *, labels: Sequence[str] | None = None) -> Data:
    """Reads, cleans and checks the train and test files.

    Nothing is written to disk. Two texts are the same if they agree after NFC, case folding and white-space folding.

    Args:
        args: Where the files are and how to read them.
        labels: Class names in the order of the ids of a model that is already fine-tuned. Default: the names in the
            train file, sorted (as numbers if all are whole numbers).

    Returns:
        The data. Each set keeps the order of its file.

    Raises:
        InputError: Something in `args` or in a file cannot work; the message names it and the way out.
    """
    folder = _folder(args.data_dir)
    if args.max_length < 3:
        raise InputError(f"--max_length is {args.max_length}; a text needs 3 tokens or more ([CLS], one word, [SEP]).")
    train_path = _first_present(folder, args.train_files)
    paths = {"test": _present(folder, args.test_file, option="--test_file")}
    for name in args.more_test_files:
        key = Path(name).stem
        if key in ("test", "clean", "official") or key in paths:
            raise InputError(
                f"--more_test_files: {name} would be reported as {key!r}, which is taken; rename the file."
            )
        paths[key] = _present(folder, name, option="--more_test_files")
    train = _read(train_path, args)
    tables = {name: _read(path, args) for name, path in paths.items()}

    train_rows, left_out = first_of_each_text(train.rows)
    dropped = {"train": train.dropped + left_out}
    names = _label_names(train_rows, labels, path=train_path)
    for name, table in tables.items():
        _refuse_unknown_labels(table.rows, names, path=paths[name])
    seen = {text_key(row.text) for row in train_rows}
    clean = {}
    for name, table in tables.items():
        clean[name], left_out = unseen(table.rows, seen=seen)
        dropped[name] = table.dropped + left_out
        if not clean[name]:
            raise InputError(
                f"every text of {paths[name]} also stands in {train_path.name}, so a score on it would only measure "
                f"memory; name another file with {'--test_file' if name == 'test' else '--more_test_files'}."
            )
    as_published = tables["test"].rows
    same = len(clean["test"]) == len(as_published)
    tests = {"test": as_published} if same else {"clean": clean["test"], "official": as_published}
    tests |= {name: rows for name, rows in clean.items() if name != "test"}

    return Data(
        train=_dataset(_at_most(train_rows, args.max_train_rows), names),
        tests={name: _dataset(rows, names) for name, rows in tests.items()},
        labels=names,
        dropped={f"{name}: {reason}": count for name, counts in dropped.items() for reason, count in counts.items()},
        train_file=train_path.name,
    )


def tokenize(data: Data, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> Data:
    """Turns texts into model inputs: cut at `max_length` tokens, not padded (use `DataCollatorWithPadding`).

    Args:
        data: What `load_data` returned.
        tokenizer: The tokenizer of the model.
        max_length: Longest input, in tokens.

    Returns:
        The same data; each set holds the tokenizer's outputs (`input_ids`, `attention_mask`, ...) and `labels`.

    Raises:
        InputError: The tokenizer says that its model cannot take `max_length` tokens.
    """
    if max_length > tokenizer.model_max_length:
        raise InputError(
            f"--max_length is {max_length}, but this model takes at most {tokenizer.model_max_length} tokens; "
            f"pass --max_length {tokenizer.model_max_length} or less."
        )

    def inputs(dataset: Dataset) -> Dataset:
        encoded = tokenizer(list(dataset["text"]), truncation=True, max_length=max_length)
        return Dataset.from_dict(dict(encoded)).add_column(
            "labels", list(dataset["label"]), feature=dataset.features["label"]
        )

    return replace(
        data, train=inputs(data.train), tests={name: inputs(dataset) for name, dataset in data.tests.items()}
    )


def _folder(data_dir: str | None) -> Path:
    if not data_dir:
        raise InputError("--data_dir is not given; name the folder that holds the CSV files.")
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputError(f"--data_dir {folder} {what}; name the folder that holds the CSV files.")
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


def _read(path: Path, args: DataArguments) -> Table:
    return read_table(path, text_column=args.text_column, label_column=args.label_column)


def _label_names(train: Sequence[Row], labels: Sequence[str] | None, *, path: Path) -> list[str]:
    """Class names in the order of their ids."""
    found = {row.label for row in train}
    if len(found) < 2:
        raise InputError(
            f"{path} holds one class only, {listed(found)}; a classifier needs rows of at least two (see --label_column)."
        )
    if labels is None:
        numbers = all(name.isdecimal() for name in found)
        return sorted(found, key=lambda name: (int(name) if numbers else 0, name))
    _refuse_unknown_labels(train, labels, path=path, known_by="the model")
    return list(labels)


def _refuse_unknown_labels(
    rows: Sequence[Row], names: Sequence[str], *, path: Path, known_by: str = "the train file"
) -> None:
    unknown = sorted({row.label for row in rows} - set(names))
    if unknown:
        raise InputError(
            f"{path} has labels that {known_by} lacks: {listed(unknown)}; {known_by} has {listed(names)}: "
            "rename or remove those rows."
        )


def _at_most(rows: Sequence[Row], most: int | None) -> Sequence[Row]:
    if most is None or most >= len(rows):
        return rows
    classes = len({row.label for row in rows})
    if most < classes:
        raise InputError(f"--max_train_rows is {most}, fewer than the {classes} classes; give at least one row each.")
    return spread(rows, most=most)


def _dataset(rows: Sequence[Row], names: list[str]) -> Dataset:
    ids = {name: index for index, name in enumerate(names)}
    return Dataset.from_dict(
        {"text": [row.text for row in rows], "label": [ids[row.label] for row in rows]},
        features=Features({"text": Value("string"), "label": ClassLabel(names=names)}),
    )
