"""Runs of other tasks on the page: several labels, pairs of texts, tags of words, answers to questions."""

import ast
import csv
import io
import re
import sys
from collections import Counter
from dataclasses import replace

import pytest
import torch
from charts import compare as compare_chart
from charts.batch import differences
from charts.compare import in_python
from charts.spans import marked, spans_result
from core import kinds, spans
from core.batch import as_csv, as_json, compare_in_steps, compare_texts
from core.batch_input import arguments, read_texts_of
from core.captions import Refused
from core.compare import compare, influence
from core.deployed import Deployed
from core.kinds import KINDS, Span, kind_of
from core.models import Pair
from core.spans import SpanAnswer, find
from core.stress import resist

from tests.helpers.paging import LABELS, TAGS, TASKS, pair_of, run, write_task
from tests.helpers.vocabularies import MARATHI
from trainer_ext import InputError
from trainer_ext.benchmark.targets import BenchmarkEntry
from trainer_ext.data.records import Example, Examples
from trainer_ext.hub.space import space_folder
from trainer_ext.tasks.postprocess import THRESHOLD

TEXT, SECOND = MARATHI[0], MARATHI[1]
CONTEXT = " ".join(MARATHI[:6])


@pytest.fixture(scope="module")
def pairs(tiny_model, cut, tmp_path_factory):
    """Both models of each task, by name; nothing changes them."""
    return {name: pair_of(write_task(tmp_path_factory.mktemp(name), tiny_model, cut, name)) for name in TASKS}


def with_file(pair: Pair, of: str) -> Pair:
    """Add an exported file that answers as one of the two models does."""
    model = pair.sides[of].model

    @torch.inference_mode()
    def answer(given):
        names = ("input_ids", "attention_mask", "token_type_ids")
        output = model(**{name: torch.from_numpy(given[name]) for name in names})
        parts = [value for name, value in output.items() if name.endswith("logits")]
        return torch.stack(parts, -1).squeeze(-1).numpy()

    entry = BenchmarkEntry("onnx", "model_int8.onnx", "onnxruntime", "int8", "compressed")
    return replace(pair, exports=(Deployed("onnx-int8", entry, answer, 1_000, None),))


def test_each_task_is_a_row_of_the_table(pairs):
    found = {name: pair.kind for name, pair in pairs.items()}
    assert found == {"several": KINDS[0], "pairs": KINDS[1], "tags": KINDS[2], "answers": KINDS[3]}
    for kind in KINDS:
        assert kind.examples
        assert {len(example) for example in kind.examples} == {len(kind.boxes)}
        assert compare_chart.in_python(kind.examples[0], "a/model", kind.task)
    config = pairs["pairs"].baseline.model.config
    assert kind_of(config, None) is kinds.CLASSES, "without a report nobody knows that it reads pairs"


