"""Evaluation as in stock Trainer: names and values of metrics, and what functions that compute them are given."""

import numpy as np
import torch

from tests.helpers.as_stock import accuracy, as_in_trainer, at, behaviour, history, named, predicted, raised, timeless
from tests.helpers.training import Rows
from tests.helpers.wrong_trainers import Deaf, Heavier, Misnamed
from tests.trainer.test_dropin_batches import Stream

EVALUATING = {"eval_strategy": "steps", "eval_steps": 2}


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


test_as_in_trainer = as_in_trainer(globals())
