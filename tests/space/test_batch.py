"""Comparison of many texts: flips, scores and files."""

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from charts import batch as batch_charts
from charts.batch import WORDS
from core import batch as flips, batch_input, compare, models, startup
from core.batch import Ending, as_csv, as_json, compare_texts, in_words, neutral
from core.batch_input import arguments
from hypothesis import given, strategies as st

from tests.helpers.paging import LABELS, write_pair
from tests.helpers.vocabularies import MARATHI
from trainer_ext import InputError
from trainer_ext.data.records import Example, Examples
from trainer_ext.tasks.metrics import agreement

TEXTS = [*MARATHI[:6], "=1+1", "<script>alert(1)</script>", MARATHI[0]]
TABLE = Examples(
    tuple(Example(text, LABELS[index % 3]) for index, text in enumerate(TEXTS)), Counter({"stray header": 2})
)
ANSWERS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1)


@pytest.fixture
def pair(tiny_model, cut, tmp_path):
    run = write_pair(tmp_path / "run", tiny_model, cut)
    return models.open_pair(startup.choose([str(run)], beside=run))


@pytest.fixture
def args(pair):
    return arguments(pair.report, None)


@pytest.fixture(scope="module")
def made():
    return []


@pytest.fixture
def batch(request, made):
    """Made once: nothing changes it."""
    if not made:
        pair, args = (request.getfixturevalue(name) for name in ("pair", "args"))
        made.append(compare_texts(TABLE, pair, args, name="texts.csv"))
    return made[0]


@given(ANSWERS)
def test_every_row_is_in_one_cell(answers):
    before, after = zip(*answers, strict=True)
    found = flips.flip_matrix(before, after)
    assert found.total() == len(answers)
    assert sum(n for (one, other), n in found.items() if one == other) == sum(map(str.__eq__, before, after))
    assert Counter(before) == sum((Counter({one: n}) for (one, _), n in found.items()), Counter())


@given(ANSWERS, st.integers(1, 4))
def test_the_answers_that_are_shown_flip_most(answers, most):
    found = flips.flip_matrix(*zip(*answers, strict=True))
    flipped = Counter(answer for both in answers for answer in set(both) if len(set(both)) == 2)
    every = {answer for both in answers for answer in both}
    shown = flips.most_flipped(found, most=most)
    assert len(shown) == min(most, len(every))
    assert all(flipped[one] >= flipped[other] for one in shown for other in every - set(shown))


@given(st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 6), min_size=1))
def test_the_largest_gap_is_that_of_one_text(rows):
    both = np.array(rows, dtype=np.float32).reshape(-1, 2, 3).swapaxes(0, 1)
    labels, gaps = flips.largest_gaps(both)
    for row, (label, gap) in enumerate(zip(labels, gaps, strict=True)):
        before, after = (dict(enumerate(side[row])) for side in both)
        assert (label, gap) == compare.largest_gap(before, after)


def test_a_batch_is_what_the_models_say(batch, pair):
    for index, side in enumerate(pair.sides.values()):
        for row, text in enumerate(TEXTS):
            with torch.inference_mode():
                logits = side.model(**side.tokenizer(text, return_tensors="pt")).logits[0]
            expected = logits.softmax(-1).numpy()
            np.testing.assert_allclose(batch.probabilities[index, row], expected, atol=1e-5)
            assert batch.answers[index][row] == LABELS[expected.argmax()]
    assert (batch.left_out, batch.repeated) == ({"stray header": 2}, 1)


