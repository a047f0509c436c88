"""Compress, end to end: a recipe becomes models and numbers; killed and continued, it becomes the same ones."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, pipeline

from tests.helpers.commands import (
    assert_same_weights,
    kill_and_resume,
    recipe_fields,
    run_command,
    write_csv,
    write_recipe,
    write_task,
)
from trainer_ext import InputError, report
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pruning.masks import load_masked
from trainer_ext.trainer import DistillPruneTrainer


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def finished(task, tmp_path_factory):
    """A finished run: its recipe file, its folder and its report."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_recipe(folder / "recipe.yaml", recipe_fields(task, folder / "run", metrics=["macro_f1"]))
    numbers, run = compress(read_recipe(path), command="trainer-ext compress recipe.yaml")
    return path, run, numbers


def test_the_run_has_its_layout(finished):
    _, run, _ = finished
    names = {path.name for path in run.root.iterdir()}
    assert names == {"baseline", "compressed", "masked", "logs", "recipe.yaml", "compression.json"}
    assert not list(run.root.rglob("training_args.bin"))
    assert not list(run.root.rglob("*.part"))


def test_the_report_says_what_is_on_disk(finished):
    _, run, numbers = finished
    compressed = AutoModelForSequenceClassification.from_pretrained(run.compressed)
    assert numbers.parameters.compressed.total == compressed.num_parameters()
    assert numbers.parameters.baseline.encoder > numbers.parameters.compressed.encoder
    assert numbers.bytes.compressed == (run.compressed / "model.safetensors").stat().st_size
    assert numbers.sparsity.requested == 0.5
    assert abs(numbers.sparsity.achieved - 0.5) <= 0.005
    for layer, (heads, width) in enumerate(zip(numbers.sparsity.heads, numbers.sparsity.ffn_width, strict=True)):
        block = compressed.bert.encoder.layer[layer]
        assert block.attention.self.query.out_features == 8 * len(heads)
        assert block.intermediate.dense.out_features == width


def test_quality_is_that_of_the_two_models_on_the_test_file(finished, task):
    _, run, numbers = finished
    lines = (task / "test.csv").read_text(encoding="utf-8").splitlines()[1:]
    texts, labels = zip(*(line.rsplit(",", 1) for line in lines), strict=True)
    for folder, scores in ((run.baseline, numbers.quality.baseline), (run.compressed, numbers.quality.compressed)):
        answers = [answer["label"] for answer in pipeline("text-classification", str(folder))(list(texts))]
        right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
        assert scores.accuracy == pytest.approx(right / len(texts))
        assert scores.other["macro_f1"] == scores.macro_f1
    assert numbers.quality.baseline.accuracy > 0.6, "the baseline must have learnt something to be worth losing"


def test_nothing_of_this_machine_is_in_the_report(finished):
    _, run, _ = finished
    text = run.report.read_text(encoding="utf-8")
    assert str(run.root) not in text
    assert str(run.root.parent.parent) not in text


def test_latency_and_cost_were_measured(finished):
    _, _, numbers = finished
    assert [row.batch_size for row in numbers.latency] == [1, 4]
    assert all(row.speedup > 0 and row.ideal_speedup > 1 for row in numbers.latency)
    assert numbers.training.baseline.seconds > 0
    assert numbers.training.compressed.seconds > 0
    assert numbers.equivalence.masked_vs_shrunk <= 1e-5
    assert numbers.equivalence.shrunk_vs_reloaded <= 1e-5


def test_a_finished_run_is_shown_again_and_not_made_again(finished, monkeypatch, capsys):
    path, run, _ = finished
    before = run.report.stat().st_mtime_ns
    status, out, _ = run_command(monkeypatch, capsys, "compress", path, "--resume", "--metrics", "macro_f1")
    assert status == 0
    assert run.report.stat().st_mtime_ns == before
    for word in (
        "accuracy %",
        "macro-F1 %",
        "same answer %",
        "parameters, encoder",
        "MB",
        "sparsity requested",
        "speed-up",
    ):
        assert word in out


