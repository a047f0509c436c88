"""Numbers at their edges: all scores tied, one unit left, no rows, no labels, one example of a class, one row."""

import math

import pytest
import torch
from torch.utils.data import Dataset
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

from tests.helpers.as_stock import accuracy, raised
from tests.helpers.commands import recipe_fields, run_command, write_csv, write_recipe, write_task
from tests.helpers.training import PRUNE, Rows, differing, logged, make_trainer
from trainer_ext import report
from trainer_ext.models import outputs
from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning import masks
from trainer_ext.pruning.verify import shrink_and_verify

FIELDS = {**PRUNE, "distill_teacher": "self", "max_steps": 6}


# Ties


@pytest.mark.parametrize("attention", ["block", "head"])
@pytest.mark.parametrize("method", ["movement", "soft_movement", "magnitude"])
def test_where_all_scores_are_tied_the_first_stay_and_the_target_is_met(tiny_model, make_spec, method, attention):
    kept = []
    for _ in range(2):
        model = tiny_model()
        for layer in layers_of(model):
            for linear in layer.linears.values():
                linear.weight.data.fill_(0.05)
        masks.attach(model, make_spec(method=method, attention=attention))
        masks.set_sparsity(model, 0.25)
        if method != "soft_movement":  # a threshold closes all or none of what is tied
            assert masks.current_sparsity(model) == pytest.approx(0.25, abs=0.02)
        smaller, compression = shrink_and_verify(model)
        assert compression.sparsity == pytest.approx(0.5, abs=0.005)
        assert outputs.logits(smaller, outputs.synthetic_batch(smaller)).isfinite().all()
        kept.append([compression.heads, compression.neurons])
    assert kept[0] == kept[1]
    for ids in kept[0][0] + kept[0][1]:
        assert ids == list(range(len(ids)))
        assert ids


# One unit


@pytest.mark.parametrize("fields", [{}, {"prune_attention": "head"}, {"prune_structure": "plain"}], ids=str)
@pytest.mark.parametrize("method", ["movement", "magnitude"])
def test_the_highest_sparsity_that_is_named_can_be_asked_for(tmp_path, method, fields):
    """One head of four and one neuron of 64 stay in each layer, and that is a model."""
    fields = {**FIELDS, "prune_method": method, **fields}
    error, words = raised(make_trainer, tmp_path, **{**fields, "prune_sparsity": 0.995})
    assert error == "OutOfReach"
    highest = float(words.partition("at most ")[2].split()[0])
    assert raised(make_trainer, tmp_path, **{**fields, "prune_sparsity": highest + 0.001})[0] == "OutOfReach"
    trainer = make_trainer(tmp_path, **{**fields, "prune_sparsity": highest})
    trainer.train()
    assert [len(ids) for ids in trainer.compression.neurons] == [1, 1]
    assert [len(ids) for ids in trainer.compression.heads] == ([4, 4] if "prune_structure" in fields else [1, 1])
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    trainer.save_model()
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert differing(trainer.model.state_dict(), loaded.state_dict()) == []
    batch = outputs.synthetic_batch(loaded)
    assert outputs.max_logit_difference(trainer.model, loaded, batch) == 0


# No rows, no labels


def test_an_evaluation_of_no_rows_is_as_in_trainer(tmp_path):
    found = []
    for cls, options in ((Trainer, {"args_class": TrainingArguments, "max_steps": 6}), (None, FIELDS)):
        options = {**options, "eval_strategy": "steps", "eval_steps": 3, "eval_dataset": Rows(0)}
        trainer = make_trainer(tmp_path, *([cls] if cls else []), compute_metrics=accuracy, **options)
        trainer.train()
        metrics = trainer.evaluate()
        options |= {"load_best_model_at_end": True, "save_strategy": "steps", "save_steps": 3}
        error = raised(make_trainer(tmp_path, *([cls] if cls else []), **options).train)
        names = sorted(name for name in metrics if "preparation" not in name)
        found.append([names, len(trainer.predict(Rows(3)).predictions), error])
    assert found[0] == found[1]
    assert "eval_loss" not in metrics
    trainer.create_model_card()  # a report without a quality
    assert report.load(tmp_path).quality is None


def test_rows_without_any_label_teach_by_the_teacher_alone(tmp_path, caplog):
    """A mean over no labels is NaN in stock Trainer; here such a batch has no share."""

    class Unknown(Rows):
        def __getitem__(self, index):
            return {**super().__getitem__(index), "labels": torch.tensor(-100)}

    trainer = make_trainer(tmp_path, rows=Unknown(32), **FIELDS)
    trainer.train()
    for name in ("loss", "loss_task", "loss_distill"):
        assert logged(trainer, name) == [0.0] * 6
    assert not [record for record in caplog.records if "diverged" in record.getMessage()]


# One example of a class


class Rare(Dataset):
    """Rows of two classes, and one single row of a third."""

    def __init__(self, count):
        rows = Rows(4 * count)
        common = [index for index in range(len(rows)) if rows.labels[index] < 2][: count - 1]
        rare = next(index for index in range(len(rows)) if rows.labels[index] == 2)
        self.rows = [rows[index] for index in [*common, rare]]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.mark.parametrize("group", [8, 1])
def test_a_class_with_one_example_is_trained_and_scored(tmp_path, group):
    from trainer_ext.tasks.metrics import classification_quality

    def score(prediction):
        found = classification_quality(prediction.predictions.argmax(-1), prediction.label_ids, num_classes=3)
        return {"macro_f1": found["macro_f1"], "support": [row["support"] for row in found["per_class"]][2]}

    fields = {**FIELDS, "per_device_train_batch_size": group, "per_device_eval_batch_size": group}
    trainer = make_trainer(tmp_path, rows=Rare(24), eval_dataset=Rare(9), compute_metrics=score, **fields)
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_support"] == 1
    assert 0 <= metrics["eval_macro_f1"] <= 1
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


@pytest.mark.slow
def test_a_run_with_singletons_and_one_row_to_test_on(tmp_path, monkeypatch, capsys):
    """One class has one example, the test file one row of one class; every number of the report is there and finite."""
    task = write_task(tmp_path / "task")
    rows = [line.rsplit(",", 1) for line in (task / "train.csv").read_text(encoding="utf-8").splitlines()[1:]]
    write_csv(task / "train.csv", [*rows, ("a single one", "alone")])
    write_csv(task / "test.csv", [("the mango of tomorrow", "fruit")])
    fields = recipe_fields(task, tmp_path / "run", num_train_epochs=2, scratch_epochs=2, metrics=["macro_f1"])
    status, out, err = run_command(monkeypatch, capsys, "compress", write_recipe(tmp_path / "recipe.yaml", fields))
    assert (status, "Traceback" in err) == (0, False)
    quality = report.load(tmp_path / "run").quality
    assert quality.rows == 1
    assert [(row.label, row.support) for row in quality.per_class] == [
        *(("alone", 0), ("fruit", 1), ("metal", 0), ("river", 0))
    ]
    assert "accuracy" in out
