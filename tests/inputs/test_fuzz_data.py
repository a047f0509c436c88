"""Fuzzed data: whatever a file of texts holds, its rows are read or it is refused in one line."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
from core.batch_input import read_texts_of
from core.sweep import COLUMNS, read_sweep
from hypothesis import example, given, strategies as st

from tests.inputs.fuzzing import VALUES, fuzz, texts_of, value_or_line
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.corpus import read_corpus
from trainer_ext.data.records import Examples
from trainer_ext.tasks.dataset import Data, load_data

CELLS = (
    "text,label\n",
    "text",
    "label",
    ",",
    "\n",
    "\r\n",
    '"',
    '""',
    "a,b\n",
    "x,1\n",
    "nan",
    "1e999",
    "0.5",
    "a|b",
    ";",
)
IOB = ("Pune B-LOC\n", "is O\n", "B-", "I-LOC", "O", " ", "\n", "\n\n", "-DOCSTART- O\n", "\t")
KINDS = (
    {"problem_type": "single_label_classification"},
    {"problem_type": "multi_label_classification"},
    {"problem_type": "regression"},
    {"text_pair_column": "label", "label_column": "other"},
)
OBJECTS = ('{"text": ', '"label": ', '"a", ', '"b"}\n', "[", "]", "{", "}", "\n", "1e999", "NaN", "null", '"\\ud800"')
OBJECT_LINES = st.lists(
    st.fixed_dictionaries({"text": VALUES}, optional={"label": VALUES, "other": VALUES}), max_size=6
).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
SQUAD = {
    "data": [
        {
            "paragraphs": [
                {"context": "The sky.", "qas": [{"question": "q", "answers": [{"text": "sky", "answer_start": 4}]}]}
            ]
        }
    ]
}


def read(folder, train, test, *, ending=".csv", **options):
    """Both files through all of the reading; what comes back holds together."""
    (folder / f"train{ending}").write_bytes(train)
    (folder / f"test{ending}").write_bytes(test)
    options |= {"train_files": [f"train{ending}"], "test_file": f"test{ending}"}
    args = DataArguments(data_dir=str(folder), max_length=32, doc_stride=4, **options)
    data = value_or_line(load_data, args)
    assert data is None or isinstance(data, Data)
    if data is not None:
        assert len(data.train) > 0
        for rows in data.tests.values():
            assert len(rows) > 0
            assert all(text.strip() for text in rows["text"])


@fuzz
@given(train=texts_of(*CELLS), test=texts_of(*CELLS), kind=st.sampled_from(KINDS))
@example(train=b"text,label\na,x\nb,y\n", test=b"text,label\nc,x\n", kind=KINDS[0])
@example(train=b"text,label\na,1\nb,2\n", test=b"text,label\nc,1\n", kind=KINDS[2])
def test_any_table(train, test, kind, tmp_path):
    read(tmp_path, train, test, **kind)


@fuzz
@given(
    rows=st.lists(
        st.tuples(st.text(max_size=8), st.sampled_from(["a", "b", "1", "2.5", "a|b", ""])), min_size=4, max_size=9
    ),
    kind=st.sampled_from(KINDS[:3]),
)
def test_any_texts_of_a_good_table(rows, kind, tmp_path):
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    content = "\n".join(["text,label", *lines]).encode("utf-8", "surrogatepass")
    half = len(lines) // 2
    test = "\n".join(["text,label", *lines[half:]]).encode("utf-8", "surrogatepass")
    read(tmp_path, content, test, **kind)


@fuzz
@given(train=texts_of(*CELLS, "\t"), test=texts_of(*CELLS, "\t"), kind=st.sampled_from(KINDS))
@example(train=b"text\tlabel\na\tx\nb\ty\n", test=b"text\tlabel\nc\tx\n", kind=KINDS[0])
def test_any_table_with_tabs(train, test, kind, tmp_path):
    read(tmp_path, train, test, ending=".tsv", **kind)


@fuzz
@given(train=texts_of(*OBJECTS) | OBJECT_LINES, test=OBJECT_LINES, kind=st.sampled_from(KINDS))
@example(
    train=b'{"text": "a", "label": 1}\n{"text": "b", "label": 2}', test=b'{"text": "c", "label": 1}', kind=KINDS[2]
)
def test_any_lines_of_objects(train, test, kind, tmp_path):
    read(tmp_path, train, test, ending=".jsonl", **kind)


@fuzz
@given(train=texts_of(*IOB), test=texts_of(*IOB))
@example(train=b"Pune B-LOC\nis O\n", test=b"Asha B-LOC\n")
def test_any_tags(train, test, tmp_path):
    read(tmp_path, train, test, task="token-classification")


@st.composite
def questions(draw):
    """The layout of SQuAD with one of its values replaced."""
    found = json.loads(json.dumps(SQUAD))
    place, steps = found, draw(st.integers(0, 6))
    for _ in range(steps):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key]:
            break
        place = place[key]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    if keys:
        place[draw(st.sampled_from(keys))] = draw(VALUES)
    return json.dumps(found).encode()


@fuzz
@given(train=questions() | texts_of("{", "}", "[", '"data":', "null"))
def test_any_questions(train, tmp_path):
    read(tmp_path, train, json.dumps(SQUAD).replace("The", "A").replace("4", "2").encode(), task="question-answering")


@fuzz
@given(content=texts_of("a", "\n", "मराठी", " "), packed=st.booleans(), cut=st.integers(0, 60))
def test_any_corpus(content, packed, cut, tmp_path):
    file = tmp_path / ("corpus.txt.gz" if packed else "corpus.txt")
    file.write_bytes(gzip.compress(content)[: cut + 10] if packed else content)
    found = value_or_line(read_corpus, [file])
    assert found is None or all(text == text.strip() != "" for text in found)


@fuzz
@given(content=texts_of(*CELLS), ending=st.sampled_from([".csv", ".txt"]), label=st.sampled_from(["", "label"]))
def test_any_upload(content, ending, label, tmp_path):
    file = tmp_path / f"upload{ending}"
    file.write_bytes(content)
    found = value_or_line(read_texts_of, file, "", replace(DataArguments(), label_column=label))
    assert found is None or (isinstance(found, Examples) and found.rows)


@fuzz
@given(
    content=texts_of(",".join(COLUMNS) + "\n", "half,0.9,0.8,0.95,2,3,\n", ",", "\n", "nan", "inf", "../x", "1e999")
)
@example(content=(",".join(COLUMNS) + "\nhalf,0.9,0.8,0.95,2,3,a\0b\n").encode())
def test_any_sweep_table(content, tmp_path):
    file = tmp_path / "sweep.csv"
    file.write_bytes(content)
    found = value_or_line(read_sweep, file)
    assert found is None or all(0 <= point.accuracy <= 1 for point in found)


def test_a_reader_that_lets_an_error_through_is_found(tmp_path):
    """The control: a plain reader does not have the property."""
    (tmp_path / "a.csv").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        value_or_line((tmp_path / "a.csv").read_text, "utf-8")