def test_a_second_start_without_resume_is_refused(finished, monkeypatch, capsys):
    path, _, _ = finished
    status, _, err = run_command(monkeypatch, capsys, "compress", path)
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert "already holds a run" in err


@pytest.mark.slow
def test_killed_in_the_ramp_and_resumed_it_ends_with_the_same_bits(finished, task, tmp_path):
    _, whole, _ = finished
    path = write_recipe(tmp_path / "recipe.yaml", recipe_fields(task, tmp_path / "run", metrics=["macro_f1"]))
    step = kill_and_resume(path, tmp_path / "run")
    assert 5 < step < 30, "the ramp of 50 steps goes from step 5 to step 30"
    assert_same_weights(whole.root, tmp_path / "run")
    assert report.load(tmp_path / "run").training.compressed.seconds is None, "a part was timed, not the whole"


@pytest.mark.slow
def test_a_run_without_checkpoints_ends_with_the_same_bits_and_starts_an_unfinished_stage_again(
    finished, task, tmp_path, caplog, monkeypatch
):
    _, reference, _ = finished
    fields = recipe_fields(task, tmp_path / "run", metrics=["macro_f1"], save_strategy="no", save_steps=None)
    recipe = read_recipe(write_recipe(tmp_path / "recipe.yaml", fields))
    train = DistillPruneTrainer.train
    monkeypatch.setattr(DistillPruneTrainer, "train", interrupt_after_training)
    with pytest.raises(KeyboardInterrupt):
        compress(recipe)
    assert [message for message in caplog.messages if "save_strategy=no" in message] == [
        "save_strategy=no: no checkpoints are written. --resume starts an interrupted stage again."
    ]
    assert not list((tmp_path / "run").rglob("checkpoint-*"))
    before = (tmp_path / "run" / "baseline" / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(DistillPruneTrainer, "train", train)
    numbers, run = compress(recipe, resume=True)
    assert (run.baseline / "model.safetensors").stat().st_mtime_ns == before, "a finished stage is kept"
    assert_same_weights(reference.root, run.root)
    assert numbers.training.compressed.seconds > 0, "the whole stage was timed"
    assert numbers.equivalence.masked_vs_shrunk <= 1e-5
    assert not (run.root / "checkpoints").exists()


def interrupt_after_training(trainer, *args, **kwargs):
    """`train` of a process that is killed before it writes its result."""
    DistillPruneTrainer._train(trainer, None, None, None)
    raise KeyboardInterrupt


def test_each_stage_has_its_learning_rate(finished):
    _, run, _ = finished
    rates = {
        stage: json.loads(run.log(stage).read_text())["log_history"][0]["learning_rate"]
        for stage in ("baseline", "compressed")
    }
    assert 2e-3 < rates["baseline"] <= 3e-3
    assert 5e-4 < rates["compressed"] <= 1e-3


def test_masked_folder_holds_scores_and_masks(finished):
    _, run, _ = finished
    masked = load_masked(run.masked)
    assert masked.pruning.is_frozen
    assert masked.pruning.ffn.scores.abs().sum() > 0


def test_an_empty_teacherless_recipe_has_nothing_to_do(task, tmp_path, monkeypatch, capsys):
    fields = recipe_fields(task, tmp_path / "run", prune_method="none", distill_teacher=None)
    status, _, err = run_command(monkeypatch, capsys, "compress", write_recipe(tmp_path / "r.yaml", fields))
    assert status == 2
    assert "Nothing to do" in err


CONTROL = {"prune_method": "none", "distill_teacher": None, "control": True}


@pytest.mark.slow
def test_a_control_is_the_baseline_trained_on(task, tmp_path, monkeypatch, capsys):
    """Nothing is removed and nobody is asked; and the command of a scale stands in the report as it was given."""
    fields = recipe_fields(task, tmp_path / "run", prune_method="none", distill_teacher=None)
    path = write_recipe(tmp_path / "r.yaml", {**fields, "scales": {"held": {"control": True, "num_train_epochs": 2}}})
    status, _, err = run_command(monkeypatch, capsys, "compress", path, "--scale", "held", "--seed", "7")
    assert status == 0, err
    assert "nothing removed (control), teacher none" in err
    numbers = report.load(tmp_path / "run")
    assert numbers.command == "trainer-ext compress r.yaml --scale held --seed 7"
    assert (numbers.sparsity, numbers.equivalence, numbers.seed) == (None, None, 7)
    assert numbers.parameters.baseline == numbers.parameters.compressed
    before, after = (load_file(tmp_path / "run" / name / "model.safetensors") for name in ("baseline", "compressed"))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert "nothing removed" not in (tmp_path / "run" / "compressed" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_control_with_a_teacher_is_the_teacher_alone(task, tmp_path, monkeypatch, capsys):
    fields = recipe_fields(task, tmp_path / "run", **{**CONTROL, "distill_teacher": "self", "num_train_epochs": 1})
    status, _, err = run_command(monkeypatch, capsys, "compress", write_recipe(tmp_path / "r.yaml", fields))
    assert status == 0, err
    assert "no pruning, teacher self" in err


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"prune_method": "movement"}, "prune_method=movement"),
        ({"prune_layers": 1}, "prune_layers=1"),
        ({"prune_layer_ids": [0]}, "prune_layer_ids=[0]"),
        ({"vocab_size": 300}, "vocab_size=300"),
    ],
)
def test_a_control_that_removes_something_is_refused(changes, word, task, tmp_path):
    fields = recipe_fields(task, tmp_path / "run", **{**CONTROL, **changes})
    with pytest.raises(InputError, match=re.escape(f"control: nothing may be removed, but {word}")):
        compress(read_recipe(write_recipe(tmp_path / "r.yaml", fields)))


