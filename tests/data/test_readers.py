"""Table files: the same rows come out of CSV, TSV and JSON Lines, and what cannot be a row is refused with its line."""

import csv
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from trainer_ext import InputError
from trainer_ext.benchmark.workloads import read_texts
from trainer_ext.data import readers
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.records import Example
from trainer_ext.tasks.dataset import load_data

ARGS = DataArguments(text_pair_column="other")
FILES = {"csv": ",", "tsv": "\t"}
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)
ROW = st.fixed_dictionaries({"text": WORDS, "other": WORDS, "label": WORDS})
GOOD = '{"text": "लाल आकाश", "label": "a"}\n{"text": "हिरवी टेकडी", "label": "b"}\n'


def written(folder: Path, rows: list[dict[str, str]]) -> list[Path]:
    """The rows in every kind of file."""
    for ending, delimiter in FILES.items():
        with (folder / f"rows.{ending}").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    lines = "".join(json.dumps(row, ensure_ascii=index % 2 == 0) + "\n\n" for index, row in enumerate(rows))
    for ending in ("jsonl", "ndjson", "JSON"):
        (folder / f"rows.{ending}").write_text(lines, encoding="utf-8")
    return sorted(folder.glob("rows.*"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(ROW.filter(lambda row: any(map(str.strip, row.values()))), min_size=1, max_size=5))
def test_every_kind_of_file_gives_the_same_rows(rows, tmp_path):
    found = []
    for file in written(tmp_path, rows):
        try:
            found.append(readers.read_class(file, ARGS))
        except InputError as error:  # of an empty label, for example: with the same words, but not on the same line
            found.append(re.sub(r"line \d+", "", str(error).replace(str(file), "")))
    assert len(found) == 5
    assert all(one == found[0] for one in found)


def test_lists_numbers_and_nothing(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "x", "label": ["b", "a"], "meta": {"source": [1]}}\n{"label": [], "text": "y"}\n')
    assert readers.read_classes(file, DataArguments()).rows == (Example("x", ("a", "b")), Example("y", ()))
    file.write_text('{"text": 7, "label": 3}\n{"text": null, "label": 1}\n{"text": "z", "label": 2.5, "more": 1}\n')
    found = readers.read_number(file, DataArguments())
    assert (found.rows, found.dropped) == ((Example("7", 3.0), Example("z", 2.5)), {"empty": 1})
    assert readers.read_texts(file, DataArguments()).rows == (Example("7", ""), Example("z", ""))


def test_they_train_and_time(tmp_path):
    (tmp_path / "train.jsonl").write_text(GOOD * 2 + '{"text": "निळा समुद्र", "label": "a"}\n')
    (tmp_path / "test.tsv").write_text("label\ttext\na\tकाळी, रात्र\nb\tपांढरा बर्फ\n")
    data = load_data(DataArguments(data_dir=str(tmp_path), train_files=["train.jsonl"], test_file="test.tsv"))
    assert data.train["text"] == ["लाल आकाश", "हिरवी टेकडी", "निळा समुद्र"]
    assert data.tests["test"]["text"] == ["काळी, रात्र", "पांढरा बर्फ"]
    assert data.dropped == {"train: duplicate": 2}
    assert read_texts(tmp_path / "test.tsv", column="text") == ["काळी, रात्र", "पांढरा बर्फ"]


REFUSED = {
    "no object": ("jsonl", GOOD + '["x", "a"]\n', ["line 3", "is not a JSON object", "one on each line"]),
    "an array without commas": (
        "json",
        "[\n" + GOOD + "]",
        ["line 3", "not readable", "a comma or ] is missing", "one object on each line"],
    ),
    "cut off": ("jsonl", GOOD[:-9], ["line 2", "Unterminated string", "at character"]),
    "too deep": ("jsonl", GOOD + "[" * 100_000, ["line 3", "too deep"]),
    "a number too long": ("jsonl", '{"text": %s, "label": "a"}' % ("9" * 5_000), ["line 1", "not readable"]),
    "a key twice": ("jsonl", '{"text": "x", "text": "y", "label": "a"}', ["line 1", "a key is given twice"]),
    "half a character": ("jsonl", GOOD + '{"text": "\\ud800", "label": "a"}', ["line 3", "half a character"]),
    "a zero byte": ("jsonl", GOOD + '{"text": "x", "label": "\\u0000"}', ["line 3", "zero byte"]),
    "an object for a text": ("jsonl", '{"text": {"mr": "x"}, "label": "a"}', ["line 1", "write a string"]),
    "a list for one label": ("jsonl", '{"text": "x", "label": ["a", "b"]}', ["line 1", "write a string"]),
    "no label": ("jsonl", GOOD + '{"text": "x"}', ["line 3", "the label ('label') is empty"]),
    "another column": ("jsonl", GOOD.replace("text", "Text"), ["did you mean --text_column 'Text'"]),
    "no row": ("jsonl", "\n", ["is empty", "an object on each line", "the keys text, label"]),
    "too many commas in a TSV": ("tsv", "text,label\nx,y,a\n", ["line 2: 3 cells", "holds commas"]),
    "another name in a CSV of tabs": ("csv", "Text\tlabel\nx\ta\n", ["did you mean --text_column 'Text'"]),
    "a tab in a text": ("tsv", "text\tlabel\nx\ty\ta\n", ["line 2: 3 cells", "holds tabs"]),
    "an open quote": ("tsv", 'text\tlabel\n"x\ta\tb\n', ["line 2: not readable as TSV", "close every double quote"]),
    "only a header": ("tsv", "text\tlabel\n", ["has a header but no rows"]),
}


@pytest.mark.parametrize(("ending", "content", "fragments"), REFUSED.values(), ids=REFUSED)
def test_refuses_in_one_line(tmp_path, ending, content, fragments):
    file = tmp_path / f"rows.{ending}"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        readers.read_class(file, DataArguments())
    message = str(caught.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    assert [fragment for fragment in fragments if fragment not in message] == []


def test_a_class_name_with_the_separator_in_it_is_not_split(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "x", "label": ["a|b", "c"]}\n')
    with pytest.raises(InputError, match=r"line 1: 'a\|b' holds '\|'; choose another --label_separator"):
        readers.read_classes(file, DataArguments())
    assert readers.read_classes(file, DataArguments(label_separator=";")).rows == (Example("x", ("a|b", "c")),)


def test_only_labels_may_be_a_list(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": ["x", "y"], "label": ["a"]}\n')
    with pytest.raises(InputError, match="line 1.*write a string"):
        readers.read_classes(file, DataArguments())


def test_columns_that_are_not_asked_for_may_hold_anything(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "x", "label": "a", "meta": {"mark": "\\ud800"}}\n')
    assert readers.read_class(file, DataArguments()).rows == (Example("x", "a"),)
    with pytest.raises(InputError, match="write a string"):
        readers.read_class(file, DataArguments(text_column="meta"))
