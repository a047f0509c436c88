"""The third contender: exported files beside both models, in one text, many texts, the race and the first card."""

import csv
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from charts import anatomy as anatomy_chart, batch as batch_chart, compare as compare_chart, race as race_chart
from charts.headline import headline
from core import batch, compare, deployed, race
from core.anatomy import anatomy
from core.batch_input import arguments
from core.deployed import Deployed, Headline, best_of, measure, open_deployed, with_exports

from tests.helpers.paging import LABELS, pair_of, write_pair
from tests.helpers.vocabularies import MARATHI
from trainer_ext.benchmark.targets import BenchmarkEntry
from trainer_ext.data.records import Example, Examples
from trainer_ext.export.formats import export
from trainer_ext.report.schema import (
    CompressionReport,
    Difference,
    Export,
    Latency,
    Model,
    Pair,
    Parameters,
    Quality,
    Scores,
    Vocabulary,
)

TEXTS = MARATHI[:4]
SCORES = Scores(accuracy=0.9, ci95={"accuracy": (0.85, 0.94)})
REPORT = CompressionReport(
    created="2026-01-01T00:00:00+00:00",
    model=Model(labels=list(LABELS)),
    quality=Quality("test", 50, SCORES, Scores(accuracy=0.88), Difference(-0.02, (-0.05, 0.01))),
)
CHECKED = Export(
    "onnx-int8",
    "compressed/onnx/model_int8.onnx",
    quality=Scores(accuracy=0.87, ci95={"accuracy": (0.82, 0.92)}),
    difference=Difference(-0.01, (-0.03, 0.01)),
)


@pytest.fixture
def bare(tiny_model, cut, tmp_path):
    return replace(pair_of(write_pair(tmp_path, tiny_model, cut)), report=REPORT)


@pytest.fixture
def pair(bare):
    """With a file that answers as the baseline does: its answers differ from the compressed model's."""
    model = bare.baseline.model

    @torch.inference_mode()
    def run(given):
        names = ("input_ids", "attention_mask")
        return model(**{name: torch.from_numpy(given[name]) for name in names}).logits.numpy()

    entry = BenchmarkEntry("onnx", "model_int8.onnx", "onnxruntime", "int8", "compressed")
    return replace(bare, exports=(Deployed("onnx-int8", entry, run, 1_500_000, CHECKED),))


def test_one_text_has_the_answer_and_the_time_of_the_file(pair):
    found = compare.compare(TEXTS[0], pair)
    said = found.exports["onnx-int8"]
    assert said.probabilities == pytest.approx(found.baseline.probabilities, abs=1e-5)
    assert said.milliseconds > 0
    assert (said.tokens, said.cut) == (found.compressed.tokens, False)
    shown = compare_chart.result(found, pair, "en")
    assert "onnx-int8" in shown
    assert "to the compressed model. Speed: relative to the baseline." in shown
    assert not {"<b>tech", "<script"} & {shown}
    assert "exported file" not in compare_chart.result(
        compare.compare(TEXTS[0], replace(pair, exports=())), pair, "en"
    )


def test_the_race_has_a_lane_for_the_file(pair, monkeypatch):
    monkeypatch.setattr(race, "ROUNDS", 8)
    *_, found = race.race(pair, 2, 16)
    assert {name: len(times) for name, times in found.milliseconds.items()} == {
        "baseline": 8,
        "compressed": 8,
        "onnx-int8": 8,
    }
    shown = race_chart.race_chart(found, "mr")
    assert "onnx-int8: " in shown
    assert "class='deployed'" in shown
    answer = race.benchmark(pair, 1, 8)
    assert set(answer["exports"]) == {"onnx-int8"}
    assert "exports" not in race.benchmark(replace(pair, exports=()), 1, 8)


def test_many_texts_say_where_the_file_differs(pair):
    table = Examples(tuple(Example(text, "") for text in TEXTS), Counter())
    args = replace(arguments(None, None), label_column="")
    steps = []
    found = batch.compare_texts(table, pair, args, name="pasted", on_rows=steps.append)
    assert found.exports["onnx-int8"] == found.answers[0]
    assert sum(steps) == 3 * len(TEXTS)
    rows = list(csv.DictReader(io.StringIO(batch.as_csv(found).decode("utf-8-sig"))))
    assert [row["onnx-int8"] for row in rows] == [row["baseline"] for row in rows]
    assert batch.as_json(found)["rows"][0]["exports"] == {"onnx-int8": found.answers[0][0]}
    differ = sum(one != two for one, two in zip(*found.answers, strict=True))
    shown = batch_chart.summary(found, "en")
    assert f"{100 * (1 - differ / len(TEXTS)):.1f} % of the texts; {differ} differ" in shown
    assert shown.count("<li>") == min(differ, batch_chart.FEWEST_TEXTS)


MEASURED = Headline({"baseline": 12.0, "compressed": 6.0, "onnx-int8": 2.0}, 64, "A <b>CPU", 2, 0.25, False)