def _replace(task, name, rows, header=("text", "label")):
    write_csv(task / name, rows, header)


BAD_INPUT = {
    "missing train file": (lambda t: (t / "train.csv").unlink(), {}, "train.csv"),
    "empty file": (lambda t: (t / "train.csv").write_text(""), {}, "train.csv"),
    "no rows": (lambda t: _replace(t, "train.csv", []), {}, "train.csv"),
    "wrong columns": (lambda t: _replace(t, "train.csv", [("a", "b")], ("Text", "Label")), {}, "--text_column"),
    "one class": (lambda t: _replace(t, "train.csv", [("a b", "x"), ("c d", "x")]), {}, "one class"),
    "unknown label in test": (lambda t: _replace(t, "test.csv", [("new words", "stone")]), {}, "stone"),
    "empty texts": (lambda t: _replace(t, "train.csv", [("", "x"), ("nan", "y")]), {}, "train.csv"),
    "undecodable bytes": (lambda t: (t / "test.csv").write_bytes(b"text,label\n\xff\xfe,x\n"), {}, "UTF-8"),
    "missing folder": (lambda t: None, {"data_dir": "nowhere"}, "nowhere"),
    "sparsity": (lambda t: None, {"prune_sparsity": 1.5}, "prune_sparsity"),
    "start after end": (lambda t: None, {"prune_start": 0.9}, "prune_start"),
    "unknown field": (lambda t: None, {"prune_spasity": 0.5}, "prune_sparsity"),
    "unreachable sparsity": (lambda t: None, {"prune_ffn": "none", "prune_sparsity": 0.9}, "at most"),
    "block size": (lambda t: None, {"prune_block_size": 5}, "does not divide"),
    "missing teacher": (lambda t: None, {"distill_teacher": "./nowhere"}, "distill_teacher"),
    "missing model": (lambda t: None, {"model_name_or_path": "./nowhere"}, "model_name_or_path"),
    "nothing to resume from": (lambda data: None, {"save_only_model": True}, "save_only_model"),
    "evaluation while training": (lambda t: None, {"eval_strategy": "epoch"}, "eval_strategy"),
    "best without evaluations": (lambda t: None, {"save_strategy": "best"}, "save_strategy=best needs evaluations"),
    "metric that is not measured": (lambda t: None, {"metric_for_best_model": "f1"}, "metric_for_best_model=f1"),
    "publishing": (lambda t: None, {"push_to_hub": True}, "push_to_hub"),
    "max_length": (lambda t: None, {"max_length": 2, "latency_sequence_length": 1}, "max_length"),
    "output in a file": (lambda t: None, {"output_dir": "FILE"}, "output_dir"),
    "unknown metric type": (lambda t: None, {"latency_batch_sizes": ["x"]}, "latency_batch_sizes"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_status_2_and_nothing_is_written(case, task, tmp_path, monkeypatch, capsys):
    spoil, changes, word = BAD_INPUT[case]
    data = shutil.copytree(task, tmp_path / "data")
    spoil(data)
    if changes.get("output_dir") == "FILE":
        (tmp_path / "file").write_text("")
        changes = {"output_dir": str(tmp_path / "file")}
    fields = {**recipe_fields(data, tmp_path / "run"), **changes}
    path = write_recipe(tmp_path / "r.yaml", fields)
    status, out, err = run_command(monkeypatch, capsys, "compress", path)
    assert status == 2, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert word in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("changes", "word"), [({"num_labels": 4}, "4 labels"), ({"vocab_size": 77}, "77 tokens")])
def test_a_teacher_of_other_labels_or_sizes_is_refused(changes, word, finished, task, tmp_path, monkeypatch, capsys):
    _, run, _ = finished
    model = AutoModelForSequenceClassification.from_pretrained(run.baseline)
    for name, value in changes.items():
        setattr(model.config, name, value)
    type(model)(model.config).save_pretrained(tmp_path / "teacher")
    fields = recipe_fields(task, tmp_path / "run", distill_teacher=str(tmp_path / "teacher"))
    status, _, err = run_command(monkeypatch, capsys, "compress", write_recipe(tmp_path / "r.yaml", fields))
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert word in err
    assert not (tmp_path / "run").exists()


def test_an_unknown_architecture_is_refused(task, tmp_path, tiny_model, finished, monkeypatch, capsys):
    from transformers import AutoConfig, AutoTokenizer

    _, run, _ = finished
    config = AutoConfig.for_model(
        "roformer", hidden_size=32, num_attention_heads=4, intermediate_size=64, vocab_size=400
    )
    config.num_labels, config.max_position_embeddings = 3, 16
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(run.baseline).save_pretrained(tmp_path / "model")
    names = {"class_names": ["fruit", "metal", "river"], "model_name_or_path": str(tmp_path / "model")}
    fields = recipe_fields(task, tmp_path / "run", **names)
    status, _, err = run_command(monkeypatch, capsys, "compress", write_recipe(tmp_path / "r.yaml", fields))
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert "model_type='roformer'" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_fine_tuned_folder_is_taken_as_it_is(finished, task, tmp_path):
    """Compressing an existing classifier: its own label order, no baseline training, magnitude and heads."""
    _, run, _ = finished
    changes = {"model_name_or_path": str(run.baseline), "prune_method": "magnitude", "prune_attention": "head"}
    path = write_recipe(tmp_path / "r.yaml", recipe_fields(task, tmp_path / "run", num_train_epochs=2, **changes))
    numbers, made = compress(read_recipe(path))
    assert numbers.training.baseline.seconds is None
    first, second = (load_file(folder / "model.safetensors") for folder in (run.baseline, made.baseline))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert numbers.recipe["model_name_or_path"] == "baseline"
