"""Numbers of answers that are all alike, metrics without a value, and a teacher worse than chance."""

import math

import datasets
import numpy as np
import pytest

from tests.helpers.as_stock import accuracy
from tests.helpers.training import PRUNE, Rows, logged, make_trainer, new_model
from tests.helpers.vocabularies import tokenizer_of
from trainer_ext.data.arguments import DataArguments
from trainer_ext.errors import Diverged
from trainer_ext.report.io import encode
from trainer_ext.tasks import evaluate
from trainer_ext.tasks.registry import TASKS

# Degenerate answers of every task


def material(task, kind, rows):
    """`(baseline, compressed, references, labels)` of a task: nothing right, or all the same."""
    right = kind == "all right"
    if task.problem_type == "single_label_classification":
        truth = np.zeros(rows, np.int64)
        return truth, truth + (not right), truth, ["a", "b", "c"]
    if task.problem_type == "multi_label_classification":
        truth = np.zeros((rows, 2), bool)
        return truth, truth | (not right), truth, ["a", "b"]
    if task.problem_type == "regression":
        truth = np.full(rows, 2.0)
        return truth, truth + (0.0 if right else 1e30), truth, []
    if task.name == "token-classification":
        truth = [["O", "O"] for _ in range(rows)]
        return truth, truth if right else [["B-A", "I-A"] for _ in range(rows)], truth, ["O", "B-A", "I-A"]
    return [""] * rows, ["" if right else "word"] * rows, [[""]] * rows, []


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", ["all right", "all wrong"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.problem_type or task.name)
def test_answers_of_one_kind_have_a_quality(task, kind, rows):
    baseline, compressed, references, labels = material(task, kind, rows)
    options = {"task": task, "args": DataArguments(), "labels": labels}
    found = evaluate.compare_quality("test", baseline, compressed, references, **options)
    values = encode(found)
    assert values["rows"] == rows
    numbers = [value for value in flat(values) if isinstance(value, float)]
    assert numbers
    assert all(map(math.isfinite, numbers))


def flat(value):
    """The leaves of nested values."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from flat(inner)
    else:
        yield value


NO_VALUE = """
import datasets
import evaluate

class NoValue(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {"nothing": float("nan"), "infinite": float("inf"), "half": 0.5}
"""


def test_a_metric_without_a_value_is_left_out_and_named(tmp_path, monkeypatch, caplog):
    """After hours of training a report is not refused for it."""
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    script = tmp_path / "no_value.py"
    script.write_text(NO_VALUE, encoding="utf-8")
    baseline, compressed, references, labels = material(TASKS[0], "all wrong", 3)
    options = {"task": TASKS[0], "args": DataArguments(), "labels": labels, "metrics": [str(script)]}
    found = evaluate.compare_quality("test", baseline, compressed, references, **options)
    assert found.compressed.other == {"half": 0.5}
    assert "nothing=nan" in caplog.text
    assert "infinite=inf" in caplog.text


def test_answers_that_are_nan_are_not_scored(tiny_model):
    """An argmax would make the first class of them."""
    model = tiny_model()
    encoded = datasets.Dataset.from_dict({"input_ids": [[5, 6, 7]], "attention_mask": [[1, 1, 1]]})
    assert np.isfinite(evaluate.predict(model, encoded, tokenizer_of("bert"))).all()
    model.classifier.weight.data[0, 0] = math.nan
    with pytest.raises(Diverged, match="The logits of a BertForSequenceClassification are NaN"):
        evaluate.predict(model, encoded, tokenizer_of("bert"))


# A teacher worse than chance


@pytest.fixture(scope="module")
def skilled(tmp_path_factory):
    """A model that has learned the tiny task."""
    fields = {"learning_rate": 5e-3, "max_steps": 60, "per_device_train_batch_size": 32, "logging_steps": 60}
    trainer = make_trainer(tmp_path_factory.mktemp("skilled"), rows=256, model=new_model(dropout=0.0), **fields)
    trainer.train()
    return trainer.model


def fooled(model):
    """A copy that says the class after the one it means."""
    wrong = new_model(dropout=0.0)
    wrong.load_state_dict(model.state_dict())
    for parameter in (wrong.classifier.weight, wrong.classifier.bias):
        parameter.data = 50 * parameter.data.roll(1, 0)  # and is very sure of it
    return wrong


@pytest.mark.parametrize("alpha", [0.0, 0.9])
def test_a_teacher_worse_than_chance_teaches_what_it_says_and_the_log_shows_it(tmp_path, skilled, alpha):
    """It is not found out: the term of the labels in the log tells, and so does the quality of what comes out."""
    scores = {}
    for name, teacher in (("good", skilled), ("bad", fooled(skilled))):
        student = new_model(dropout=0.0)
        student.load_state_dict(skilled.state_dict())
        fields = {**PRUNE, "prune_sparsity": 0.25, "distill_alpha": alpha, "learning_rate": 2e-3, "max_steps": 40}
        trainer = make_trainer(tmp_path, rows=256, model=student, teacher=teacher, compute_metrics=accuracy, **fields)
        trainer.train()
        assert all(map(math.isfinite, logged(trainer, "loss_distill")))
        scores[name] = (trainer.evaluate(Rows(256))["eval_accuracy"], logged(trainer, "loss_task")[-1])
    if alpha == 0.0:
        assert scores["good"] == scores["bad"]
    else:
        assert scores["bad"][0] < 1 / 3 < scores["good"][0]
        assert scores["bad"][1] > scores["good"][1] + 0.5
