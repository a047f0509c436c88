"""Prepare: the published files of a data set become what its recipe reads, one function per data set."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

QUESTION_TYPES = ("DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM")  # by the number that stands in the files
SENTIMENTS = {"-1": "negative", "0": "neutral", "1": "positive"}
MAHANEWS = {"shc": ("SHC_{}.csv", ("Text", "Label")), "lpc": ("Marathi_LPC_{}.csv", ("text", "labels"))}
FIFTH = 5  # every fifth article of XQuAD is for testing


def trec6(source: Path) -> dict[str, str]:
    """Question types (Li and Roth 2002); TREC.train.all is Latin-1, as is every file that is not UTF-8 here."""
    return {
        f"{split}.csv": _csv(
            (text, QUESTION_TYPES[int(label)])
            for label, text in _numbered(source / f"TREC.{split}.all", encoding=encoding)
        )
        for split, encoding in (("train", "latin-1"), ("test", "utf-8"))
    }


def sst2(source: Path) -> dict[str, str]:
    """Sentences of the Stanford Sentiment Treebank (Socher et al. 2013), positive and negative."""
    return {
        f"{split}.csv": _csv(
            (text, "positive" if label == "1" else "negative")
            for label, text in _numbered(source / f"stsa.binary.{split}", encoding="utf-8")
        )
        for split in ("train", "test")
    }


def mahaner(source: Path) -> dict[str, str]:
    """L3Cube-MahaNER: columns word, tag, sentence number; tags without a dash (BNEP, INEP). Its train file is not
    public everywhere, so that the validation file is trained on."""
    return {"train.iob": _iob(source / "valid_iob.txt"), "test.iob": _iob(source / "test_iob.txt")}


def xquad(source: Path) -> dict[str, str]:
    """XQuAD in English and Hindi: it has no train file, so that four of five articles are for training. No context,
    and no translation of one, is in both."""
    files = {}
    for language in ("en", "hi"):
        articles = json.loads((source / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
        for split, kept in (("train", range(1, FIFTH)), ("test", (0,))):
            part = [article for index, article in enumerate(articles) if index % FIFTH in kept]
            files[f"{split}.{language}.json"] = json.dumps({"version": "1.1", "data": part}, ensure_ascii=False)
    return files


def mahasent(source: Path) -> dict[str, str]:
    """L3Cube-MahaSent, film reviews: one unnamed column too many, and numbers for labels."""
    return {
        f"{name.lower()}.csv": _csv(
            (row["marathi_sentence"], SENTIMENTS[row["label"]])
            for row in _table(source / f"MahaSent_MR_{name}.csv", delimiter=",")
        )
        for name in ("Train", "Test")
    }


def masakhanews_yor(source: Path) -> dict[str, str]:
    """MasakhaNEWS in Yorùbá: headline and article become one text."""
    return {
        f"{split}.csv": _csv(
            (f"{row['headline']} {row['text']}", row["category"])
            for row in _table(source / f"{split}.tsv", delimiter="\t")
        )
        for split in ("train", "test")
    }


def mahanews(source: Path) -> dict[str, str]:
    """L3Cube-MahaNews, headlines (SHC) and paragraphs (LPC), whose 12 topics are the same: one train file of both, each
    alone as well, and a test file of each. The train files are not public, so that the validation files are trained on.
    `train.txt` has the texts to train on alone, one per line. Defects stay in, for the reader to drop and count. SOURCE
    may be a folder above both sets."""
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
    """Write the files that the recipe of a data set reads, for its --data_dir."""
    if name not in DATA_SETS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(DATA_SETS)}.")
    try:
        files = DATA_SETS[name](source)
    except FileNotFoundError as error:
        raise typer.BadParameter(f"{error.filename} is missing; {source} must hold the published files.") from error
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (out / file).write_text(text, encoding="utf-8")
        typer.echo(f"{out / file}: {len(text):,} characters")


def _csv(rows: Iterable[tuple[str, str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([("text", "label"), *rows])
    return file.getvalue()


def _numbered(path: Path, *, encoding: str) -> Iterable[list[str]]:
    """The label and the text of lines like `3 What team did baseball 's St. Louis Browns become ?`."""
    return (line.split(" ", 1) for line in path.read_text(encoding=encoding).split("\n") if line.strip())


def _table(path: Path, *, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _below(folder: Path, name: str) -> Path:
    """The first file of this name in a folder or below it; what is not there is left to fail where it is read."""
    return min(folder.rglob(name), default=folder / name)


def _iob(path: Path) -> str:
    """A word and its tag per line, a blank line where the sentence number changes."""
    lines, last = [], None
    for word, tag, sentence in (line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:] if line):
        if last not in (None, sentence):
            lines.append("")
        lines.append(f"{word}\t{tag if tag == 'O' else f'{tag[0]}-{tag[1:]}'}")
        last = sentence
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    app()
