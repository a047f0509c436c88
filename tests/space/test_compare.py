"""Choosing and loading models, comparing them on one text, and showing the result."""

import json
import re
import sys
from dataclasses import replace

import pytest
import torch
from charts import compare as charts
from charts.compare import reported
from charts.markup import refusal
from core import compare, limits, models, startup
from core.captions import EXAMPLES, WITH_NUMBERS, Refused

from tests.helpers.paging import LABELS, pair_of, write_pair
from tests.helpers.vocabularies import MARATHI, tokenizer_of
from trainer_ext import InputError
from trainer_ext.report.io import save
from trainer_ext.report.schema import CompressionReport, Latency, Model, Quality, Scores

TEXT = MARATHI[0]
REPORT = CompressionReport(
    created="2026-01-01T00:00:00+00:00",
    model=Model(labels=list(LABELS)),
    quality=Quality("test", 50, baseline=Scores(accuracy=0.92), compressed=Scores(accuracy=0.9)),
    latency=[Latency("torch", "fp32", "cpu", "A processor", 1, 1, 32, speedup=1.5)],
)


@pytest.fixture
def run(tiny_model, cut, tmp_path):
    folder = write_pair(tmp_path / "run", tiny_model, cut)
    save(REPORT, folder)
    return folder


@pytest.fixture
def pair(run):
    return pair_of(run)


@pytest.mark.parametrize("text", ["", " \n\t ", "\u00a0"])
def test_no_text_is_refused(text):
    with pytest.raises(InputError, match="no text to classify"):
        compare.check_text(text)


def test_a_long_text_is_refused():
    assert compare.check_text(" क" * 5_000) == (" क" * 5_000).strip()
    with pytest.raises(InputError, match="has 10,001 characters; this page takes at most 10,000"):
        compare.check_text("क" * 10_001)


def test_the_largest_gap_has_a_sign():
    assert compare.largest_gap({"a": 0.5, "b": 0.25, "c": 0.25}, {"a": 0.25, "b": 0.375, "c": 0.375}) == ("a", -0.25)
    assert compare.largest_gap({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}) == ("a", 0.0)


@pytest.mark.parametrize(
    ("problem_type", "labels", "total"),
    [(None, ["b"], 1.0), ("single_label_classification", ["b"], 1.0), ("multi_label_classification", ["a", "b"], 1.7)],
)
def test_logits_mean_what_the_problem_type_says(problem_type, labels, total):
    logits = torch.tensor([1.0, 2.0, -2.5])
    found = compare.answer(
        logits, labels=list("abc"), problem_type=problem_type, tokens=4, tokens_of_text=4, milliseconds=1.0
    )
    assert found.labels == labels
    assert sum(found.probabilities.values()) == pytest.approx(total, abs=0.02)
    assert list(found.probabilities) == list("abc")
    assert not found.cut


def test_a_comparison_is_what_the_models_say(pair):
    found = compare.compare(f"  {TEXT} ", pair)
    for answer, side in ((found.baseline, pair.baseline), (found.compressed, pair.compressed)):
        with torch.inference_mode():
            expected = side.model(**side.tokenizer(TEXT, return_tensors="pt")).logits[0].softmax(-1)
        torch.testing.assert_close(torch.tensor([answer.probabilities[label] for label in LABELS]), expected)
        assert answer.labels == [LABELS[expected.argmax()]]
        assert answer.milliseconds > 0
    assert found.same == (found.baseline.labels == found.compressed.labels)
    before, after = found.baseline.probabilities, found.compressed.probabilities
    assert abs(found.gap) == max(abs(after[label] - before[label]) for label in LABELS) > 0.01


def test_a_text_that_does_not_fit_is_cut_and_says_so(pair):
    found = compare.compare(TEXT * 10, pair)
    assert (found.baseline.tokens, found.baseline.cut) == (pair.baseline.max_tokens, True)
    assert f"baseline read only the first {pair.baseline.max_tokens} tokens" in charts.facts(found, pair, "en")
    assert "only" not in charts.facts(compare.compare(TEXT, pair), pair, "en")


@pytest.mark.parametrize("language", ["en", "mr"])
def test_whatever_comes_from_outside_is_shown_as_text(pair, language):
    found = compare.compare(TEXT, pair)
    refused = Refused({"en": {"x": "{name}"}, "mr": {"x": "{name}"}}, "x", name="<script>")
    shown = charts.result(found, pair, language) + refusal(refused, language)
    assert "&lt;b&gt;tech&lt;/b&gt; &amp; more" in shown
    assert not re.search(r"<script|<b>tech", shown)
    for label in LABELS[:2]:
        assert label in shown


def test_a_difference_is_told_from_an_agreement(pair):
    found = compare.compare(TEXT, pair)
    same = replace(found, same=True, baseline=found.compressed)
    other = replace(found, same=False, baseline=replace(found.baseline, labels=["one"]))
    assert "Both say" in charts.verdict(same, "en")
    assert "They differ: <strong>one</strong> before" in charts.verdict(other, "en")
    assert "none of the labels" in charts.verdict(
        replace(other, compressed=replace(found.compressed, labels=[])), "en"
    )


def rows_of(found, probabilities: dict[str, float]) -> str:
    sides = (replace(side, probabilities=probabilities) for side in (found.baseline, found.compressed))
    return charts.butterfly(compare.Comparison(*sides, True, "a", 0.0), "en")


