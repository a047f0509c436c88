"""Prediction as in stock Trainer: values, shapes, types and names of what comes back."""

import json

from torch.utils.data import Dataset

from tests.helpers.as_stock import accuracy, as_in_trainer, behaviour, files, history, named, predicted, timeless
from tests.helpers.training import Rows
from tests.helpers.wrong_trainers import Heavier, Misnamed
from tests.trainer.test_dropin_batches import Stream


class Unlabelled(Dataset):
    """Rows without labels."""

    def __init__(self, count):
        self.rows = Rows(count)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return {"input_ids": row["input_ids"], "attention_mask": row["attention_mask"]}


@behaviour(unless=Misnamed)
def predict_with_and_without_labels(kind, folder):
    trainer = kind.train(folder, compute_metrics=accuracy)
    return [predicted(trainer.predict(rows)) for rows in (Rows(9), Unlabelled(9), Stream(9))]


@behaviour(unless=Misnamed)
def predict_made_ready_for_metrics_without_labels(kind, folder):
    def best(logits, labels):
        return logits.argmax(-1) + (labels is None)

    return predicted(kind.make(folder, preprocess_logits_for_metrics=best).predict(Unlabelled(9)))


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


test_as_in_trainer = as_in_trainer(globals())
