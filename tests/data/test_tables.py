"""CSV, TSV and JSON files as spreadsheets, databases and pandas write them: the right rows, or a line with the way out."""

import codecs
import csv
import io
import json

import pytest

from trainer_ext import InputError
from trainer_ext.data import readers, tables
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.records import Example

ROWS = (Example("Hallo, Welt", "a"), Example("ohne Komma", "b"))
TABS = "text\tlabel\nHallo, Welt\ta\nohne Komma\tb\n"


def csv_of(delimiter, rows=(("text", "label"), *((row.text, row.label) for row in ROWS)), **options):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, **options).writerows(rows)
    return file.getvalue()


def quoted_index():
    return csv_of(",", [("", "text", "label"), *((n, row.text, row.label) for n, row in enumerate(ROWS))])


# Name and content of a file that holds ROWS, and what is said about it.
READ = {
    "commas in .csv": ("csv", csv_of(","), None),
    "semicolons": ("csv", csv_of(";"), "semicolons between the cells"),
    "semicolons with a mark": ("csv", "\ufeff" + csv_of(";"), "semicolons"),
    "semicolons and a number": ("csv", "text;label;wert\r\nHallo, Welt;a;0,5\r\nohne Komma;b;1,0\r\n", "semicolons"),
    "semicolons in .tsv": ("tsv", csv_of(";"), "semicolons"),
    "a first line sep=;": ("csv", "sep=;\r\n" + csv_of(";"), None),
    "a first line sep=; in quotes": ("csv", '"sep=;"\n' + csv_of(";"), None),
    "sep= of a mark of one's own": ("csv", "SEP=^\n" + csv_of("^"), None),
    "tabs in .csv": ("csv", TABS, "tabs between the cells"),
    "tabs in .txt": ("txt", TABS, "tabs between the cells"),
    "commas in .tsv": ("tsv", csv_of(","), "commas between the cells"),
    "vertical bars": ("csv", csv_of("|"), "vertical bars between the cells"),
    "Unicode text of Excel": ("txt", codecs.BOM_UTF16_LE + TABS.replace("\n", "\r\n").encode("utf-16-le"), "tabs"),
    "UTF-16, big end first": ("csv", codecs.BOM_UTF16_BE + csv_of(",").encode("utf-16-be"), None),
    "line ends of old Macs": ("csv", csv_of(",", lineterminator="\r"), None),
    "everything quoted": ("csv", csv_of(";", quoting=csv.QUOTE_ALL), "semicolons"),
    "spaces in the header": ("csv", csv_of(";").replace("text;label", " text ; label "), "semicolons"),
    "a delimiter at each end": ("csv", csv_of(";").replace("\r\n", ";\r\n"), "semicolons"),
    "a delimiter at each end but the first": ("csv", "text;label\nHallo, Welt;a;\nohne Komma;b;\n", "semicolons"),
    "the index of pandas": ("csv", quoted_index(), None),
    "the row names of R": ("csv", 'text;label\n1;"Hallo, Welt";a\n2;ohne Komma;b\n', "semicolons"),
    "rows of empty cells": ("csv", csv_of(";") + ";\r\n;\r\n", "semicolons"),
    "an array of objects": ("json", json.dumps([{"text": row.text, "label": row.label} for row in ROWS]), None),
    "an array over many lines": (
        "json",
        "\n" + json.dumps([{"text": row.text, "label": row.label} for row in ROWS], indent=2) + "\n",
        None,
    ),
    "lines with ends of old Macs": (
        "jsonl",
        '{"text": "Hallo, Welt", "label": "a"}\r{"text": "ohne Komma", "label": "b"}\r',
        None,
    ),
}


@pytest.fixture
def file(tmp_path):
    """Writes a file with this ending."""

    def write(ending, content):
        path = tmp_path / f"rows.{ending}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(("ending", "content", "said"), READ.values(), ids=READ)
