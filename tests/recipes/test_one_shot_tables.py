"""The tables of pruning without a training: seeds are averaged row by row, what is missing or busy is said."""

import json

import pytest

from recipes.benchmarks import one_shot_tables as tables


def model(seed, gone, answers, int8=None, epochs=0.0):
    return {
        "seed": seed,
        "sparsity": gone,
        "epochs": epochs,
        "split": "clean",
        "rows": len(answers),
        "processor_seconds": 10.0 * seed,
        "bytes": {tables.DENSE: 8_000_000, tables.INT8: 2_000_000},
        "correct": {tables.DENSE: answers, tables.INT8: int8 or answers},
    }


def row(source, runtime, speedup, busy=False):
    entry = {"source": source, "runtime": runtime}
    return {"entry": entry, "batch_size": 1, "sequence_length": 32, "speedup": speedup, "busy": busy}


def test_a_row_is_the_mean_of_its_seeds_each_beside_its_own_baseline():
    dense = [model(1, 0.0, "1111100000"), model(3, 0.0, "1111111100")]
    small = [model(1, 0.5, "1111000000", "1111110000"), model(3, 0.5, "1111111000", "1111111100")]
    text = tables.accuracies([*dense, *small])
    (line,) = (line for line in text.splitlines() if line.startswith("| 50 %"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:3] == ["0", "2"]
    assert cells[3].startswith("55.0, -10.0 [")
    assert cells[4].startswith("70.0, +5.0 [")
    assert cells[5:] == ["20 s", "2.0 MB"]
    assert "Baselines: 50.0, 80.0 (2.0 MB in int8); n = 10 (clean)." in text
    assert "Baseline: 50.0 (" in tables.accuracies([dense[0], small[0]])


def test_an_interval_has_a_width_even_if_no_answer_changed():
    dense = model(1, 0.0, "1" * 50)
    mean, low, high = tables.change([model(1, 0.5, "1" * 50)], {1: dense}, tables.DENSE)
    assert mean == 0
    assert low < 0 < high
    mean, low, high = tables.change([model(1, 0.5, "0" * 50)], {1: dense}, tables.DENSE)
    assert mean == pytest.approx(-1)
    assert high < -0.8


def test_a_speed_up_that_was_timed_beside_other_work_says_so():
    records = {
        "A": {
            "rows": [row("baseline", "torch", 1.0), row("0.75-2", "openvino", 9.0), row("0.5-0", "torch", 2.0, True)]
        },
        "B": {"rows": [row("baseline", "torch", 1.0), row("0.5-0", "torch", 1.5)]},
    }
    assert tables.speeds(records).splitlines() == [
        "| model | runtime | A, 1 × 32 | B, 1 × 32 |",
        "| --- | --- | --- | --- |",
        "| 50 % gone | torch fp32 | 2.0x (busy machine) | 1.5x |",
        "| 75 % gone, 2 epochs | OpenVINO int8 | 9.0x | – |",
    ]


def test_a_table_without_its_file_says_not_run(tmp_path):
    assert set(tables.parts(tmp_path).values()) == {"not run"}
    (tmp_path / "one_shot_sst2.json").write_text(
        json.dumps({"results": [model(1, 0.0, "1100"), model(1, 0.5, "1000")]})
    )
    assert "| 50 % | 0 | 1 | 25.0, -25.0 [" in tables.parts(tmp_path)["one_shot_sst2"]


def test_ours_stand_beside_what_is_published(tmp_path):
    assert tables.beside_published(tmp_path) == "not run"
    models = [model(1, 0.0, "1111111100"), model(1, 0.75, "1111111000", epochs=2.0)]
    timed = [row("baseline", "torch", 1.0), row("0.75-2", "torch", 3.25), row("0.75-2", "openvino", 9.0)]
    for name, content in (("", {"results": models}), ("_latency", {"rows": timed})):
        (tmp_path / f"one_shot_sst2_mpnet{name}.json").write_text(json.dumps(content))
    text = tables.beside_published(tmp_path)
    assert "| ours, torch fp32 | 75 % | 2 | 80.0 | -10.0 [" in text
    assert text.count("3.2x at 1 × 32 |") == text.count("9.0x at 1 × 32 |") == 1
    cofi = next(line for line in text.splitlines() if line.endswith("| 12.2x |"))
    assert "| 95 % | 40 | 93.1 | -2.7 |" in cofi
