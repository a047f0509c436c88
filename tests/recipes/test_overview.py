"""The table at the top of recipes/README.md: exported files beside the dense model, seeds as one row."""

import json
from dataclasses import replace

import pytest

from recipes.tools import overview
from tests.recipes.test_results_sweeps import QUARTER, made_up_row, made_up_sweep
from trainer_ext.report import schema
from trainer_ext.sweep.output import to_json


def test_a_row_is_counted_from_the_answers():
    half = next(one for one in overview.english("sst2") if (one.runtime, one.gone) == (overview.EXPORT, 0.5))
    results = json.loads((overview.BENCHMARKS / "one_shot_sst2.json").read_text(encoding="utf-8"))["results"]
    shares = {
        key: [one["correct"][name].count("1") / one["rows"] for one in results if one["sparsity"] == sparsity]
        for key, name, sparsity in (("before", overview.DENSE, 0.0), ("after", overview.EXPORT, 0.5))
    }
    before, after = (sum(one) / len(one) for one in shares.values())
    assert half.seeds == len(shares["after"]) == 3
    assert half.dense == pytest.approx(before)
    assert half.change == pytest.approx(after - before)
    assert half.low < half.change < half.high
    assert half.bytes < half.dense_bytes / 4
    assert f"{100 * before:.1f} → {100 * after:.1f}" in overview.section()


def test_seeds_of_a_sweep_are_one_row(tmp_path, monkeypatch):
    def row(seed, change, speed, runtime="openvino"):
        made = made_up_row(f"{QUARTER}, KD, fp32", 0.5, change, speed)
        settings = {"encoder": "half", "seed": str(seed)}
        return replace(made, settings=settings, seed=seed, runtime=runtime, precision="int8")

    dense = next(one for one in made_up_sweep().rows if one.is_baseline)
    made = made_up_sweep(dense, row(17, -0.5, 6.0), row(23, 0.1, 8.0), row(17, -0.4, 1.5, "torch"))
    monkeypatch.setattr(overview, "E5", tmp_path / "made_up.json")
    assert overview.marathi() == [], "what was not run is left out"
    overview.E5.write_text(to_json(made), encoding="utf-8")
    found = {(one.runtime, one.gone): one for one in overview.marathi()}
    half = found[overview.EXPORT, 0.5]
    assert (half.seeds, half.rows) == (2, 1234)
    assert 100 * half.change == pytest.approx(-0.2)
    assert [100 * end for end in (half.low, half.high)] == pytest.approx([-0.5, 0.1]), (
        "the range, no mean of intervals"
    )
    (alone,) = (one for one in overview.marathi() if (one.runtime, one.gone) == (overview.DENSE, 0.5))
    one_row = next(row for row in made.rows if row.runtime == "torch" and not row.is_baseline)
    assert (alone.low, alone.high) == (one_row.difference_low, one_row.difference_high)
    assert (half.is_range, alone.is_range) == (True, False)
    assert "| -0.2, seeds -0.5 to +0.1 |" in overview.section()
    assert half.speedup["32 x 64"] == pytest.approx(7.0)
    assert found[overview.DENSE, 0.0].change == 0
    assert "| 50 %, 4 epochs |" in overview.section().replace("|  |", "|")


def test_a_run_is_a_row_if_its_file_was_compared_with_the_baseline():
    found = schema.Difference(accuracy=-0.01, ci95=(-0.03, 0.01))
    file = schema.Export(overview.EXPORT, "compressed/openvino/openvino_model_int8.xml", 2**20, from_baseline=found)
    scores = schema.Scores(accuracy=0.9)
    latency = [
        schema.Latency(*runtime, "cpu", "a processor", 2, texts, length, speedup=speedup)
        for runtime, texts, length, speedup in (
            (("torch", "fp32"), 1, 32, 1.5),
            (("openvino", "int8"), 1, 32, 6.0),
            (("openvino", "int8"), 32, 128, 8.0),
        )
    ]
    made = schema.CompressionReport(
        created="2031-02-03T00:00:00+00:00",
        model=schema.Model(),
        bytes=schema.Pair(8 * 2**20, 4 * 2**20),
        quality=schema.Quality("clean", 500, scores, scores),
        sparsity=schema.Sparsity(0.5, 0.503, "obs"),
        exports=[file],
        latency=latency,
        recipe={"num_train_epochs": 4},
    )
    (one,) = overview.once(made)
    assert (one.gone, one.epochs, one.rows, one.dense, one.change, one.low) == (0.5, 4.0, 500, 0.9, -0.01, -0.03)
    assert (one.dense_bytes, one.bytes) == (8 * 2**20, 2**20)
    assert overview.speed(one, 1) == "6.00x"
    assert overview.speed(one, 32) == "8.00x at 128 tokens"
    assert overview.once(replace(made, exports=[replace(file, from_baseline=None)])) == []
