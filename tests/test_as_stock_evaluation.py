"""Evaluation and prediction as in stock Trainer: names, values, shapes, and what metrics are given."""

import json

import numpy as np
import pytest
import torch
from as_stock import at, behaviour, behaviours, check, differences, files, history, raised, timeless
from test_dropin_batches import Stream
from torch.utils.data import Dataset
from training import Rows
from wrong_trainers import Deaf, Heavier, Misnamed

EVALUATING = {"eval_strategy": "steps", "eval_steps": 2}


class Unlabelled(Dataset):
    """Rows without labels."""

    def __init__(self, count):
        self.rows = Rows(count)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return {"input_ids": row["input_ids"], "attention_mask": row["attention_mask"]}


def accuracy(prediction):
    return {"accuracy": (prediction.predictions.argmax(-1) == prediction.label_ids).mean()}


def named(metrics):
    """The names of metrics, but for the one that comes with the first evaluation of a model: a small model is a new one."""
    return sorted(name for name in metrics if not name.endswith("_model_preparation_time"))


def predicted(output):
    """A named tuple of an evaluation, without the clock."""
    parts = output._asdict()
    return {"type": type(output).__name__, **parts, "metrics": timeless(parts["metrics"])}


# evaluate


@behaviour(unless=Heavier)
def evaluate_after_training(kind, folder):
    return timeless(kind.train(folder, compute_metrics=accuracy).evaluate())


@behaviour(unless=Heavier)
def evaluate_before_training(kind, folder):
    trainer = kind.make(folder)
    return [timeless(trainer.evaluate()), history(trainer)]


@behaviour(unless=Misnamed, compressed=True)
def names_of_metrics(kind, folder):
    return named(kind.train(folder, compute_metrics=accuracy).evaluate())


@behaviour(unless=Misnamed, compressed=True)
def names_of_metrics_with_a_prefix(kind, folder):
    trainer = kind.make(folder, compute_metrics=lambda prediction: {"accuracy": 0.5, "mine_loss": 2.0})
    return sorted(trainer.evaluate(metric_key_prefix="mine"))


@behaviour(unless=Heavier)
def evaluate_several_data_sets(kind, folder):
    trainer = kind.train(folder, eval_dataset={"first": Rows(8), "second": Rows(12, seed=2)}, **EVALUATING)
    given = trainer.evaluate({"third": Rows(4)}, metric_key_prefix="mine")
    return [history(trainer), timeless(trainer.evaluate()), timeless(given), timeless(trainer.evaluate("second"))]


@behaviour(unless=Misnamed, compressed=True)
def number_of_logs_of_several_data_sets(kind, folder):
    trainer = kind.train(folder, eval_dataset={"first": Rows(8), "second": Rows(12, seed=2)}, **EVALUATING)
    return [sorted(entry) for entry in history(trainer) if "loss" not in entry and "train_loss" not in entry]


@behaviour(unless=Heavier)
def evaluate_while_training(kind, folder):
    found, holder = [], {}

    def act(**kwargs):
        trainer = holder["trainer"]
        found.append([timeless(trainer.evaluate(Rows(8, seed=2))), trainer.is_in_train, trainer.model.training])

    holder["trainer"] = kind.make(folder, callbacks=[at("on_step_end", act, step=2)])
    holder["trainer"].train()
    return [found, history(holder["trainer"]), holder["trainer"].is_in_train]


@behaviour(unless=Heavier)
def evaluate_a_stream(kind, folder):
    return timeless(kind.make(folder, compute_metrics=accuracy).evaluate(Stream(11)))


@behaviour(unless=Misnamed)
def evaluate_in_bf16(kind, folder):
    trainer = kind.make(folder, bf16_full_eval=True)
    return [predicted(trainer.predict(Rows(9))), str(trainer.model.dtype)]


@behaviour(unless=Heavier)
def evaluate_with_smoothed_labels(kind, folder):
    return timeless(kind.make(folder, label_smoothing_factor=0.2).evaluate())


@behaviour(unless=Misnamed)
def evaluate_no_rows(kind, folder):
    trainer = kind.make(folder, compute_metrics=accuracy)
    return [timeless(trainer.evaluate(Rows(0))), predicted(trainer.predict(Rows(0)))]


@behaviour(unless=Deaf, compressed=True)
def steps_of_an_evaluation(kind, folder):
    found = []
    seen = at("on_prediction_step", lambda eval_dataloader, **kwargs: found.append(len(eval_dataloader)))
    kind.train(folder, callbacks=[seen], per_device_eval_batch_size=5, **EVALUATING)
    return found


# What metrics are given


@behaviour(unless=Heavier)
def what_metrics_are_given(kind, folder):
    given = []

    def look(prediction):
        given.append([prediction.predictions, prediction.label_ids, prediction.inputs, prediction.losses])
        return {}

    for wanted in ([], ["inputs"], ["loss", "inputs"]):
        kind.make(folder, compute_metrics=look, include_for_metrics=wanted, per_device_eval_batch_size=5).evaluate()
    return given


@behaviour(unless=Misnamed, compressed=True)
def metrics_batch_by_batch(kind, folder):
    given = []

    def look(prediction, compute_result):
        given.append([len(prediction.predictions), compute_result])
        return {"batches": len(given)} if compute_result else {}

    fields = {"batch_eval_metrics": True, "per_device_eval_batch_size": 5}
    return [sorted(kind.make(folder, compute_metrics=look, **fields).evaluate()), given]