def test_the_chart_has_a_row_per_label_and_counts_what_is_left_out(pair):
    found = compare.compare(TEXT, pair)
    chart = charts.butterfly(found, "en")
    assert chart.count("<th scope='row'>") == len(LABELS)
    assert "other" not in chart
    many = rows_of(found, {f"label {index}": 0.05 for index in range(20)})
    assert many.count("<th scope='row'>") == charts.MOST_ROWS
    assert "The other 8 labels" in many
    sure = rows_of(found, {"a": 0.99, "b": 0.006} | {f"label {index}": 0.0005 for index in range(8)})
    assert sure.count("<th scope='row'>") == charts.FEWEST_ROWS
    assert "The other 7 labels" in sure


def test_the_cards_say_what_changed(pair):
    found = compare.compare(TEXT, pair)
    timed = replace(found, baseline=replace(found.baseline, milliseconds=9.0))
    timed = replace(timed, compressed=replace(found.compressed, milliseconds=6.0))
    assert "1.50x as fast" in charts.facts(timed, pair, "en")
    assert "1.50 पट वेग" in charts.facts(timed, pair, "mr")
    change = pair.compressed.parameters / pair.baseline.parameters - 1
    assert change < -0.1
    assert f"{100 * change:+.1f} %" in charts.facts(timed, pair, "en")


def test_sizes_are_those_of_the_models(pair):
    assert pair.baseline.parameters == sum(weight.numel() for weight in pair.baseline.model.parameters())
    assert pair.baseline.megabytes == pytest.approx(4 * pair.baseline.parameters / 1e6)
    assert pair.compressed.parameters < pair.baseline.parameters


def test_the_report_lies_in_the_run_or_beside_the_model(run, pair):
    assert pair.report == REPORT
    (run / "compression.json").rename(run / "compressed/compression.json")
    assert models.find_report(str(run / "compressed")) == REPORT
    (run / "compressed/compression.json").unlink()
    assert models.find_report(str(run / "compressed")) is None
    assert models.find_report("user/not-on-the-hub") is None  # offline


def test_what_was_measured_is_told_with_a_link():
    told = reported(REPORT, "user/small", "en")
    assert "accuracy % on 50 rows of test: 92.0 before, 90.0 after" in told
    assert "1.50x as fast at 1 x 32 tokens (A processor)" in told
    assert "(https://huggingface.co/user/small)" in told
    assert reported(None, "/tmp", "en") == ""
    assert "accuracy %: मूळ मॉडेल 92.0, लहान मॉडेल 90.0" in reported(REPORT, "/tmp", "mr")


def test_without_a_run_it_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no model in runs/quickstart/baseline; make one: make quickstart"):
        startup.choose([], beside=tmp_path)
    with pytest.raises(InputError, match="no model in other/baseline; give the folder of a finished run"):
        startup.choose(["other"], beside=tmp_path)


def test_models_are_named_beside_the_page(tmp_path, run):
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"baseline": "run/baseline", "compressed": "user/small"}))
    assert startup.choose([], beside=tmp_path) == {"baseline": str(run / "baseline"), "compressed": "user/small"}
    assert startup.choose([str(run)], beside=tmp_path)["compressed"] == str(run / "compressed")
    for wrong in ("{", "[]", '{"baseline": "a"}'):
        file.write_text(wrong)
        with pytest.raises(InputError, match=r"models\.json cannot be used .*; it must contain"):
            startup.choose([], beside=tmp_path)


def test_models_that_cannot_be_compared_are_refused(run):
    folders = {name: str(run / name) for name in ("baseline", "compressed")}
    file = run / "baseline/config.json"
    config = json.loads(file.read_text())
    for change, message in (
        ({"architectures": ["BertForTokenClassification"]}, "is for token-classification, .* for text-classification"),
        ({"architectures": ["BertForMaskedLM"]}, "compares models that give classes to texts"),
        ({"problem_type": "regression"}, r"gives a number .* `trainer-ext compress RECIPE --resume` prints it again"),
        ({"problem_type": "regression"}, "`trainer-ext benchmark RUN` times them"),
        ({"id2label": {"0": "x", "1": "y", "2": "z"}}, "compare models with the same labels"),
        ({"model_type": "unknown"}, "cannot be opened"),
    ):
        file.write_text(json.dumps(config | change))
        with pytest.raises(InputError, match=message):
            models.open_pair(folders)
    file.write_text(json.dumps(config))
    (run / "baseline/tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="The tokenizer of .*baseline cannot be opened"):
        models.open_pair(folders)
    for tokenizer in (run / "baseline").glob("tokenizer*"):
        tokenizer.unlink()
    with pytest.raises(InputError, match="no tokenizer with .*baseline; save it there"):
        models.open_pair(folders)


def test_on_another_device_the_models_are_copies(pair):
    there = pair.to("cpu")
    assert there.baseline.model is not pair.baseline.model
    ours, theirs = (compare.compare(TEXT, one).compressed.probabilities for one in (pair, there))
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert (there.report, there.compressed.max_tokens) == (pair.report, pair.compressed.max_tokens)


def test_a_gpu_is_asked_for_only_where_one_is_lent(tmp_path, monkeypatch):
    assert limits.with_gpu(str.upper) is str.upper
    limits.import_spaces()
    assert "spaces" not in sys.modules
    (tmp_path / "spaces.py").write_text(
        "GPU = lambda duration: lambda function: lambda text: [duration, function(text)]"
    )
    monkeypatch.syspath_prepend(tmp_path)
    limits.import_spaces()
    assert "spaces" in sys.modules
    assert limits.with_gpu(str.upper)("x") == [limits.GPU_SECONDS, "X"]
    monkeypatch.delitem(sys.modules, "spaces")


def test_the_first_examples_are_marathi_and_none_is_refused():
    assert all("\u0900" <= text[0] <= "\u097f" for text in EXAMPLES[:4])
    assert all(compare.check_text(text) == text for text in (*EXAMPLES, WITH_NUMBERS))
    assert tokenizer_of("bert")(list(EXAMPLES))