def test_the_first_card_goes_from_the_baseline_to_what_one_would_deploy(pair):
    shown = headline(pair, best_of(pair.exports), MEASURED, "en")
    for part in ("6.0x as fast", "2.0 ms", "1.5 MB", "90.0 [85.0, 94.0]", "87.0 [82.0, 92.0]", "-3.0 points"):
        assert part in shown
    assert "A &lt;b&gt;CPU, threads: 2, load 0.2 on" in shown
    assert "[-6.0, +0.0]" not in shown
    (best,) = pair.exports
    told = replace(best.checked, from_baseline=Difference(accuracy=-0.03, ci95=(-0.06, 0.0)))
    assert "-3.0 points <small>[-6.0, +0.0]" in headline(pair, replace(best, checked=told), MEASURED, "en")
    assert "busy machine" not in shown
    assert "busy machine" in headline(pair, best_of(pair.exports), replace(MEASURED, busy=True), "en")
    assert "trainer-ext export" not in shown


def test_without_a_file_it_says_how_to_make_one_and_shows_the_compressed_model(bare):
    shown = headline(bare, None, replace(MEASURED, load=None), "en")
    assert "trainer-ext export RUN --format openvino-int8" in shown
    assert "2.0x as fast" in shown
    assert "88.0" in shown
    assert "load unknown" in shown
    for report in (None, replace(REPORT, quality=None)):
        assert "accuracy" not in headline(replace(bare, report=report), None, MEASURED, "mr")
    agreeing = replace(REPORT, quality=Quality("held-out texts", 40, agreement=0.97, metric="agreement"))
    assert "same answer" in headline(replace(bare, report=agreeing), None, MEASURED, "en")


def test_a_baseline_trained_with_fewer_tokens_has_the_size_with_all(bare):
    """Its folder holds the trimmed model; the report has the size of what was there before."""
    whole = Parameters(total=50_000_000, encoder=9_000_000, embeddings=40_000_000, head=1_000_000)
    report = replace(
        REPORT,
        vocabulary=Vocabulary(tokens=Pair(250_002, 60), trimmed="before"),
        bytes=Pair(200_000_000, 1_000_000),
        parameters=Pair(whole, whole),
    )
    trimmed, found = replace(bare, report=report), compare.compare(TEXTS[0], bare)
    cards = (
        headline(trimmed, None, MEASURED, "en"),
        compare_chart.facts(found, trimmed, "en"),
        anatomy_chart.anatomy_chart(anatomy(trimmed), "en"),
    )
    assert all("all 250,002 tokens" in card for card in cards)
    assert all(size in card for size, card in zip(("200.0 MB", "50,000,000", "50M"), cards, strict=True))
    assert "200.0 MB" in cards[1]
    assert anatomy(trimmed).parts["embeddings"].before == whole.embeddings
    after = replace(report, vocabulary=replace(report.vocabulary, trimmed="after"))
    assert "200.0 MB" not in headline(replace(bare, report=after), None, MEASURED, "en")


def test_the_times_of_the_card_are_measured_for_all(pair):
    found = measure(pair)
    assert set(found.milliseconds) == {"baseline", "compressed", "onnx-int8"}
    assert all(value > 0 for value in found.milliseconds.values())
    assert found.tokens == min(deployed.TOKENS, pair.baseline.max_tokens)


def test_the_smallest_file_is_the_one_to_deploy(pair):
    (one,) = pair.exports
    assert best_of([one, replace(one, name="b", bytes=1)]).name == "b"
    assert best_of([]) is None


def test_a_file_that_cannot_be_opened_is_left_out(bare):
    folder = Path(bare.compressed.name)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_int8.onnx").write_bytes(b"not a model")
    (folder / "openvino").mkdir()
    (folder / "openvino" / "openvino_model.xml").write_text("<net/>")
    assert open_deployed(folder, None) == ()
    assert open_deployed("user/name", None) == ()


def test_the_speed_of_the_report_says_if_the_machine_was_busy():
    timed = Latency("torch", "fp32", "cpu", "A processor", 1, 1, 32, speedup=0.97, busy=True, cpu_speedup=1.9)
    said = [
        compare_chart.reported(replace(REPORT, latency=[row]), ".", "en") for row in (timed, replace(timed, busy=None))
    ]
    assert ["busy machine" in one for one in said] == [True, False]


@pytest.mark.slow
def test_real_files_answer_as_their_model(bare):
    folder = Path(bare.compressed.name)
    export(folder, ["onnx"])
    (one,) = with_exports(bare).exports
    assert (one.name, one.checked) == ("onnx", None)
    assert one.bytes > 1000
    (ours,) = bare.compressed.ask([TEXTS[0]], max_tokens=32)
    (theirs,) = one.ask([TEXTS[0]], bare, max_tokens=32)
    assert theirs == pytest.approx(ours, abs=1e-4)
    assert np.isfinite(list(theirs.values())).all()