def test_texts_are_computed_by_length_and_answered_in_their_order(batch, pair, args, monkeypatch):
    widths = []
    monkeypatch.setattr(flips, "BATCH_SIZE", 2)
    pair.baseline.model.register_forward_pre_hook(
        lambda _, given, named: widths.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    again = compare_texts(TABLE, pair, args, name="texts.csv")
    assert widths == sorted(widths)
    assert len(set(widths)) > 1
    np.testing.assert_allclose(again.probabilities, batch.probabilities, atol=1e-5)


def test_scores_are_those_of_the_package(batch):
    ids = {label: index for index, label in enumerate(LABELS)}
    answers = [[ids[one] for one in side] for side in (*batch.answers, batch.truths)]
    expected = agreement(*answers)
    assert expected["agreement"] == batch.agreement < 1, "they must differ somewhere, or this shows little"
    assert {name: getattr(batch.quality, name) for name in expected} == expected
    outcomes = Counter(flips.outcome(batch, row) for row in range(len(TEXTS)))
    assert [outcomes[name] for name in ("lost", "won", "both wrong")] == [
        expected[name] for name in ("lost", "won", "both_wrong")
    ]


def test_labels_may_stand_in_another_order(batch, pair, args):
    side, order = pair.compressed, [2, 0, 1]
    with torch.no_grad():
        for weight in side.model.classifier.parameters():
            weight.copy_(weight[order].clone())
    side.model.config.id2label = {index: LABELS[label] for index, label in enumerate(order)}
    assert side.labels != pair.baseline.labels
    found = compare_texts(TABLE, pair, args, name="texts.csv")
    np.testing.assert_allclose(found.probabilities, batch.probabilities, atol=1e-6)
    assert found.answers == batch.answers


def test_without_labels_there_are_no_scores(pair, args, batch):
    found = compare_texts(TABLE, pair, replace(args, label_column=""), name="texts.txt")
    assert (found.quality, found.truths) == (None, None)
    assert found.answers == batch.answers
    assert {flips.outcome(found, row) for row in range(len(TEXTS))} == {""}
    assert "McNemar" in batch_charts.summary(batch, "en")
    assert "McNemar" not in batch_charts.summary(found, "en")
    assert "outcome" not in as_json(found)["rows"][0]


def test_an_unknown_label_is_refused(pair, args):
    table = Examples((Example("x", "weather"),), Counter())
    with pytest.raises(InputError, match=r"texts.csv has labels that the model lacks: 'weather'; the model has 'खेळ'"):
        compare_texts(table, pair, args, name="texts.csv")


def test_ids_and_other_writings_are_the_labels_of_the_models(pair, args, batch):
    for words in ([str(index) for index in range(3)], [f" {label}\u200b " for label in LABELS]):
        rows = tuple(replace(row, label=words[LABELS.index(row.label)]) for row in TABLE.rows)
        found = compare_texts(Examples(rows, TABLE.dropped), pair, args, name="texts.csv")
        assert (found.truths, found.quality) == (batch.truths, batch.quality)


def test_several_labels_per_text(pair, args):
    for side in pair.sides.values():
        side.model.config.problem_type = "multi_label_classification"
    table = Examples((Example(TEXTS[0], LABELS[:2]), Example(TEXTS[1], ())), Counter())
    found = compare_texts(table, pair, replace(args, problem_type="multi_label_classification"), name="x")
    assert found.truths == [", ".join(LABELS[:2]), ""]
    assert found.quality.metric == "micro_f1"
    on = in_words(found.probabilities[0] > 0.5, list(LABELS))
    assert found.answers[0] == on
    shown = (
        batch_charts.matrix(found, "en") + batch_charts.differences(found, "en") + batch_charts.classes(found, "en")
    )
    assert "none of the labels" in shown


def test_progress_counts_every_row_twice(pair, args):
    seen = []
    compare_texts(TABLE, pair, args, name="x", on_rows=seen.append)
    assert sum(seen) == 2 * len(TEXTS)


def test_what_ends_a_comparison_first_stays_its_end():
    stopped, finished = Ending(), Ending()
    assert [stopped.by_stop(), stopped.by_result(), stopped.by_stop()] == [True, False, True]
    assert stopped.is_stopped
    assert [finished.by_result(), finished.by_stop()] == [True, False]
    assert not finished.is_stopped


def test_a_comparison_starts_once_and_not_after_its_end():
    twice, stopped = Ending(), Ending()
    assert [twice.start(), twice.start()] == [True, False]
    assert [stopped.by_stop(), stopped.start()] == [True, False]
    assert [twice.is_running, stopped.is_running, Ending().is_running] == [True, False, False]
    twice.by_result()
    assert not twice.is_running


def test_texts_are_cut_where_the_run_cut_them(pair, args, batch):
    found = compare_texts(TABLE, pair, replace(args, max_length=4), name="x")
    assert np.abs(found.probabilities - batch.probabilities).max() > 0.01


def test_the_largest_change_comes_first(batch):
    gaps = np.abs(flips.largest_gaps(batch.probabilities)[1])
    rows = flips.differing(batch)
    assert rows == sorted(rows, key=lambda row: -gaps[row])
    assert {*rows} == {row for row in range(len(TEXTS)) if batch.answers[0][row] != batch.answers[1][row]}
    cells = flips.flip_matrix(*batch.answers)
    assert sorted(row for cell in cells for row in flips.rows_of_cell(batch, *cell)) == [*range(len(TEXTS))]
    assert all(len(flips.rows_of_cell(batch, *cell)) == count for cell, count in cells.items())


@given(
    st.text()
    | st.builds(
        "{}{}{}".format, st.sampled_from(" \t\n\f\x1f\x85\xa0\u200d\u2060"), st.sampled_from("=+-@＝－"), st.text()
    )
)
def test_no_cell_is_a_formula(text):
    cell = neutral(text)
    assert cell in (text, f"'{text}")
    assert not re.match(r"[\s\u200b-\u200d\u2060\ufeff]*[=+\-@＝＋－＠]", cell)
    assert not cell.startswith(("\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["नवा फोन", "a=b", "1-1", "'=1", "x@y", ""])
def test_what_is_no_formula_stays(text):
    assert neutral(text) == text


def test_the_file_holds_every_text_those_that_differ_first(batch):
    rows = list(csv.DictReader(io.StringIO(as_csv(batch).decode("utf-8-sig"), newline="")))
    assert Counter(row["text"] for row in rows) == Counter("'=1+1" if text == "=1+1" else text for text in TEXTS)
    differs = [row["baseline"] != row["compressed"] for row in rows]
    assert differs == sorted(differs, reverse=True)
    assert any(differs)
    for row in rows:
        assert 0 <= float(row["p_baseline"]) <= 1
        assert row["most_changed"] in LABELS
        assert row["outcome"] in ("lost", "won", "both wrong", "both right")
    assert as_csv(batch).startswith(b"\xef\xbb\xbf"), "or a spreadsheet shows no Devanagari"


def test_programs_get_every_probability(batch):
    found = json.loads(json.dumps(as_json(batch)))
    assert [row["text"] for row in found["rows"]] == TEXTS
    for row in found["rows"]:
        assert list(row["baseline"]["probabilities"]) == list(LABELS)
        assert sum(row["compressed"]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert sum(cell["rows"] for cell in found["flips"]) == len(TEXTS)


@pytest.mark.parametrize("language", WORDS)
def test_whatever_comes_from_outside_is_shown_as_text(batch, language):
    evil = replace(batch, name="<i>x", answers=([LABELS[2]] * 9, [LABELS[0]] * 9))
    parts = (batch_charts.summary, batch_charts.prepared, batch_charts.matrix, batch_charts.differences)
    shown = "".join(part(one, language) for part in (*parts, batch_charts.classes) for one in (batch, evil))
    shown += batch_charts.cell_texts(batch, language, "<img src=x>", "' onclick='x")
    assert "&lt;script&gt;alert(1)" in shown
    assert "data-before='&lt;b&gt;tech&lt;/b&gt; &amp; more'" in shown
    assert not re.search(r"<script|<b>tech|<i>|<img|' onclick", shown)


def test_where_nothing_differs_the_largest_moves_are_shown(batch):
    same = replace(batch, answers=(batch.answers[0],) * 2)
    assert "the same answer to all" in batch_charts.summary(same, "en")
    assert "No answer changed" in batch_charts.differences(same, "en")
    assert "No answer changed" not in batch_charts.differences(batch, "en")


def test_many_answers_and_long_texts_are_cut_short(batch):
    many = [f"label {index:02}" for index in range(40)]
    other = replace(batch, texts=["x" * 1_000] * 80, answers=(many * 2, many[1:] + many + many[:1]))
    other = replace(other, probabilities=np.tile(batch.probabilities[:, :8], (1, 10, 1)), truths=None, quality=None)
    matrix, texts = batch_charts.matrix(other, "en"), batch_charts.differences(other, "en")
    assert matrix.count("scope='col'") == batch_charts.MOST_ANSWERS
    assert "24 more answers" in matrix
    assert "and 30 more in the download" in texts
    assert "x" * 300 + "…" in texts
    assert "x" * 301 not in texts


def test_both_languages_say_everything():
    assert WORDS["en"].keys() == WORDS["mr"].keys()
    fields = [{key: set(re.findall(r"{(\w+)", text)) for key, text in table.items()} for table in WORDS.values()]
    assert fields[0] == fields[1]


def test_the_data_of_a_run_are_found_by_its_recipe(tmp_path, pair):
    assert batch_input.data_of_run(pair.compressed.name) is None
    assert batch_input.data_of_run("user/not-a-folder") is None
    recipe = tmp_path / "run/recipe.yaml"
    told = {"data_dir": str(tmp_path / "data"), "seed": 17, "text_column": "Text"}
    recipe.write_text(json.dumps(told))
    assert batch_input.data_of_run(pair.compressed.name) is None, "the folder is gone"
    (tmp_path / "data").mkdir()
    found = batch_input.data_of_run(pair.compressed.name)
    assert (found.text_column, found.data_dir) == ("Text", told["data_dir"])
    header, seen = "Text,label\n", f"{TEXTS[0]},{LABELS[0]}\n"
    (tmp_path / "data/train.csv").write_text(f"{header}{seen}{TEXTS[1]},{LABELS[1]}\n", encoding="utf-8")
    (tmp_path / "data/test.csv").write_text(f"{header}{seen}{header}{TEXTS[2]},{LABELS[1]}\n", encoding="utf-8")
    name, table = batch_input.test_split(found, list(LABELS))
    assert name == "clean, data/test.csv"
    assert table == Examples((Example(TEXTS[2], LABELS[1]),), {"stray header": 1, "seen in train": 1})
