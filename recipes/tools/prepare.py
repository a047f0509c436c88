"""Convert the published files of a data set into those that its recipe reads; one function for each data set."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

QUESTION_TYPES = ("DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM")  # by their number in the files
SENTIMENTS = {"-1": "negative", "0": "neutral", "1": "positive"}
MAHANEWS = {"shc": ("SHC_{}.csv", ("Text", "Label")), "lpc": ("Marathi_LPC_{}.csv", ("text", "labels"))}
FIFTH = 5  # every fifth article of XQuAD is test data


def trec6(source: Path) -> dict[str, str]:
    """Convert TREC-6, types of questions (Li and Roth 2002); its train file is Latin-1."""
    return {
        f"{split}.csv": _csv(
            (text, QUESTION_TYPES[int(label)])
            for label, text in _numbered(source / f"TREC.{split}.all", encoding=encoding)
        )
        for split, encoding in (("train", "latin-1"), ("test", "utf-8"))
    }


def sst2(source: Path) -> dict[str, str]:
    """Convert SST-2, positive and negative sentences (Socher et al. 2013)."""
    return {
        f"{split}.csv": _csv(
            (text, "positive" if label == "1" else "negative")
            for label, text in _numbered(source / f"stsa.binary.{split}", encoding="utf-8")
        )
        for split in ("train", "test")
    }


def mahaner(source: Path) -> dict[str, str]:
    """Convert L3Cube-MahaNER: columns word, tag, sentence number; tags without a dash (BNEP, INEP).

    The train file is not public, so the validation file is used for training.
    """
    return {"train.iob": _iob(source / "valid_iob.txt"), "test.iob": _iob(source / "test_iob.txt")}


def xquad(source: Path) -> dict[str, str]:
    """Convert XQuAD in English and Hindi.

    It has no train file, so four of five articles are training data. No context, in any language, is in both parts.
    """
    files = {}
    for language in ("en", "hi"):
        articles = json.loads((source / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
        for split, kept in (("train", range(1, FIFTH)), ("test", (0,))):
            part = [article for index, article in enumerate(articles) if index % FIFTH in kept]
            files[f"{split}.{language}.json"] = json.dumps({"version": "1.1", "data": part}, ensure_ascii=False)
    return files


def mahasent(source: Path) -> dict[str, str]:
    """Convert L3Cube-MahaSent, film reviews: drop the unnamed column, replace numbers by label names."""
    return {
        f"{name.lower()}.csv": _csv(
            (row["marathi_sentence"], SENTIMENTS[row["label"]])
            for row in _table(source / f"MahaSent_MR_{name}.csv", delimiter=",")
        )
        for name in ("Train", "Test")
    }


def masakhanews_yor(source: Path) -> dict[str, str]:
    """Convert MasakhaNEWS in Yorùbá: headline and article become one text."""
    return {
        f"{split}.csv": _csv(
            (f"{row['headline']} {row['text']}", row["category"])
            for row in _table(source / f"{split}.tsv", delimiter="\t")
        )
        for split in ("train", "test")
    }


def mahanews(source: Path) -> dict[str, str]:
    """Convert L3Cube-MahaNews, headlines (SHC) and paragraphs (LPC) with the same 12 topics.

    Writes a train file of both and of each, a test file of each, and `train.txt` with all training texts, one per line.
    The train files are not public, so the validation files are used for training. Defects stay in: the reader drops and
    counts them. SOURCE may be a folder that contains both sets.
    """
    rows = {
        (name, split): [
            ("text", "label") if tuple(row.values()) == columns else tuple(row[column] for column in columns)
            for row in _table(_below(source, file.format(published)), delimiter=",")
        ]
        for name, (file, columns) in MAHANEWS.items()
        for split, published in (("train", "Valid"), ("test", "Test"))
    }
    both = rows["shc", "train"] + rows["lpc", "train"]
    texts = (" ".join(text.split()) for text, label in both if label != "label")
    return {
        "train.csv": _csv(both),
        "train.txt": "".join(f"{text}\n" for text in texts if text),
        **{f"{name}_{split}.csv": _csv(found) for (name, split), found in rows.items()},
    }


DATA_SETS: dict[str, Callable[[Path], dict[str, str]]] = {
    function.__name__: function for function in (trec6, sst2, mahaner, xquad, mahasent, masakhanews_yor, mahanews)
}


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help=f"The data set: {', '.join(DATA_SETS)}.")],
    source: Annotated[Path, typer.Argument(help="The folder of its published files.")],
    out: Annotated[Path, typer.Argument(help="The folder to write, for --data_dir.")],
) -> None:
    """Write the files that a recipe reads, for its --data_dir."""
    if name not in DATA_SETS:
        raise typer.BadParameter(f"{name!r} is unknown; choose one of {', '.join(DATA_SETS)}.")
    try:
        files = DATA_SETS[name](source)
    except FileNotFoundError as error:
        raise typer.BadParameter(f"{error.filename} is missing; {source} must contain the published files.") from error
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (out / file).write_text(text, encoding="utf-8")
        typer.echo(f"{out / file}: {len(text):,} characters")


def _csv(rows: Iterable[tuple[str, str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([("text", "label"), *rows])
    return file.getvalue()


def _numbered(path: Path, *, encoding: str) -> Iterable[list[str]]:
    """Return label and text of lines like `3 What team did baseball 's St. Louis Browns become ?`."""
    return (line.split(" ", 1) for line in path.read_text(encoding=encoding).split("\n") if line.strip())


def _table(path: Path, *, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _below(folder: Path, name: str) -> Path:
    """Return the first file with a name in a folder or below it; reading it fails if there is none."""
    return min(folder.rglob(name), default=folder / name)


def _iob(path: Path) -> str:
    """Return one word and tag per line, and an empty line between sentences."""
    lines, last = [], None
    for word, tag, sentence in (line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:] if line):
        if last not in (None, sentence):
            lines.append("")
        lines.append(f"{word}\t{tag if tag == 'O' else f'{tag[0]}-{tag[1:]}'}")
        last = sentence
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    app()