def test_several_labels_are_those_above_the_threshold(pairs):
    pair = pairs["several"]
    found = compare(TEXT, pair)
    with torch.inference_mode():
        expected = pair.baseline.model(**pair.baseline.tokenizer(TEXT, return_tensors="pt")).logits[0].sigmoid()
    assert list(found.baseline.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert found.baseline.labels == [label for label, p in zip(LABELS, expected, strict=True) if p > THRESHOLD]
    shown = compare_chart.result(found, pair, "en")
    assert "every label above 50 %" in shown
    assert "butterfly several" in shown
    assert "every label above" not in compare_chart.result(compare(TEXT, pairs["pairs"], SECOND), pairs["pairs"], "en")


def test_both_texts_of_a_pair_are_read(pairs):
    pair = pairs["pairs"]
    found = compare(TEXT, pair, SECOND)
    for answer, side in ((found.baseline, pair.baseline), (found.compressed, pair.compressed)):
        with torch.inference_mode():
            inputs = side.tokenizer(TEXT, SECOND, return_tensors="pt")
            expected = side.model(**inputs).logits[0].softmax(-1)
        assert list(answer.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
        assert answer.tokens == inputs["input_ids"].shape[1]
    one = influence(TEXT, pair.baseline, SECOND)
    assert one.words == TEXT.split()
    assert one.shares != influence(TEXT, pair.baseline, MARATHI[2]).shares
    assert "the second stays" in compare_chart.influence_chart({"baseline": one}, "en", pairs=True)
    changed = resist(TEXT, pair, most=2, seed=0, second=SECOND)
    first = changed[0].kept["baseline"][0]
    assert first == pytest.approx(max(found.baseline.probabilities.values()), abs=1e-5)


@pytest.mark.parametrize(("name", "texts"), [("pairs", (TEXT, " ")), ("answers", ("", CONTEXT))])
def test_both_boxes_must_have_a_text(pairs, name, texts):
    ask = find if name == "answers" else compare
    with pytest.raises(Refused, match="One of the two text boxes is empty") as refused:
        ask(texts[0], pairs[name], texts[1])
    assert "दोनपैकी एक" in refused.value.said("mr")


def expected_entities(side, words: list[str]) -> set[tuple[int, int, str]]:
    """Entities from the tag of the first token of each word, counted out here; a word without tokens is outside."""
    encoded = side.tokenizer(words, is_split_into_words=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        best = side.model(**encoded).logits[0].argmax(-1).tolist()
    tags = [TAGS[best[encoded.word_ids().index(n)]] if n in encoded.word_ids() else "O" for n in range(len(words))]
    found: list[list] = []
    for number, tag in enumerate(tags):
        at = len(" ".join(words[:number])) + (number > 0)
        if tag.startswith("I-") and found and found[-1][3] == number and found[-1][2] == tag[2:]:
            found[-1][1:4:2] = [at + len(words[number]), number + 1]
        elif tag != "O":
            found.append([at, at + len(words[number]), tag[2:], number + 1])
    return {(start, end, label) for start, end, label, _ in found}


@pytest.mark.parametrize("text", [f"  {TEXT}  \n {SECOND} ", " ".join(MARATHI[:8])])
def test_entities_are_marked_where_they_are(pairs, text):
    pair, words = pairs["tags"], text.split()
    found = find(text, pair)
    assert found.text == " ".join(words)
    for answer, side in ((found.baseline, pair.baseline), (found.compressed, pair.compressed)):
        assert answer.places == expected_entities(side, words)
        assert answer.cut == (len(words) > 20)
        assert answer.milliseconds > 0
    assert found.baseline.spans, "the tiny model marks something, or this shows nothing"
    assert found.same == (found.baseline.places == found.compressed.places)


def test_an_answer_is_a_part_of_its_context_over_all_windows(pairs):
    pair = pairs["answers"]
    found, reading = find(TEXT, pair, CONTEXT), spans.read_as(pair)
    assert found.text == CONTEXT
    for answer, side in ((found.baseline, pair.baseline), (found.compressed, pair.compressed)):
        (span,) = answer.spans
        assert 0 < span.probability <= 1
        assert answer.tokens > reading.args.max_length, "several windows"
        scores = {}  # of every allowed span of every window, counted out here
        encoded = side.tokenizer(
            TEXT,
            CONTEXT,
            truncation="only_second",
            max_length=reading.args.max_length,
            stride=reading.args.doc_stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        inputs = {name: encoded[name] for name in side.tokenizer.model_input_names}
        with torch.inference_mode():
            output = side.model(**inputs)
        for window in range(len(encoded["input_ids"])):
            inside = [place for place, part in enumerate(encoded.sequence_ids(window)) if part == 1]
            for first in inside:
                for last in (place for place in inside if 0 <= place - first < reading.args.max_answer_length):
                    where = (
                        int(encoded["offset_mapping"][window][first][0]),
                        int(encoded["offset_mapping"][window][last][1]),
                    )
                    score = float(output.start_logits[window][first] + output.end_logits[window][last])
                    scores[where] = max(score, scores.get(where, score))
        assert (span.start, span.end) == max(scores, key=scores.__getitem__)


@pytest.mark.parametrize(("name", "texts"), [("tags", (CONTEXT[:200],)), ("answers", (TEXT, CONTEXT))])
@pytest.mark.parametrize("language", ["en", "mr"])
def test_what_models_and_files_mark_is_shown_and_escaped(pairs, name, texts, language):
    pair = with_file(pairs[name], "baseline")
    texts = (*texts[:-1], f"<script>x</script> {texts[-1]}")
    found = find(texts[0], pair, *texts[1:])
    assert found.exports["onnx-int8"].places == found.baseline.places
    shown = spans_result(found, pair, language)
    assert "onnx-int8" in shown
    assert shown.count("<section") == 2
    assert not re.search(r"<script|<b>PER", shown)
    assert re.sub(r"<small>.*?</small>|<[^>]*>", "", shown).count("&lt;script&gt;x&lt;/script&gt;") >= 2
    same = spans_result(replace(found, same=True), pair, language)
    assert ("class='verdict same'" in same, "class='verdict differ'" in same) == (True, False)


def test_what_only_one_model_marks_is_dashed():
    one = SpanAnswer((Span(0, 4, "PER"), Span(8, 12, "LOC")), 5, False, 1.0)
    other = SpanAnswer((Span(0, 4, "PER"), Span(8, 12, "ORG")), 5, False, 1.0)
    shown = marked("Asha in Pune & more", one, other)
    assert (
        shown == "<mark>Asha<small>PER</small></mark> in <mark class='only'>Pune<small>LOC</small></mark> &amp; more"
    )
    sure = SpanAnswer((Span(0, 4, probability=0.256),), 5, False, 1.0)
    assert marked("Asha", sure, sure) == "<mark>Asha<small>26 %</small></mark>"


def table(**columns) -> Examples:
    rows = tuple(
        Example(text, LABELS[n % 3], second) for n, (text, second) in enumerate(zip(*columns.values(), strict=True))
    )
    return Examples(rows, Counter())


def test_many_pairs_are_compared_with_both_texts(pairs):
    pair = with_file(pairs["pairs"], "compressed")
    args = arguments(pair.report, None)
    assert args.text_pair_column == "other"
    texts, others = ([" ".join(text.split()[:2]) for text in some] for some in (MARATHI[:5], MARATHI[5:10]))
    batch = compare_texts(table(text=texts, other=others), pair, args, name="x.csv")
    one = compare(texts[1], pair, others[1])
    assert batch.probabilities[0, 1].tolist() == pytest.approx([*one.baseline.probabilities.values()], abs=1e-5)
    assert batch.exports["onnx-int8"] == batch.answers[1]
    rows = list(csv.DictReader(io.StringIO(as_csv(batch).decode("utf-8-sig"))))
    assert {(row["text"], row["text_pair"]) for row in rows} == set(zip(texts, others, strict=True))
    assert as_json(batch)["rows"][0]["text_pair"] == others[0]
    assert any(f"<p class='second'>{other}</p>" in differences(batch, "en") for other in others)


def test_pasted_pairs_have_a_tab_between_them(pairs, tmp_path):
    args = arguments(pairs["pairs"].report, None)
    found = read_texts_of(None, "a b\tc\n\n d \t e f\n", args)
    assert [(row.text, row.pair) for row in found.rows] == [("a b", "c"), ("d", "e f")]
    assert found.dropped == {"empty": 1}
    for wrong in ("a b", "a\tb\tc", "a\t", "\tb"):
        with pytest.raises(InputError, match="the pasted texts, line 1: .* one tab between them"):
            read_texts_of(None, wrong, args)
    file = tmp_path / "pairs.csv"
    file.write_text("text,other\na,b\n")
    assert [(row.text, row.pair) for row in read_texts_of(file, "", replace(args, label_column="")).rows] == [
        ("a", "b")
    ]
    with pytest.raises(InputError, match="the column of the second text"):
        read_texts_of(file, "", replace(args, label_column="", text_pair_column="second"))


def test_a_long_batch_stops_between_two_batches(pairs, monkeypatch):
    pair, calls = with_file(pairs["pairs"], "compressed"), []
    pair.baseline.model.register_forward_pre_hook(lambda *_: calls.append(1))
    rows = table(text=MARATHI[:10] * 20, other=MARATHI[:10] * 20)
    steps = compare_in_steps(rows, pair, arguments(pair.report, None), name="x")
    counts = [next(steps), next(steps)]
    assert (counts, len(calls)) == ([32, 32], 2), "one batch of rows for each step"
    steps.close()
    assert len(calls) == 2
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["several", "pairs", "tags", "answers"])
def test_the_code_beside_a_result_asks_the_same_model(pairs, name):
    pair = pairs[name]
    texts = {"pairs": [TEXT, SECOND], "answers": [TEXT, SECOND]}.get(name, [TEXT])
    script = f"import sys; sys.path.insert(0, {str(space_folder().parent)!r})\n"
    code = in_python(texts, pair.compressed.name, pair.kind.task)
    printed = run([sys.executable, "-c"], script + code).strip().splitlines()[-1]
    if name in ("several", "pairs"):
        found = ast.literal_eval(printed)
        found = (
            found[0] if isinstance(found[0], list) else found
        )  # transformers nests the answer to a text, not to a pair
        scores = {one["label"]: one["score"] for one in found}
        assert scores == pytest.approx(compare(texts[0], pair, *texts[1:]).compressed.probabilities, abs=1e-4)
    elif name == "tags":
        assert printed.startswith("[")
    else:
        (span,) = find(TEXT, pair, SECOND).compressed.spans
        assert printed == SECOND[span.start : span.end]
