"""What the page reads as many texts, and what it refuses in words that a visitor can act on."""

from dataclasses import replace
from pathlib import Path

import pytest
from core import batch_input
from core.batch_input import arguments, columns_of, data_of_run, likely, read_texts_of

from trainer_ext import InputError
from trainer_ext.data.arguments import DataArguments
from trainer_ext.report.schema import CompressionReport, Model

LABELLED = DataArguments()
UNLABELLED = replace(LABELLED, label_column="")
TABLE = "text,label\nसामना जिंकला,खेळ\ntext,label\n,खेळ\n नवा फोन ,तंत्र\n"


@pytest.fixture
def file(tmp_path):
    """`file(name, content)`: a file with this text or these bytes."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_table_is_read_as_the_command_line_reads_it(file):
    table = read_texts_of(file("a.csv", TABLE), "", LABELLED)
    assert [(row.text, row.label) for row in table.rows] == [("सामना जिंकला", "खेळ"), ("नवा फोन", "तंत्र")]
    assert table.dropped == {"stray header": 1, "empty": 1}


def test_labels_are_optional(file):
    expected = ["सामना जिंकला", "नवा फोन"]
    for name, content in (("a.CSV", TABLE), ("b.csv", "text\nसामना जिंकला\ntext\nनवा फोन\n")):
        assert [row.text for row in read_texts_of(file(name, content), "", UNLABELLED).rows] == expected
    lines = "\ufeffसामना जिंकला\r\n\r\n  नवा फोन \n"
    for table in (read_texts_of(file("a.txt", lines), "", UNLABELLED), read_texts_of(None, lines[1:], UNLABELLED)):
        assert [(row.text, row.label) for row in table.rows] == [(text, "") for text in expected]
        assert table.dropped == {"empty": 1}


REFUSED = {
    "a table of many rows": ("a.csv", "text\n" + "x\n" * 5_001, {}, "a.csv has 5,001 texts; .* at most 5,000"),
    "a large file": ("a.csv", "text\n" + "x" * 4_000_001, {}, "a.csv has 4,000,006 bytes; .* at most 4,000,000"),
    "a wrong column": ("a.csv", TABLE, {"text_column": "headline"}, "no column 'headline', only 'text', 'label'"),
    "a near column": ("a.csv", TABLE, {"text_column": "Text"}, "did you mean the text column 'text'"),
    "no column": ("a.csv", TABLE, {"text_column": ""}, "Choose the column of the texts; a.csv has 'text', 'label'"),
    "a wrong label column": (
        "a.csv",
        TABLE,
        {"label_column": "topic"},
        "no column 'topic', only .* with the label column",
    ),
    "one column twice": ("a.csv", TABLE, {"label_column": "text"}, "the text column and the label column are both"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff", {}, "a.csv is not a text file"),
    "a spreadsheet": ("a.csv", b"PK\x03\x04\x14\x00\x06\x00", {}, "not a text file .*Save the table as CSV"),
    "UTF-16": ("a.txt", "सामना जिंकला".encode("utf-16"), {}, "a.txt is not a text file in UTF-8"),
    "two encodings": (
        "a.csv",
        b"text,label\n" + "सामना".encode() + b",a\ncaf\xe9,b\n",
        {},
        "a.csv, line 3: byte 0xe9 .* not UTF-8",
    ),
    "a long text": (
        "a.csv",
        f"text,label\nx,a\n{'क' * 100_000},a\n",
        {},
        "a.csv, text 2: .* 100,000 characters; .*10,000",
    ),
    "a very long text": ("a.csv", f"text,label\n{'x' * 200_000},a\n", {}, "a.csv, text 1: .* 200,000 characters"),
    "no text": ("a.csv", "text,label\n  ,a\nnan,b\n", {}, "a.csv: column 'text' holds no text in any of its 2 rows"),
    "only spaces": ("a.txt", " \n\t\n\u00a0\n", {}, "There is no text; paste some"),
    "an empty file": ("a.csv", "", {}, "a.csv is empty"),
    "an open quote": ("a.csv", 'text,label\n"x,a\n', {}, "a.csv, line .* close every double quote"),
    "another kind": (
        "a.pdf",
        "{}",
        {},
        "This page cannot read a.pdf; choose one of these kinds: .csv, .tsv, .*, .txt",
    ),
    "a line that is no JSON": (
        "a.jsonl",
        '{"text": "x", "label": "y"}\n{"text',
        {},
        "a.jsonl, line 2: not readable as JSON",
    ),
    "JSON without the column": ("a.jsonl", '{"body": "x", "label": "y"}\n', {}, "no column 'text', only 'body'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(file, case):
    name, content, columns, message = REFUSED[case]
    path = file(name, content)
    args = replace(LABELLED if b"label" in path.read_bytes() else UNLABELLED, **columns)
    with pytest.raises(InputError, match=message) as refused:
        read_texts_of(path, "", args)
    assert str(path.parent) not in str(refused.value), "where it lies on the server is nobody's business"
    assert "--" not in str(refused.value), "a visitor has no command line"


@pytest.mark.parametrize(
    ("pasted", "message"),
    [
        ("", "There is no text"),
        (" \n\u3000\n", "There is no text"),
        ("x\n" + "क" * 100_000, "the pasted texts, text 2: .* 100,000 characters"),
        ("x\n" * 5_001, "the pasted texts has 5,001 texts"),
        (("y" * 9_000 + "\n") * 500, "longer than 4,000,000 characters"),
        ("half \ud83d of it", "half a character"),
    ],
)
def test_pasted_texts_have_the_same_limits(pasted, message):
    with pytest.raises(InputError, match=message):
        read_texts_of(None, pasted, LABELLED)


def test_one_way_at_a_time(file):
    with pytest.raises(InputError, match="pasted texts and a file; remove one"):
        read_texts_of(file("a.txt", "x"), "y", LABELLED)


def test_the_columns_are_offered_and_guessed(file):
    columns = columns_of(file("a.csv", "\ufeffid, Headline ,Label\n1,x,a\n"))
    assert columns == ["id", "Headline", "Label"]
    assert columns_of(file("s.csv", "sep=;\nid; Headline ;Label;\n1;x, y;a;\n")) == columns
    assert likely(columns, "text", "headline") == "Headline"
    assert likely(columns, "text", *columns) == "id"
    assert likely(columns, "label") == "Label"
    assert likely(columns, "category") == ""
    assert columns_of(file("a.txt", "id,text")) == []
    with pytest.raises(InputError, match="^b.csv is not a text file"):
        columns_of(file("b.csv", b"\0"))
    with pytest.raises(InputError, match="^c.csv, line 1: a cell of 200,000 characters names no column"):
        columns_of(file("c.csv", "x" * 200_000))


def test_a_report_tells_how_the_run_read_its_data():
    report = CompressionReport(
        created="2026-01-01T00:00:00+00:00",
        model=Model(),
        recipe={"text_column": "Text", "max_length": "64", "data_dir": "/secret"},
    )
    args = arguments(report, None)
    assert (args.text_column, args.label_column, args.max_length, args.data_dir) == ("Text", "label", 64, None)
    assert arguments(replace(report, recipe={"seed": 1}), None).max_length == DataArguments().max_length
    unknown = arguments(None, "multi_label_classification")
    assert unknown == DataArguments(problem_type="multi_label_classification", max_length=10_000), "as the model can"


def test_every_kind_is_read(file):
    for kind in batch_input.KINDS:
        content = '{"text": "x"}\n' if "json" in kind else "text\nx\n"
        assert read_texts_of(file(f"a{kind}", content), "", UNLABELLED).rows
    tables = {"a.tsv": "id\ttext\tlabel\n1\tx\ty\n", "b.jsonl": '{"id": 1, "text": "x", "label": "y"}\n'}
    for name, content in tables.items():
        path = file(name, content)
        assert batch_input.columns_of(path) == ["id", "text", "label"]
        assert [(row.text, row.label) for row in read_texts_of(path, "", LABELLED).rows] == [("x", "y")]


def test_the_data_of_a_run_are_found_from_any_working_folder(tmp_path, monkeypatch):
    (tmp_path / "run/compressed").mkdir(parents=True)
    (tmp_path / "h.csv").write_text("text,label\nx,a\n")
    (tmp_path / "run/recipe.yaml").write_text("data_dir: .\ntrain_files: [h.csv]\noutput_dir: run\n")
    for working in (".", "run", "run/compressed"):
        monkeypatch.chdir(tmp_path / working)
        assert Path(data_of_run(str(tmp_path / "run/compressed")).data_dir) == tmp_path
    assert data_of_run("owner/name") is None
