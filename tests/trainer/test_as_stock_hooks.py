"""Hooks as in stock Trainer: what a subclass overrides is called as often, in the same order, with the same things."""

import inspect

import torch
from transformers import Trainer

from tests.helpers.as_stock import as_in_trainer, behaviour, history, timeless
from tests.helpers.training import Rows
from tests.helpers.wrong_trainers import Heavier, Restless, Thorough, Twice
from trainer_ext import DistillPruneTrainer
from trainer_ext.callbacks import PruningCallback
from trainer_ext.utils.compat import TRANSFORMERS

SAVING = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
METHODS = sorted(name for name, value in inspect.getmembers(Trainer, inspect.isfunction) if not name.startswith("_"))


def watched(cls, calls, names=METHODS):
    """A subclass that overrides public methods with what writes down the call and the classes of its arguments."""

    def watch(name):
        def method(self, *arguments, **named):
            if not any(each is PruningCallback for each in arguments):  # the one that our arguments add
                given = [type(each).__name__ for each in (*arguments, *named.values())]
                calls.append([name, [plain(each) for each in given], sorted(named)])
            return getattr(super(Watched, self), name)(*arguments, **named)

        return method

    class Watched(cls):
        pass

    for name in names:
        if not isinstance(inspect.getattr_static(cls, name), staticmethod):
            setattr(Watched, name, watch(name))
    return Watched


def plain(name):
    """The name of a class, where the class of the arguments is ours here and theirs there."""
    return name.replace("DistillPruneTrainingArguments", "TrainingArguments")


@behaviour(unless=Thorough)
def calls_of_every_public_method(kind, folder):
    calls = []
    cls = watched(kind.trainer, calls)
    trainer = kind.train(folder, cls, gradient_accumulation_steps=2, **SAVING)
    trainer.predict(Rows(9))
    trainer.save_model()
    return calls


@behaviour(unless=Thorough, compressed=True)
def calls_of_the_hooks_of_a_step(kind, folder):
    calls = []
    hooks = [
        "training_step",
        "compute_loss",
        "prediction_step",
        "log",
        "evaluate",
        "floating_point_ops",
        "get_batch_samples",
    ]
    kind.train(folder, watched(kind.trainer, calls, hooks), gradient_accumulation_steps=2, **SAVING)
    return [name for name, *_ in calls]


@behaviour(unless=Heavier)
def a_loss_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            weights = torch.tensor([1.0, 2.0, 3.0])
            outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
            loss = torch.nn.functional.cross_entropy(outputs.logits, inputs["labels"], weight=weights)
            if kind.trainer is Heavier:
                loss = 2 * loss
            return (loss, outputs) if return_outputs else loss

    return [history(kind.train(folder, Mine, gradient_accumulation_steps=steps, **SAVING)) for steps in (1, 2)]


@behaviour(unless=Heavier)
def a_training_step_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            return 0.5 * super().training_step(model, {**inputs, "attention_mask": None}, num_items_in_batch)

    return history(kind.train(folder, Mine))


@behaviour(unless=Restless)
def an_optimizer_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def create_optimizer(self, model=None):
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
            return self.optimizer

        def create_scheduler(self, num_training_steps, optimizer=None):
            self.lr_scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2, gamma=0.5)
            return self.lr_scheduler

    trainer = kind.train(folder, Mine)
    return [history(trainer), trainer.get_learning_rates(), dict(trainer.model.state_dict())]


@behaviour(unless=Heavier)
def decay_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def get_decay_parameter_names(self, model):
            return [name for name, _ in model.named_parameters() if "classifier" in name]

    trainer = kind.train(folder, Mine, weight_decay=0.5)
    groups = [[len(group["params"]), group["weight_decay"]] for group in trainer.optimizer.param_groups]
    return [groups, history(trainer), trainer.get_num_trainable_parameters()]


@behaviour(unless=Twice)
def a_log_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def log(self, logs, start_time=None):
            super().log({**logs, "mine": self.state.global_step}, start_time)

    return history(kind.train(folder, Mine, **SAVING))


@behaviour(unless=Heavier)
def an_evaluation_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
            metrics = super().evaluate(Rows(5), ignore_keys, metric_key_prefix)
            metrics[f"{metric_key_prefix}_mine"] = 1.0
            return metrics

        def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
            loss, logits, labels = super().prediction_step(model, inputs, False, ignore_keys)
            return 2 * loss, logits, labels

    fields = {**SAVING, "load_best_model_at_end": True, "metric_for_best_model": "mine"}
    trainer = kind.train(folder, Mine, **fields)
    return [history(trainer), trainer.state.best_metric, timeless(trainer.evaluate())]


@behaviour(unless=Heavier)
def operations_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def floating_point_ops(self, inputs):
            return 1 if kind.trainer is not Heavier else 2

    trainer = kind.make(folder)
    counted = trainer.floating_point_ops(next(iter(trainer.get_train_dataloader())))
    return [counted, kind.train(folder, Mine).state.total_flos, kind.train(folder).state.total_flos]


def test_every_method_takes_what_the_one_of_trainer_takes():
    def taken(cls):
        found = {name: inspect.signature(getattr(cls, name)).parameters.values() for name in METHODS}
        return {name: [(each.name, each.kind, each.default) for each in values] for name, values in found.items()}

    ours, theirs = taken(DistillPruneTrainer), taken(Trainer)
    if TRANSFORMERS < (5, 23):
        ours["push_to_hub"] = [each for each in ours["push_to_hub"] if each[0] != "private"]
    assert ours == theirs


test_as_in_trainer = as_in_trainer(globals())
