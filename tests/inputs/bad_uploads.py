"""Bad inputs of the page: files and texts of visitors, and models and sweeps named by the person who starts it.

Each row has a function that the page calls, and parts of the message that is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.batch_input import arguments, columns_of, read_texts_of
from core.compare import check_text
from core.models import find_report, open_pair
from core.startup import choose
from core.sweep import COLUMNS, read_sweep

from tests.inputs.ground import change_json
from trainer_ext.data.arguments import DataArguments
from trainer_ext.report.schema import CompressionReport, Model

TABLE = "text,label\nred sky,a\n"
ROW = {
    "name": "half",
    "accuracy": "0.9",
    "accuracy_low": "0.8",
    "accuracy_high": "0.95",
    "speedup": "2",
    "megabytes": "3",
    "folder": "",
}


def file(name: str, content: str | bytes, **columns) -> Callable:
    """Read a visitor's file as the tab does."""

    def act(ground):
        path = ground.file(name, content)
        columns_of(path)
        return read_texts_of(path, "", replace(DataArguments(), **columns))

    return act


def names(content: str | bytes) -> Callable:
    """Read a `models.json`."""
    return lambda ground: choose([], beside=ground.file("models.json", content).parent)


def sweep(*rows: dict | str, header=COLUMNS) -> Callable:
    """Read a sweep file."""

    def act(ground):
        lines = [",".join(header), *(row if isinstance(row, str) else ",".join((ROW | row).values()) for row in rows)]
        return read_sweep(ground.file("sweep.csv", "\n".join(lines)))

    return act


def report(**recipe) -> Callable:
    """Read from a report how the run read its data."""
    return lambda ground: arguments(CompressionReport(created="2026-01-01", model=Model(), recipe=recipe), None)


def pair(part: str, **changes) -> Callable:
    """Load the models of a run with a changed configuration."""

    def act(ground):
        change_json(ground.run / part / "config.json", **changes)
        return open_pair(choose([str(ground.run)], beside=ground.root))

    return act


def stored(content: bytes) -> Callable:
    """Read the report of a compressed model."""

    def act(ground):
        (ground.run / "compression.json").write_bytes(content)
        return find_report(str(ground.run / "compressed"))

    return act