def test_the_rows_are_read_however_they_are_written(file, ending, content, said):
    path = file(ending, content)
    found = readers.read_class(path, DataArguments())
    assert found.rows == ROWS
    assert found.note.startswith(f"{path} is read with {said}") if said else found.note == ""
    assert "\n" not in found.note


def test_decimal_commas_are_numbers(file):
    numbers = DataArguments(label_column="wert")
    found = readers.read_number(file("csv", "text;wert\na;0,5\nb;-12,25\nc;3\nd;0,125\n"), numbers)
    assert [row.label for row in found.rows] == [0.5, -12.25, 3.0, 0.125]
    with pytest.raises(InputError, match="line 3.*'1,500', which is not a number; write it like 3.5"):
        readers.read_number(file("csv", "text;wert\na;0,5\nb;1,500\n"), numbers)
    with pytest.raises(InputError, match=r"line 3.*'1\.234', and others have the other one of \. and , inside"):
        readers.read_number(file("csv", "text;wert\na;0,5\nb;1.234\n"), numbers)


LONE = 'text\tlabel\nplain\t0\n"Bad\t0\nfoo\t1\nfine"\t0\nthe "end" of it\t1\n'
LONE_ROWS = (("plain", "0"), ('"Bad', "0"), ("foo", "1"), ('fine"', "0"), ('the "end" of it', "1"))


@pytest.mark.parametrize("ending", ["tsv", "csv"])
def test_a_lone_quote_between_tabs_joins_no_rows(file, ending):
    found = readers.read_class(file(ending, LONE), DataArguments())
    assert tuple((row.text, row.label) for row in found.rows) == LONE_ROWS
    assert "double quotes as part of the texts" in found.note


@pytest.mark.parametrize(
    ("line", "text"),
    [('"open\ta', '"open'), ('"Good" film\ta', '"Good" film'), ('"""\ta', '"""'), ("5' 6\"\ta", "5' 6\"")],
)
def test_quotes_that_are_not_closed_are_texts_between_tabs(file, line, text):
    rows = readers.read_class(file("tsv", f"text\tlabel\n{line}\nx\tb\n"), DataArguments()).rows
    assert rows == (Example(text, "a"), Example("x", "b"))


def test_quotes_as_they_should_be_keep_their_meaning(file):
    cells = [("text", "label"), ('say "no"', "a"), ("two\nlines", "b"), ("a\ttab", "a"), ("Dear Bob,\nregards", "b")]
    for ending, delimiter in (("tsv", "\t"), ("csv", ",")):
        found = readers.read_class(file(ending, csv_of(delimiter, cells)), DataArguments())
        assert [(row.text, row.label) for row in found.rows] == cells[1:]
        assert found.note == ""


def test_a_letter_in_the_only_quoted_cell_is_one_text(file):
    rows = readers.read_class(file("csv", 'text,label\nx,a\n"Dear Bob, hi\nregards",b\n'), DataArguments()).rows
    assert rows[1] == Example("Dear Bob, hi\nregards", "b")


def test_a_letter_behind_its_label_is_one_text(file):
    content = 'label,text\npos,"Hello\nKind regards, Bob"\nneg,other\npos,more\n'
    rows = readers.read_class(file("csv", content), DataArguments()).rows
    assert rows[0] == Example("Hello\nKind regards, Bob", "pos")
    assert len(rows) == 3


def test_quotes_behind_a_backslash_do_not_excuse_joined_rows(file):
    content = 'text,label\nhe said \\"hi\\",pos\n"starts quote,neg\nends quote",pos\n"a \\"b\\", c",neg\n'
    with pytest.raises(InputError, match="not readable as CSV"):
        readers.read_class(file("csv", content), DataArguments())


@pytest.mark.parametrize("cell", ["[0, 1, 1]", "[1, 0, 0]", "0|1|1"])
def test_a_flag_for_each_class_is_no_list_of_names(file, cell):
    with pytest.raises(InputError, match=r"says 0 or 1 for each class.*--label_columns"):
        readers.read_classes(file("csv", f'text,label\nx,"{cell}"\n'), DataArguments(label_separator="|"))


