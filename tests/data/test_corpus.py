"""Corpus: every line of every file once, a part held out that the rest does not hold, bad files named."""

import gzip

import pytest

from trainer_ext.data.corpus import hold_out, read_corpus
from trainer_ext.errors import InputError


def test_files_and_folders_are_read_line_by_line(tmp_path):
    (tmp_path / "b.txt").write_text("\ufeffतीन\r\n\n  चार \n", encoding="utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("एक\nदोन\n".encode()))
    (tmp_path / "c.csv").write_text("text,label\n", encoding="utf-8")
    assert read_corpus([tmp_path]) == ["एक", "दोन", "तीन", "चार"]
    assert read_corpus([tmp_path / "b.txt", tmp_path / "a.txt.gz"]) == ["तीन", "चार", "एक", "दोन"]


def test_every_tenth_text_is_held_out_unless_it_occurs_again():
    texts = [f"text {number}" for number in range(1, 31)]
    chosen, held_out = hold_out(texts)
    assert held_out == ["text 10", "text 20", "text 30"]
    assert chosen == [text for text in texts if text not in held_out]
    assert hold_out([*texts[:9], "text 1", *texts[10:]])[1] == ["text 20", "text 30"]
    with pytest.raises(InputError, match="9 texts leaves none to hold out.* 10 different ones, or another file"):
        hold_out(texts[:9], advice=", or another file")


def test_a_line_ends_where_it_does_in_every_other_file(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\u2028still one\r\ntwo\x0cstill two\n".encode())
    assert read_corpus([tmp_path]) == ["one\u2028still one", "two\x0cstill two"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b" \n\n", "is empty"),
        ("latin.txt", "caf\xe9".encode("latin-1"), "not UTF-8"),
        ("cut.txt.gz", gzip.compress(b"text" * 99, mtime=0)[:20], "truncated"),
        ("wrong.txt.gz", b"text", "Not a gzipped file"),
        ("rows.csv", b"text,label\n", r"no .txt or .txt.gz file"),
    ],
)
def test_bad_files_are_named(name, data, message, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_corpus([tmp_path / name])


def test_missing_paths_and_empty_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="There is no file or folder"):
        read_corpus([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"holds no .txt or .txt.gz file"):
        read_corpus([tmp_path])
