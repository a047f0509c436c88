"""Benchmarks of serving: int8 of each family, and batches by length; they run at their smallest size."""

import json

import pytest
from transformers import AutoModelForSequenceClassification

from recipes.benchmarks import int8_families, lengths, serving_tables
from tests.helpers.commands import run_script, write_task
from trainer_ext.errors import InputError
from trainer_ext.models.architectures import ARCHITECTURES
from trainer_ext.pipeline.scratch import train_tokenizer

WORDS = ["the cat sat on a mat", "a mat", "why is it so late", "who"]


def test_by_length_no_text_is_lost_and_fewer_tokens_are_computed():
    counts = [3, 9, 1, 9, 2]
    in_order, by_length = (lengths.batches_of(counts, 2, by_length=order) for order in (False, True))
    assert in_order == [[0, 1], [2, 3], [4]]
    assert by_length == [[2, 4], [0, 1], [3]]
    assert lengths.computed(counts, in_order) == 2 * 9 + 2 * 9 + 2
    assert lengths.computed(counts, by_length) == 2 * 2 + 2 * 9 + 9


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_each_family_has_a_small_model_that_computes(family):
    tokenizer = train_tokenizer(WORDS, vocab_size=100, max_length=12)
    model = int8_families.build(family, tokenizer, ["A", "B"]).eval()
    assert type(model) is type(AutoModelForSequenceClassification.from_config(model.config))
    assert model.config.model_type == family
    batch = tokenizer(["who " * 40, "a mat"], truncation=True, padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    assert model(**batch).logits.shape == (2, 2)


def test_the_table_of_families_counts_what_is_within_a_point():
    cost = {"kept_fp32": ["a"], "matrices": 9, "plain_bytes": 100, "plain_loss": 0.25, "speed": 0.9, "busy": True}
    cost["cpu_speed"] = 0.95
    one = {"format": "onnx-int8", "accuracy": 0.85, "fp32": 0.86, "difference": -0.01, "ci95": (-0.02, 0.0)}
    one |= {"agreement": 0.99, "rows": 489, "bytes": 110, "fp32_bytes": 400, "repair": cost}
    refused = {"format": "openvino-int8", "refused": "it loses 0.03"}
    worse = one | {"difference": -0.02, "repair": None}
    results = [{"family": "bert", "load": 1.0, "seconds": 90, "exports": [one, refused, worse]}]
    about = {"command": "it", "processor": "one", "cores": 2, "threads": 1, "created": "2026-11-29T20:00:00"}
    written = serving_tables.families({"results": results} | about)
    assert "-1.0 [-2.0, +0.0]" in written
    assert "1 of 9 in fp32, loss before 25.0, +10 % bytes, CPU time 0.95x" in written
    assert "it loses 0.03" in written
    assert "1 of 3 files within one point. n = 489" in written


def test_a_table_without_results_says_so(tmp_path):
    assert serving_tables.parts(tmp_path) == dict.fromkeys(("int8_families", "lengths"), "Not measured yet.")


@pytest.mark.slow
def test_int8_families(tmp_path):
    write_task(tmp_path / "data")
    words = (tmp_path / "data", "--output", tmp_path / "out", "--family", "bert", "--epochs", 1)
    assert "| bert | openvino-int8 |" in run_script(int8_families.main, *words, "--keep", tmp_path / "kept.json")
    plain, outlier = json.loads((tmp_path / "kept.json").read_text())["results"]
    assert (plain["family"], outlier["family"]) == ("bert", "bert, outlier")
    for result in (plain, outlier):
        assert [found["format"] for found in result["exports"]] == list(int8_families.FORMATS)
    assert plain["exports"][0].get("fp32") == outlier["exports"][0].get("fp32"), "in fp32 nothing changes"
    file = tmp_path / "out/bert/result.json"
    file.write_text(file.read_text().replace('"bert"', '"again"'))
    assert "| again | onnx-int8 |" in run_script(int8_families.main, *words), "a finished family is not made again"


@pytest.mark.slow
def test_lengths(run, tmp_path):
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f'"{text}",x\n' for text in WORDS * 5))
    words = (run, tmp_path / "texts.csv", "--batch", 4, "--repeats", 3, "--output", tmp_path / "out.json")
    run_script(lengths.main, *words, "--format", "torch")
    record = json.loads((tmp_path / "out.json").read_text())
    (row,) = record["rows"]
    assert record["texts"] == 20
    assert record["tokens"] <= row["by_length"] < row["in_order"]
    assert [len(values) for values in row["seconds"].values()] == [3, 3]
    with pytest.raises(InputError, match="is missing; make it with trainer-ext export RUN --format onnx-int8"):
        run_script(lengths.main, *words, "--format", "onnx-int8")