def test_quotes_behind_a_backslash(file):
    content = 'text,label\n"He said \\"no, no\\" to me",a\n"C:\\new \\\\ \\"x\\"",b\nplain,a\n'
    found = readers.read_class(file("csv", content), DataArguments())
    assert [row.text for row in found.rows] == ['He said "no, no" to me', 'C:\\new \\ "x"', "plain"]
    assert 'quotes inside texts written \\"' in found.note


GIANT = "x" * 200_000  # longer than what the csv module reads by itself


@pytest.mark.parametrize(("ending", "mark"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
@pytest.mark.parametrize("text", [GIANT, "a line, and more\nwithout\n" * 6_000 + "the end", '"' * 150_000], ids=len)
def test_a_cell_of_any_length_is_read(file, ending, mark, text):
    limit = csv.field_size_limit()
    cells = [("text", "label"), ("short", "a"), (text, "b"), ("last", "a")]
    path = file(ending, csv_of(mark, cells, lineterminator="\n"))
    found = readers.read_class(path, DataArguments())
    assert [(row.text, row.label) for row in found.rows] == cells[1:]
    assert tables.read_header(path) == ["text", "label"]
    assert csv.field_size_limit() == limit, "it holds for the whole process"


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed much later"])
@pytest.mark.parametrize(("header", "rest"), [("text,label,price", ",b,1"), ("text", "")], ids=["columns", "a column"])
def test_a_quote_that_swallows_a_long_file_is_named(file, header, rest, closed):
    """In one column nothing tells a long text from many rows, except that no line of it has a comma."""
    content = f'{header}\nfoo{rest}\n"Bad{rest}\n' + f"foo{rest}\n" * 60_000
    end = f'fine"{rest and ",c,2"}\n' if closed else ""
    limit = csv.field_size_limit()
    with pytest.raises(InputError, match=r"line 3.* to .*6000[34].*quote inside a text twice") as caught:
        readers.read_texts(file("csv", content + end), DataArguments())
    assert len(str(caught.value)) < 600
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("rows", [5, 60_000])
def test_a_quote_in_the_header_that_swallows_the_file_is_named(file, rows):
    path = file("csv", 'text,"label\n' + "foo,b\n" * rows)
    for read in (tables.read_header, lambda path: readers.read_class(path, DataArguments())):
        with pytest.raises(
            InputError, match=f"line 1 to {rows + 1}: not readable as CSV .*close every double"
        ) as caught:
            read(path)
        assert len(str(caught.value)) < 400


def test_a_giant_first_line_is_no_header(file):
    path = file("csv", f"{GIANT},a\n")
    with pytest.raises(InputError, match="line 1: a cell of 200,000 characters names no column; write a header row"):
        tables.read_header(path)
    with pytest.raises(InputError, match="no column 'text', only 'xxx") as caught:
        readers.read_class(path, DataArguments())
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content", [b"", b"\n \n", codecs.BOM_UTF8], ids=["nothing", "blank lines", "a mark"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json"])
def test_a_file_of_nothing_is_called_empty(file, ending, content):
    path = file(ending, content)
    for read in (tables.table_columns, lambda path: readers.read_class(path, DataArguments())):
        with pytest.raises(InputError, match=f"^{path} is empty; it needs"):
            read(path)


