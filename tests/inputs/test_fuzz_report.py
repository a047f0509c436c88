"""Fuzzed reports: any compression.json is either read and written again, or refused with a one-line message."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import example, given, strategies as st

from tests.inputs.fuzzing import VALUES, WORDS, fuzz, texts_of, value_or_line
from trainer_ext import report
from trainer_ext.hub.card import render
from trainer_ext.hub.staging import card_of

TOKENS = (
    '{"schema_version": 1',
    ', "model": {}',
    ', "created": "2026-01-01"',
    "}",
    "{",
    "[",
    "]",
    '"',
    ":",
    "NaN",
    "1e999",
    "null",
)


def paths_of(value, path=()):
    """Yield the path of every value in nested lists and dictionaries."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


def put(value, path, new, *, name=None):
    """Return a copy with another value at a path, or with one more field there."""
    value = copy.deepcopy(value)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    if name is None:
        parent[path[-1]] = new
    elif isinstance(parent[path[-1]], dict):
        parent[path[-1]][name] = new
    return value


@pytest.fixture(scope="module")
def good(finished_run):
    """The report of a finished run, and the paths of its values."""
    values = json.loads((finished_run / report.FILE_NAME).read_text())
    return values, [path for path in paths_of(values) if path]


def read(folder, text: bytes):
    """A report that can be read can be written and read again, and a card is made from it or refused in one line."""
    (folder / report.FILE_NAME).write_bytes(text)
    found = value_or_line(report.load, folder)
    if found is None:
        return
    assert report.from_json(report.to_json(found)) == found
    report.to_json(found).encode("utf-8")
    value_or_line(lambda: render(card_of(found, "user/small")))


@fuzz
@given(content=texts_of(*TOKENS))
@example(content=b"[" * 5000)
@example(
    content=b'{"schema_version": 1, "created": "", "model": {}, "training": {"baseline": {"seconds": '
    + b"9" * 400
    + b"}}}"
)
def test_any_text(content, tmp_path):
    read(tmp_path, content)


@fuzz
@given(data=st.data())
def test_any_value_anywhere(data, good, tmp_path):
    values, paths = good
    for _ in range(data.draw(st.integers(1, 3))):
        path, new = data.draw(st.sampled_from(paths)), data.draw(VALUES)
        try:
            values = put(values, path, new, name=data.draw(st.none() | WORDS))
        except (KeyError, IndexError, TypeError):  # an earlier change removed it
            continue
    read(tmp_path, json.dumps(values).encode())


def test_the_unchanged_report_is_read(good, tmp_path):
    (tmp_path / report.FILE_NAME).write_text(json.dumps(good[0]))
    assert value_or_line(report.load, tmp_path) is not None


def test_the_check_finds_a_reader_that_raises_other_errors():
    """Negative control: `json.loads` alone raises another error."""
    with pytest.raises(RecursionError):
        value_or_line(json.loads, "[" * 10**5)
