"""A small topic corpus of Marathi headlines, composed from phrase banks: same seed, same bytes.

Each topic has one file in ``phrases/``. In a group of that file every subject fits every predicate, so a group of
10 x 10 phrases gives 100 headlines. Two subjects and two predicates of each group are kept out of training: a headline
with one of them is in test, one with two of them in unseen. ``written.csv`` holds headlines worded one by one, the
hardest test. See ``DATASHEET.md``.
"""

import csv
import io
import os
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from trainer_ext.utils import yaml

HERE = Path(__file__).parent
LABELS = tuple(
    "Auto Bhakti Crime Education Fashion Health International Manoranjan Politics Sports Tech Travel".split()
)
HELD_OUT = 2  # subjects, and predicates, of each group that training never shows
DECORATED_FRACTION = 0.4  # share of headlines that get a neutral opener, place or time in front

T = TypeVar("T")


class Row(NamedTuple):
    """One composed headline, the pair it was made of, and the number of the pair's group in its topic."""

    text: str
    label: str
    subject: str
    predicate: str
    group: int


class Group(NamedTuple):
    """Phrases of one grammatical kind: every subject goes with every predicate."""

    pattern: str
    extras: list[str]
    subjects: list[str]
    predicates: list[str]


def _phrases(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{where}: expected a non-empty list of phrases, got {value!r}.")
    for phrase in value:
        if not isinstance(phrase, str) or not phrase or phrase != " ".join(phrase.split()):
            raise ValueError(f"{where}: {phrase!r} is not a phrase with single spaces; put quotes around a colon.")
        if phrase != unicodedata.normalize("NFC", phrase):
            raise ValueError(f"{where}: {phrase!r} is not NFC; normalise the file.")
    if repeated := sorted({phrase for phrase in value if value.count(phrase) > 1}):
        raise ValueError(f"{where}: repeated phrases {repeated}; keep each once.")
    return value


def _check_keys(value: Any, where: str, required: set[str], optional: set[str]) -> None:
    if not isinstance(value, dict) or not required <= set(value) <= required | optional:
        found = sorted(map(str, value)) if isinstance(value, dict) else value
        raise ValueError(f"{where}: expected a mapping with keys {sorted(required)}, got {found!r}.")


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 YAML: {error}") from error


def load_extras(folder: Path = HERE / "phrases") -> dict[str, list[str]]:
    """Read the neutral decorations: kind -> phrases that may stand in front of a headline."""
    shared = _read_yaml(path := folder / "_shared.yaml")
    if not isinstance(shared, dict):
        raise ValueError(f"{path}: expected a mapping from kind to phrases, got {shared!r}.")
    return {kind: _phrases(phrases, f"{path}, {kind}") for kind, phrases in shared.items()}


def load_groups(label: str, kinds: Sequence[str], folder: Path = HERE / "phrases") -> list[Group]:
    """Read the phrase groups of one topic (file: the label in lower case); `kinds` are the extras a group may name.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    path = folder / f"{label.lower()}.yaml"
    content = _read_yaml(path)
    _check_keys(content, str(path), {"label", "groups"}, set())
    if content["label"] != label:
        raise ValueError(f"{path}: label is {content['label']!r}, the file name asks for {label!r}.")
    if not isinstance(content["groups"], list) or not content["groups"]:
        raise ValueError(f"{path}: groups must be a non-empty list, got {content['groups']!r}.")
    groups = []
    for number, item in enumerate(content["groups"], start=1):
        where = f"{path}, group {number}"
        _check_keys(item, where, {"name", "pattern", "subjects", "predicates"}, {"extras"})
        pattern, extras = item["pattern"], item.get("extras", [])
        if [str(pattern).count(part) for part in ("{subject}", "{predicate}", "{", "}")] != [1, 1, 2, 2]:
            raise ValueError(f"{where}: pattern {pattern!r} must hold {{subject}} and {{predicate}}, each once.")
        if not isinstance(extras, list) or not set(extras) <= set(kinds):
            raise ValueError(f"{where}: extras {extras!r} must be a list of kinds among {sorted(kinds)}.")
        subjects, predicates = (_phrases(item[key], f"{where}, {key}") for key in ("subjects", "predicates"))
        groups.append(Group(pattern, extras, subjects, predicates))
    return groups


def _shuffled(items: Sequence[T], rng: Random) -> list[T]:
    # Only Random.random() is promised to give the same values in every Python version.
    keyed = [(rng.random(), position) for position in range(len(items))]
    return [items[position] for _, position in sorted(keyed)]


def compose(seed: int = 0, *, per_label: int = 500, folder: Path = HERE / "phrases") -> list[Row]:
    """Compose `per_label` distinct headlines for each topic, each from its own (subject, predicate) pair.

    Raises:
        ValueError: if a phrase file is bad, has too few pairs, or lets two pairs give one headline.
    """
    extras = load_extras(folder)
    rows: list[Row] = []
    origin: dict[str, str] = {}
    for label in LABELS:
        rng = Random(f"compose-{seed}-{label}")
        groups = load_groups(label, sorted(extras), folder)
        path = folder / f"{label.lower()}.yaml"
        numbered = enumerate(groups)
        pairs = {(s, p): (n, group) for n, group in numbered for s in group.subjects for p in group.predicates}
        if not 1 <= per_label <= len(pairs):
            raise ValueError(f"{path}: per_label={per_label}, but the file gives 1 to {len(pairs)} pairs.")
        for subject, predicate in _shuffled(sorted(pairs), rng)[:per_label]:
            number, group = pairs[subject, predicate]
            text = group.pattern.format(subject=subject, predicate=predicate)
            if group.extras and rng.random() < DECORATED_FRACTION:
                kind = group.extras[int(rng.random() * len(group.extras))]
                text = f"{extras[kind][int(rng.random() * len(extras[kind]))]} {text}"
            if text in origin:
                raise ValueError(f"{path}: {text!r} also comes from {origin[text]}; reword one of the two.")
            origin[text] = path.name
            rows.append(Row(text, label, subject, predicate, number))
    return rows


def split(rows: Sequence[Row], seed: int = 0, *, held_out: int = HELD_OUT) -> tuple[list[Row], list[Row], list[Row]]:
    """Split into (train, test, unseen), shuffled, by how many phrases of a headline training never shows: 0, 1, 2.

    Args:
        rows: what `compose` gave.
        seed: chooses the phrases that are held out.
        held_out: subjects, and predicates, of each group to hold out.

    Raises:
        ValueError: if a group would keep no subject or no predicate for training.
    """
    rng = Random(f"split-{seed}")
    hidden = set()
    for label, group in sorted({(row.label, row.group) for row in rows}):
        own = [row for row in rows if (row.label, row.group) == (label, group)]
        for part in ("subject", "predicate"):
            phrases = sorted({getattr(row, part) for row in own})
            if not 1 <= held_out < len(phrases):
                raise ValueError(f"held_out={held_out}, but {label}, group {group + 1} has {len(phrases)} {part}s.")
            hidden |= {(label, group, part, phrase) for phrase in _shuffled(phrases, rng)[:held_out]}
    parts: tuple[list[Row], ...] = ([], [], [])
    for row in rows:
        unseen = sum((row.label, row.group, part, getattr(row, part)) in hidden for part in ("subject", "predicate"))
        parts[unseen].append(row)
    train, test, unseen_rows = (_shuffled(part, rng) for part in parts)
    return train, test, unseen_rows


def written(path: Path = HERE / "written.csv") -> list[tuple[str, str]]:
    """Read the individually worded headlines as (text, label)."""
    return [(row["text"], row["label"]) for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write text and label (the first two of each row) as UTF-8 CSV; the file appears whole or not at all."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([("text", "label"), *(row[:2] for row in rows)])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".corpus-") as folder:
        (partial := Path(folder) / path.name).write_bytes(buffer.getvalue().encode("utf-8"))
        os.replace(partial, path)


def main(
    output_dir: Annotated[Path, typer.Argument(help="Folder for the four files; made if missing.", file_okay=False)],
    seed: Annotated[int, typer.Option(help="Changes decorations and split; same seed, same bytes.")] = 0,
) -> None:
    """Write train.csv, test.csv, unseen.csv and written.csv: Marathi headlines in 12 topics (columns text, label).

    The first three are composed from phrase banks: in test one phrase of each headline is new, in unseen both are.
    written.csv is worded one by one and hardest. Example: python recipes/quickstart/corpus.py data/quickstart --seed 0
    """
    try:
        train, test, unseen = split(compose(seed), seed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    files = {"train": train, "test": test, "unseen": unseen, "written": written()}
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        write_csv(output_dir / f"{name}.csv", rows)
    table = Table("topic", *(f"{name}.csv" for name in files), title=str(output_dir))
    for label in LABELS:
        table.add_row(label, *(str(sum(row[1] == label for row in rows)) for rows in files.values()))
    table.add_row("total", *(str(len(rows)) for rows in files.values()), style="bold")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