@behaviour(unless=Misnamed)
def metrics_that_do_not_take_batches(kind, folder):
    found = raised(kind.make, folder, compute_metrics=accuracy, batch_eval_metrics=True)
    return [found, predicted(kind.make(folder, compute_metrics=accuracy).predict(Rows(9)))]


@behaviour(unless=Misnamed)
def logits_made_ready_for_metrics(kind, folder):
    def best(logits, labels):
        return logits.argmax(-1) + (0 if labels is None else 0 * labels)

    trainer = kind.make(
        folder, preprocess_logits_for_metrics=best, compute_metrics=lambda p: {"sum": p.predictions.sum()}
    )
    return [
        timeless(trainer.evaluate()),
        predicted(trainer.predict(Rows(9))),
        predicted(trainer.predict(Unlabelled(9))),
    ]


@behaviour(unless=Misnamed)
def metrics_of_numpy_and_torch(kind, folder):
    values = {"a": np.float32(0.1), "b": torch.tensor(0.2), "c": 3, "d": np.arange(3), "eval_e": 1.0, "f": "word"}
    trainer = kind.train(folder, compute_metrics=lambda prediction: dict(values), **EVALUATING)
    return [{name: str(value) for name, value in entry.items()} for entry in history(trainer)]


@behaviour(unless=Misnamed)
def metrics_that_fail(kind, folder):
    def fail(prediction):
        raise ZeroDivisionError(str(prediction.predictions.shape))

    trainer = kind.make(folder, compute_metrics=fail)
    return [raised(trainer.evaluate), trainer.model.training, timeless(kind.make(folder).evaluate())]


# predict


@behaviour(unless=Misnamed)
def predict_with_and_without_labels(kind, folder):
    trainer = kind.train(folder, compute_metrics=accuracy)
    return [predicted(trainer.predict(rows)) for rows in (Rows(9), Unlabelled(9), Stream(9))]


@behaviour(unless=Misnamed, compressed=True)
def shapes_of_a_prediction(kind, folder):
    found = kind.train(folder, compute_metrics=accuracy).predict(Rows(9), metric_key_prefix="mine")
    arrays = [[each.shape, str(each.dtype)] for each in (found.predictions, found.label_ids)]
    return [type(found).__name__, arrays, named(found.metrics)]


@behaviour(unless=Misnamed)
def predict_with_hidden_states(kind, folder):
    trainer = kind.make(folder)
    trainer.model.config.output_hidden_states = True
    return [predicted(trainer.predict(Rows(9), ignore_keys=keys)) for keys in (None, [], ["hidden_states"])]


@behaviour(unless=Misnamed)
def predict_in_parts(kind, folder):
    return [
        predicted(kind.make(folder, per_device_eval_batch_size=4, **fields).predict(Rows(9)))
        for fields in ({"eval_accumulation_steps": 1}, {"eval_do_concat_batches": False})
    ]


@behaviour(unless=Misnamed)
def predict_the_loss_alone(kind, folder):
    return predicted(kind.make(folder, prediction_loss_only=True).predict(Rows(9)))


@behaviour(unless=Misnamed)
def predict_with_labels_of_other_names(kind, folder):
    trainer = kind.make(folder, label_names=["labels", "attention_mask"])
    return [trainer.label_names, predicted(trainer.predict(Rows(9)))]


@behaviour(unless=Misnamed, compressed=True)
def number_of_samples(kind, folder):
    trainer = kind.train(folder)
    return [
        trainer.evaluation_loop(trainer.get_test_dataloader(rows), "mine").num_samples for rows in (Rows(9), Stream(7))
    ]


@behaviour(unless=Heavier)
def one_step_of_a_prediction(kind, folder):
    trainer = kind.make(folder)
    batch = next(iter(trainer.get_eval_dataloader()))
    return [trainer.prediction_step(trainer.model, dict(batch), alone) for alone in (False, True)]


@behaviour(unless=Heavier)
def metrics_written_to_files(kind, folder):
    trainer = kind.train(folder)
    for split in ("train", "eval"):
        trainer.save_metrics(split, timeless(trainer.evaluate()))
    trainer.save_state()
    written = [json.loads((folder / name).read_text()) for name in ("all_results.json", "eval_results.json")]
    return [files(folder), written, history(trainer)]


def test_a_comparison_tells_values_and_types():
    """To the last bit: what is nearly equal, or equal as a number only, is another value."""
    nan = float("nan")
    assert not differences({"a": [1.0, nan, np.zeros(2)]}, {"a": [1.0, nan, np.zeros(2)]})
    for first, second in [
        (1.0, 1),
        (1.0, 1.0 + 1e-15),
        (nan, 0.0),
        ([1], (1,)),
        ([1], [1, 2]),
        ({"a": 1}, {"b": 1}),
        (np.zeros(2), np.zeros(2, np.float32)),
        (torch.zeros(2), torch.zeros(2).double()),
        (np.zeros((2, 1)), np.zeros(2)),
    ]:
        assert differences([first], [second]), (first, second)


@pytest.mark.parametrize("case", behaviours(globals()), ids=lambda each: each.__name__)
def test_as_in_trainer(tmp_path, case):
    check(case, tmp_path)
