"""`trainer-ext compress MODEL DATA`: the fields of a recipe for a model and one file, and lines that say what was assumed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.corpus import SUFFIXES as LINES
from ..data.records import listed
from ..data.tables import SUFFIXES as TABLES, table_columns
from ..errors import InputError
from ..report.run_directory import RunDirectory

TEXT_NAMES = (
    *("text", "sentence", "headline", "title", "review", "comment", "content", "body", "message", "question", "query"),
    *("utterance", "tweet", "post", "document", "description", "abstract", "texts", "sentences"),
)
LABEL_NAMES = (
    *("label", "class", "topic", "category", "target", "sentiment", "intent", "tag", "emotion", "genre", "section"),
    *("labels", "classes", "topics", "categories"),
)
TEST_SHARE, SPARSITY = 0.2, 0.5
_MAY_BE_RECIPES = (".json", ".txt")  # a recipe may have any name, and JSON is YAML
_WORDS = re.compile(r"[^\W_]+")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Fields that say what to remove; without any of them, half of the encoder goes.
_REMOVES = frozenset(
    {"prune_method", "prune_sparsity", "prune_speedup", "prune_layers", "prune_layer_ids", "vocab_size", "control"}
)


def is_recipe(word: str) -> bool:
    """Return whether a word names a recipe rather than a model: a file, or a name that ends like one."""
    path = Path(word).expanduser()
    return path.is_file() or path.suffix.lower() in (".yaml", ".yml")


def refuse_data_first(names: Sequence[str]) -> None:
    """Refuse data where the model or the recipe should stand.

    Args:
        names: the words before the first option, at least one.

    Raises:
        InputError: The first is a table or a file of texts; the message has the command to write.
    """
    first, *others = names
    kind = _kind(first)
    if not kind or (not others and Path(first).suffix.lower() in _MAY_BE_RECIPES):
        return
    is_model = bool(others) and not _kind(others[0])
    model = shlex.quote(others[0]) if is_model else "MODEL"
    raise InputError(
        f"{first} is a {kind}{f' and {others[0]} a model' if is_model else ', and no model or recipe'}: give the model first, "
        f"trainer-ext compress {model} {shlex.quote(first)}"
    )


def _kind(word: str) -> str:
    """Return what a word names by its ending, a table or a file of texts; "" for anything else."""
    path = Path(word).expanduser()
    if path.is_dir():
        return ""
    if path.suffix.lower() in TABLES:
        return "table"
    return "file of texts" if path.name.lower().endswith(LINES) else ""


def fields_for(model: str, data: str | None, given: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Return the words of a recipe for a model and its data.

    Args:
        model: a folder or a Hub id.
        data: a table with labels, a file of texts without, or a folder with a train and a test file; None if `given` says
            where the data are.
        given: the fields that the command line gives; they are kept.

    Returns:
        `["--field", "value", ...]` without the given ones, and lines for the user: how the file is read, what will be done
        and where the result goes.

    Raises:
        InputError: The model is given twice, or the data cannot be used; the message names the option to give.
    """
    if "model_name_or_path" in given:
        raise InputError(
            f"The model is given twice, {model} and --model_name_or_path {given['model_name_or_path']}: leave one out."
        )
    if RunDirectory(Path(model).expanduser()).holds_run:
        raise InputError(f"{model} holds a run; name the model in it that you mean: {model}/baseline.")
    fields = {"model_name_or_path": model}
    lines: list[str] = []
    if data is not None:
        found, lines = _data_fields(Path(data).expanduser(), given)
        fields |= found
    fields |= _what_to_do({**given, **fields})
    if "output_dir" not in given:
        fields["output_dir"] = f"{Path(model).expanduser().resolve().name}-small"
    lines.append(_plan({**fields, **given}))
    return [word for name, value in fields.items() for word in (f"--{name}", value)], lines