REFUSED = {
    "rows joined by quotes": (
        "csv",
        'text,label\nx,a\ny,b\n"Bad,a\nfoo,b\nfine",a\n',
        ["line 4", "to line 6", "look like rows of their own", "write each quote inside a text twice"],
    ),
    "rows joined by quotes in a good TSV": (
        "tsv",
        'text\tlabel\n"say ""no"""\ta\n"Bad\ta\nfoo\tb\nfine"\ta\n',
        ["line 3", "to line 5", "rows of their own"],
    ),
    "an open quote between commas": ("csv", 'text,label\n"x,a\n', ["line 2: not readable as CSV", "close every"]),
    "a first cell that is no number of the row": ("csv", "text,label\n1,x,a\n3,y,b\n", ["line 2: 3 cells"]),
    "an empty label": ("csv", "text,label\nx,a\ny,\n", ["line 3: the label ('label') is empty; give the row a class"]),
    "no value of MySQL": ("csv", "text,label\nx,a\ny,\\N\n", ["line 3", "is empty or '\\\\N'"]),
    "no value of Excel": ("csv", "text,label\nx,a\ny,#N/A\n", ["line 3", "is empty or '#N/A'"]),
    "a short row": (
        "csv",
        "text,label,more\nx,a,1\ny,b\n",
        ["line 3: 2 cells", "write empty cells at the end of a row"],
    ),
    "another column between semicolons": (
        "csv",
        "Text;label\nHallo, Welt;a\n",
        ["no column 'text', only 'Text', 'label'", "did you mean --text_column 'Text'"],
    ),
    "sep= of another mark": ("csv", "sep=;\ntext,label\nx,a\n", ["no column 'text', only 'text,label'"]),
    "sep= of a double quote": ("csv", 'sep="\ntext"label\nx"a\n', ["no column 'text', only 'sep=\"'"]),
    "sep= of a line end": ("csv", "sep=\r\ntext,label\r\nx,a\r\n", ["no column 'text', only 'sep='"]),
    "sep= of a backslash": ("csv", "sep=\\\ntext\\label\nx\\a\n", ["no column 'text', only 'sep=\\\\'"]),
    "a text with semicolons": ("csv", "text;label\na;b;c\nx;b\n", ["line 2: 3 cells", "that holds semicolons"]),
    "lines count with sep=": ("csv", "sep=;\ntext;label\nx;a\ny\n", ["line 4: 1 cells"]),
    "Windows-1252": ("csv", "text;label\ncafé;a\n".encode("cp1252"), ["line 2: byte 0xe9", "iconv -f WINDOWS-1252"]),
    "half of UTF-16": ("csv", csv_of(",").encode("utf-16")[:-1], ["is not UTF-16", "save the file as UTF-8"]),
    "UTF-32": ("csv", csv_of(",").encode("utf-32"), ["byte 0xff at offset 0 is not UTF-8"]),
    "a zero in UTF-16": ("csv", (csv_of(",") + "\0").encode("utf-16"), ["line 4: a zero byte"]),
    "an array without a comma": ("json", '[{"text": "x", "label": "a"}\n{}]', ["line 2", "a comma or ] is missing"]),
    "an array that is cut off": ("json", '[{"text": "x", "label": "a"},\n', ["line 2", "Expecting value"]),
    "an array that does not end": ("json", '[{"text": "x", "label": "a"}', ["line 1", "a comma or ] is missing"]),
    "something behind an array": ("json", '[{"text": "x", "label": "a"}]\n{}', ["something behind the array"]),
    "an array of texts": ("json", '[\n"x"]', ["line 2", "is not a JSON object"]),
    "an empty array": ("json", "[ ]", ["is empty"]),
    "a bad label in an array": ("json", '[{"text": "x", "label": "a"},\n\n{"text": "x"}]', ["line 3", "is empty"]),
    "columns of pandas": (
        "json",
        '{"text": {"0": "x"}, "label": {"0": "a"}}',
        ["to_json(orient='records', lines=True)"],
    ),
}


@pytest.mark.parametrize(("ending", "content", "fragments"), REFUSED.values(), ids=REFUSED)
def test_refuses_in_one_line(file, ending, content, fragments):
    path = file(ending, content)
    with pytest.raises(InputError) as caught:
        readers.read_class(path, DataArguments())
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert [fragment for fragment in fragments if fragment not in message] == []


@pytest.mark.parametrize(("ending", "content", "said"), READ.values(), ids=READ)
def test_the_header_is_read_as_the_rows_are(file, ending, content, said):
    if "json" not in ending:
        assert {"text", "label"} <= set(tables.read_header(file(ending, content)))
