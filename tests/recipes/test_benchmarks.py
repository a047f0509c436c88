"""Benchmarks: each runs at its smallest size and prints its table; what they measure is never asserted here."""

import json
from pathlib import Path

import pytest

from recipes.benchmarks import (
    against_nn_pruning,
    import_time,
    pruned_int8,
    serving,
    small_files,
    speed_target,
    step_time,
)
from tests.helpers.commands import TOPICS, run_script, write_task
from trainer_ext.pipeline.scratch import small_bert, train_tokenizer
from trainer_ext.tasks.dataset import DataArguments, load_data

pytestmark = pytest.mark.slow


def test_import_time():
    assert "target: at most +0.3 s" in run_script(import_time.main, "--runs", 1)


def test_step_time():
    smallest = ("--layers", 1, "--batch-size", 2, "--tokens", 8, "--rounds", 1, "--steps", 1)
    out = run_script(step_time.main, *smallest)
    for name in step_time.TRAINERS:
        assert name in out


def test_speed_target():
    smallest = ("--target", 1.1, "--layers", 1, "--batch-size", 1, "--tokens", 8, "--repeats", 3)
    out = run_script(speed_target.main, *smallest)
    assert "1.1x" in out


def test_serving(tmp_path):
    smallest = ("--layers", 1, "--batch", "1x8", "--share", "dense", "--share", "quarter", "--format", "onnx-int8")
    options = ("--repeats", 3, "--no-memory", "--uneven", "--output", tmp_path / "out")
    out = run_script(serving.main, *smallest, *options)
    found = json.loads((tmp_path / "out.json").read_text())
    assert [(row["entry"]["name"], row["entry"]["runtime"], row["entry"]["precision"]) for row in found["rows"]] == [
        (name, *runtime)
        for name in ("dense", "quarter")
        for runtime in (("torch", "fp32"), ("torch", "bf16"), ("onnxruntime", "int8"))
    ]
    assert found["rows"][3]["ideal_speedup"] > 2
    assert "| quarter | onnxruntime int8 |" in (tmp_path / "out.md").read_text()
    assert "1 x 8 tokens" in out


def test_small_files(tmp_path):
    lines = [f"{first}{second} {second}{first}" for first in "abcdefgh" for second in ("mango", "iron", "river")]
    (tmp_path / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    smallest = ("--layers", 1, "--own", 60, "--whole", 900, "--size", 300)
    out = run_script(small_files.main, tmp_path / "lines.txt", *smallest)
    assert all(word in out for word in ("muril", "xlm-r", "half", "quarter", "ONNX"))


def test_the_table_of_pruned_int8_is_what_its_result_file_gives():
    folder = Path(pruned_int8.__file__).parent
    readme = (folder / "README.md").read_text(encoding="utf-8")
    results = json.loads((folder / "results/pruned_int8.json").read_text(encoding="utf-8"))["results"]
    assert pruned_int8.table(results).strip() in readme
    results[0]["value"] += 0.01
    assert pruned_int8.table(results).strip() not in readme


@pytest.fixture
def task(tmp_path):
    """A classifier of two layers that knows nothing, and the texts to teach it."""
    data = write_task(tmp_path / "data")
    texts = load_data(DataArguments(data_dir=str(data), max_length=16)).train["text"]
    tokenizer = train_tokenizer(texts, vocab_size=200, max_length=16)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    for saved in (tokenizer, small_bert(tokenizer, sorted(TOPICS), **sizes)):
        saved.save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize("match", ["physical", "zeros"])
def test_against_nn_pruning(task, match):
    out, options = task / "out.json", ("--epochs", 8, "--batch-size", 8, "--max-length", 16, "--block-size", 8)
    options += ("--score-lr", 0.1, "--penalty", 0.002)  # so few steps would close nothing at the usual rate
    words = (task / "model", task / "data", *options, "--match", match, "--output", out)
    table = run_script(against_nn_pruning.main, *words)
    found = json.loads(out.read_text())
    dense, theirs, ours = found["results"]
    assert [row["name"] for row in found["results"]] == ["dense", "nn_pruning", "trainer_ext"]
    assert all(row["name"] in table for row in found["results"])
    assert dense["sparsity"] == 0
    assert 0 < theirs["sparsity"] <= theirs["zeros"] < 1
    assert found["target"] == theirs["sparsity" if match == "physical" else "zeros"]
    assert ours["sparsity"] == pytest.approx(found["target"], abs=0.02)
    assert str(task) not in found["command"]


def test_the_hybrid_is_for_bert_alone(tiny_model):
    from recipes.benchmarks.nn_pruning_hybrid import HybridTrainer

    with pytest.raises(ValueError, match="know BERT alone, and this is model_type='roberta'"):
        HybridTrainer(tiny_model("roberta"), None, teacher=None, penalty=1.0)