# The input, and parts of the message.
UPLOADS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "a picture": (file("a.csv", b"\x89PNG\r\n\x1a\n\0\0"), ("a.csv", "zero bytes")),
    "a spreadsheet": (file("a.csv", b"PK\x03\x04\x14\0\x06"), ("a.csv", "zero bytes")),
    "another kind": (file("a.xlsx", b"PK"), ("a.xlsx", ".csv, .tsv", ".jsonl", ".txt")),
    "JSON Lines cut off": (file("a.jsonl", b'{"text": "x", "label": "a"}\n{"te'), ("a.jsonl, line 2", "JSON Lines")),
    "two endings": (file("a.csv.exe", TABLE), ("a.csv.exe",)),
    "no ending": (file("csv", TABLE), ("csv",)),
    "UTF-16": (file("a.csv", TABLE.encode("utf-16")), ("a.csv", "zero bytes")),
    "Latin-1": (file("a.csv", b"text,label\ncaf\xe9,a\n"), ("a.csv, line 2", "0xe9")),
    "half a character": (file("a.txt", b"ab\ncd" + b"\xe0\xa4"), ("a.txt, line 2", "not UTF-8")),
    "empty": (file("a.csv", ""), ("a.csv is empty",)),
    "only a mark": (file("a.csv", "\ufeff"), ("a.csv is empty",)),
    "only a header": (file("a.csv", "text,label\n"), ("a.csv has a header but no rows",)),
    "a column twice": (file("a.csv", "text,text\na,b\n"), ("2 columns called 'text'",)),
    "no such column": (file("a.csv", "a,b\n1,2\n"), ("'text'", "'a', 'b'")),
    "an open quote": (file("a.csv", 'text,label\n"x,a\n'), ("a.csv, line",)),
    "a giant cell": (file("a.csv", f"text,label\n{'x' * 200_000},a\n"), ("a.csv, text 1", "200,000 characters")),
    "a giant header": (file("a.csv", "x" * 200_000), ("a.csv", "names no column")),
    "a long text": (file("a.txt", "x\n" + "क" * 20_000), ("a.txt, text 2", "20,000")),
    "too many texts": (file("a.txt", "x\n" * 5_001), ("5,001",)),
    "too large": (file("a.txt", "x" * 4_000_001), ("4,000,001",)),
    "formulas are no columns": (file("a.csv", "=cmd|' /C calc'!A0,b\n1,2\n"), ("=cmd",)),
    "a pasted surrogate": (lambda g: read_texts_of(None, "half \ud83d", DataArguments()), ("half a character",)),
    "a text of spaces": (lambda g: check_text(" \u3000\n"), ("no text",)),
    "a text of 10,001": (lambda g: check_text("x" * 10_001), ("10,001",)),
    "models: no JSON": (names("{"), ("models.json",)),
    "models: Latin-1": (names(b"caf\xe9"), ("models.json",)),
    "models: a list": (names("[1, 2]"), ("models.json",)),
    "models: one": (names('{"baseline": "a"}'), ("models.json", "compressed")),
    "models: numbers": (names('{"baseline": 1, "compressed": 2}'), ("models.json", "1")),
    "models: null": (names('{"baseline": null, "compressed": null}'), ("models.json", "None")),
    "models: deep": (names("[" * 100_000), ("models.json",)),
    "models: no run": (lambda g: choose([str(g.root / "none")], beside=g.root), ("none",)),
    "models: other labels": (
        pair("compressed", id2label={"0": "a", "1": "b", "2": "c"}, label2id=...),
        ("'a', 'b', 'c'",),
    ),
    "models: for numbers": (pair("compressed", problem_type="regression"), ("regression",)),
    "models: a width that is a lie": (pair("baseline", hidden_size=64), ("[32]", "[64]")),
    "report: of the future": (stored(json.dumps({"schema_version": 7}).encode()), ("version 7",)),
    "report: cut": (stored(b'{"schema'), ("not JSON",)),
    "report: Latin-1": (stored(b"caf\xe9"), ("not UTF-8",)),
    "report: a length of words": (report(max_length="long"), ("max_length", "'long'")),
    "report: a length of nothing": (report(max_length=-4), ("max_length", "-4")),
    "report: a column of numbers": (report(text_column=["a"]), ("text_column", "['a']")),
    "sweep: Latin-1": (lambda g: read_sweep(g.file("sweep.csv", b"caf\xe9")), ("sweep.csv",)),
    "sweep: a column missing": (sweep(header=COLUMNS[1:]), ("sweep.csv", "name")),
    "sweep: no rows": (sweep(), ("0 rows",)),
    "sweep: too many": (sweep(*[{}] * 61), ("61 rows",)),
    "sweep: words for numbers": (sweep({"speedup": "fast"}), ("line 2", "'fast'")),
    "sweep: NaN": (sweep({"accuracy": "nan"}), ("line 2", "nan")),
    "sweep: infinite": (sweep({"speedup": "inf"}), ("line 2", "inf")),
    "sweep: outside its interval": (sweep({"accuracy": "0.1"}), ("line 2", "0.1")),
    "sweep: a short row": (sweep("half,0.9"), ("line 2",)),
    "sweep: a giant cell": (sweep({"name": "x" * 200_000}), ("sweep.csv",)),
    "sweep: a folder elsewhere": (sweep({"folder": "../elsewhere"}), ("line 2", "../elsewhere")),
    "sweep: an absolute folder": (sweep({"folder": str(Path("/etc"))}), ("line 2", "/etc")),
}