def _data_fields(path: Path, given: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    places = [f"--{name}" for name in ("data_dir", "texts", "train_files") if name in given]
    if places:
        raise InputError(f"The data are given twice, {path} and {places[0]}: leave one of them out.")
    if path.is_dir():
        return {"data_dir": str(path)}, []
    if not path.exists():
        raise InputError(
            f"There is no file {path}; name a table with labels ({', '.join(TABLES)}), a file with a text per line "
            f"({', '.join(LINES)}), or a folder with train.csv and test.csv."
        )
    if path.name.lower().endswith(LINES):
        return {"texts": str(path)}, []
    if path.suffix.lower() not in TABLES:
        raise InputError(
            f"{path} is neither a table ({', '.join(TABLES)}) nor a file with a text per line ({', '.join(LINES)}); save it "
            "as one of these."
        )
    task = given.get("task", "text-classification")
    if task != "text-classification":
        raise InputError(
            f"{path}: a single file is for text-classification; for {task} give --data_dir and the files."
        )
    return _table_fields(path, given)


def _table_fields(path: Path, given: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """Return the fields for a table: with labels a train and a test part of it, else texts without labels."""
    header = _columns(path)
    found = {}
    if "text_column" not in given:
        found["text_column"] = guess(header, TEXT_NAMES, path=path, what="the text", option="--text_column")
    text = str(found.get("text_column") or given["text_column"])
    if len(header) == 1:
        return {**found, "texts": str(path)}, [
            f"{path}: texts without labels from its only column {text!r}; what is lost is the share of other answers."
        ]
    said = f"the texts from {text!r}"
    if not {"label_column", "label_columns"} & given.keys():
        taken = {text, str(given.get("text_pair_column"))}
        found["label_column"] = guess(
            [name for name in header if name not in taken],
            LABEL_NAMES,
            path=path,
            what="the label",
            option="--label_column",
            also=f"; for texts without labels give --texts {shlex.quote(str(path))} --text_column {shlex.quote(text)} alone",
        )
        said += f", the labels from {found['label_column']!r}"
    lines = [f"{path}: {said} (else --text_column, --label_column)."]
    found |= {"data_dir": str(path.parent), "train_files": path.name}
    if "test_file" not in given and "test_share" not in given:
        found["test_share"] = str(TEST_SHARE)
    return found, lines


def _columns(path: Path) -> list[str]:
    """Return the names of the columns of a table."""
    try:
        return [name for name in table_columns(path) if name]
    except InputError as error:
        if "is empty" in str(error):  # that message lists the wanted keys, which are not known here
            raise InputError(f"{path} is empty; it needs a column of texts and one of labels.") from error
        raise


def guess(header: Sequence[str], names: Sequence[str], *, path: Path, what: str, option: str, also: str = "") -> str:
    """Return the column that is called like one of the usual names.

    A column of that name wins over one with the name inside, such as `review_text`; the first usual name wins over all.

    Args:
        header: the columns to choose from.
        names: the usual names, the plainest first.
        path: the file, for the message.
        what: what is looked for, for the message.
        option: the option that names it.
        also: another way out.

    Raises:
        InputError: No column or several are called so; the message lists the columns and names the option.
    """
    plainest = [name for name in header if name.casefold() == names[0]]
    exact = [name for name in header if name.casefold() in names]
    inside = [name for name in header if set(names) & {word.casefold() for word in _parts(name)}]
    for found in (plainest, exact, inside):
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"{path}: {what} may be in {' or '.join(map(repr, found))} of its columns {listed(header)}; name it with "
                f"{option} {shlex.quote(found[0])}."
            )
    first_line = "" if path.suffix.lower() in (".json", ".jsonl") else " The first line must name the columns."
    raise InputError(
        f"{path} has the columns {listed(header) or '(no other)'}, and none is called like {what} ({', '.join(names[:5])}, "
        f"...); name it with {option}{also}.{first_line}"
    )


def _parts(name: str) -> list[str]:
    return _WORDS.findall(_CAPITAL.sub(" ", name))


def _what_to_do(given: Mapping[str, object]) -> dict[str, str]:
    """Return what to remove, and no training, unless that is said; a training has the model itself as teacher."""
    from ..training_args import DEFAULT_METHOD, prunes_at_once  # with torch, which a refusal does not need

    fields = {} if _REMOVES & given.keys() else {"prune_sparsity": str(SPARSITY)}
    asked = {"prune_sparsity", "prune_speedup"} & {*given, *fields}
    method = given.get("prune_method") or (DEFAULT_METHOD if asked else None)
    if method in (None, "none"):
        return fields
    lengths = {"num_train_epochs", "max_steps", "prune_recovery_epochs"}
    if prunes_at_once(str(method)) and not lengths & given.keys():  # the others need a training
        fields["num_train_epochs"] = "0"
    elif given.get("num_train_epochs") != 0 and not {"distill_teacher", "distill_teachers"} & given.keys():
        fields["distill_teacher"] = "self"
        if "texts" in given and "distill_alpha" not in given:
            fields["distill_alpha"] = "1"  # there are no labels to learn from
    return fields


def _plan(fields: Mapping[str, object]) -> str:
    """Return in one line what will be done, with the options that change it."""
    target = next((f"{name} {fields[name]}" for name in sorted(_REMOVES) if name in fields), "what the options say")
    trains = "without training" if fields.get("num_train_epochs") in (0, "0") else "with training"
    return (
        f"Plan: {target}, {trains}; the result goes to {fields['output_dir']}/ (else --prune_sparsity, --prune_speedup, "
        "--num_train_epochs, --output_dir)."
    )
