"""Quickstart corpus: balanced, distinct, reproducible, and test headlines hold phrases that training never shows."""

import csv
import hashlib
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recipes.quickstart import corpus

PHRASES = Path(corpus.__file__).parent / "phrases"
# Of "text\tlabel\n" for all of train, test and unseen, with seed 0. A change of phrases or of the algorithm changes it:
# update it then, in the same commit, and say so in the changelog.
SEED_0_SHA256 = "503bdf8ac6576a036ccfff1eb6c4fbf0d19a988ede713675158f45767e01c909"


@pytest.fixture(scope="module")
def rows() -> list[corpus.Row]:
    return corpus.compose()


@pytest.fixture(scope="module")
def parts(rows: list[corpus.Row]) -> tuple[list[corpus.Row], ...]:
    return corpus.split(rows)


@pytest.fixture
def phrases(tmp_path: Path) -> Path:
    return shutil.copytree(PHRASES, tmp_path / "phrases")


def pairs(part: list[corpus.Row]) -> set[tuple[str, str]]:
    return {(row.subject, row.predicate) for row in part}


def test_every_topic_has_the_same_share_of_every_part(parts):
    for part, count in zip(parts, (320, 160, 20), strict=True):
        assert Counter(row.label for row in part) == dict.fromkeys(corpus.LABELS, count)


def test_headlines_are_distinct_and_at_least_four_thousand(rows, parts):
    everything = [row.text for part in parts for row in part]
    assert len(set(everything)) == len(everything) == len(rows) >= 4000


def test_train_and_test_share_no_pair(parts):
    train, *tests = parts
    for test in tests:
        assert pairs(train)
        assert pairs(test)
        assert not pairs(train) & pairs(test)


def test_one_phrase_of_a_test_headline_is_new_and_both_of_an_unseen_one(parts):
    train, test, unseen = parts
    known = {(row.label, phrase) for row in train for phrase in (row.subject, row.predicate)}

    def new(row):
        return sum((row.label, phrase) not in known for phrase in (row.subject, row.predicate))

    assert {new(row) for row in test} == {1}
    assert {new(row) for row in unseen} == {2}


def test_same_seed_same_rows_other_seed_other_rows(rows, parts):
    assert corpus.compose() == rows
    assert corpus.split(rows) == parts
    assert corpus.compose(1) != rows
    assert corpus.split(rows, 1) != parts


def test_seed_0_is_the_same_on_every_platform(parts):
    text = "".join(f"{row.text}\t{row.label}\n" for part in parts for row in part)
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == SEED_0_SHA256


def test_text_is_nfc_and_devanagari(rows):
    for text in [row.text for row in rows] + [text for text, _ in corpus.written()]:
        assert text == unicodedata.normalize("NFC", text)
        letters = [character for character in text if unicodedata.category(character)[0] in "LM"]
        devanagari = [character for character in letters if "\u0900" <= character <= "\u097f"]
        assert len(devanagari) >= 0.95 * len(letters), text


def test_written_headlines_are_balanced_and_not_composed(rows):
    written = corpus.written()
    counts = Counter(label for _, label in written)
    assert set(counts) == set(corpus.LABELS)
    assert len(set(counts.values())) == 1
    assert min(counts.values()) >= 20
    texts = {text for text, _ in written}
    assert len(texts) == len(written)
    assert not texts & {row.text for row in rows}
    assert not any(row.subject in text and row.predicate in text for text in texts for row in rows)


def test_fewer_headlines_per_topic_on_request():
    assert Counter(row.label for row in corpus.compose(per_label=7)) == dict.fromkeys(corpus.LABELS, 7)


@pytest.mark.parametrize("per_label", [0, 100_000])
def test_impossible_size_is_refused_with_the_possible_range(per_label):
    with pytest.raises(ValueError, match=rf"auto\.yaml: per_label={per_label}, but the file gives 1 to \d+ pairs"):
        corpus.compose(per_label=per_label)


@pytest.mark.parametrize("held_out", [0, 10, -1])
def test_holding_out_nothing_or_everything_is_refused(rows, held_out):
    with pytest.raises(ValueError, match=rf"held_out={held_out}, but \w+, group 1 has 10 subjects"):
        corpus.split(rows, held_out=held_out)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("label: [", "cannot be read as UTF-8 YAML"),
        ("- a\n- b\n", "expected a mapping"),
        ("label: Auto\ngroups: [{}]\n", "label is 'Auto'"),
        ("label: Tech\ngroups: []\n", "non-empty list"),
        ("label: Tech\ngroups: [{name: a}]\n", "group 1: expected a mapping with keys"),
        ("{pattern: '{subject}', subjects: [क], predicates: [ख]}", "must hold {subject} and {predicate}"),
        ("{pattern: '{subject} {predicate} {x}', subjects: [क], predicates: [ख]}", "must hold {subject}"),
        ("{pattern: '{subject} {predicate}', subjects: [], predicates: [ख]}", "subjects: expected a non-empty list"),
        ("{pattern: '{subject} {predicate}', subjects: [क, क], predicates: [ख]}", "repeated phrases"),
        ("{pattern: '{subject} {predicate}', subjects: [क], predicates: ['ख  ग']}", "single spaces"),
        ("{pattern: '{subject} {predicate}', subjects: [1], predicates: [ख]}", "1 is not a phrase"),
        ("{pattern: '{subject} {predicate}', subjects: ['\u0958'], predicates: [ख]}", "not NFC"),
        ("{pattern: '{subject} {predicate}', subjects: [क], predicates: [ख], extras: [mood]}", "kinds among"),
    ],
)
def test_a_broken_phrase_file_is_refused_by_name(phrases, content, problem):
    if content.startswith("{"):
        content = f"label: Tech\ngroups:\n  - {content.replace('{', '{name: a, ', 1)}\n"
    (phrases / "tech.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"tech\.yaml") as refused:
        corpus.compose(folder=phrases)
    assert problem in str(refused.value)


def test_a_missing_phrase_file_is_refused_by_name(phrases):
    (phrases / "sports.yaml").unlink()
    with pytest.raises(ValueError, match=r"sports\.yaml: cannot be read"):
        corpus.compose(folder=phrases)


def test_one_headline_from_two_topics_is_refused(phrases):
    auto = (phrases / "auto.yaml").read_text(encoding="utf-8")
    (phrases / "tech.yaml").write_text(auto.replace("label: Auto", "label: Tech"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"tech\.yaml: .* also comes from auto\.yaml"):
        corpus.compose(folder=phrases)


def test_command_writes_the_three_files_and_nothing_else(tmp_path, parts):
    app = corpus.typer.Typer()
    app.command()(corpus.main)
    output_dir = tmp_path / "new" / "folder"
    result = CliRunner().invoke(app, [str(output_dir)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in output_dir.iterdir()) == ["test.csv", "train.csv", "unseen.csv", "written.csv"]
    expected = {"train": parts[0], "test": parts[1], "written": corpus.written()}
    for name, part in expected.items():
        data = (output_dir / f"{name}.csv").read_bytes()
        assert b"\r" not in data
        lines = list(csv.reader(data.decode("utf-8").splitlines()))
        assert lines == [["text", "label"], *(list(row[:2]) for row in part)]
        assert f"{len(part)}" in result.output
