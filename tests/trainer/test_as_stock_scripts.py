"""What a script hands to Trainer, what it gets back, and what it is refused: as in stock Trainer."""

import logging

import optuna
import pytest
import torch
from transformers import TrainingArguments, get_scheduler
from transformers.utils import logging as transformers_logging

from tests.helpers.as_stock import (
    COMPRESSED,
    OURS,
    STOCK,
    as_in_trainer,
    behaviour,
    differences,
    history,
    raised,
    timeless,
)
from tests.helpers.training import EventRecorder, Rows, new_model
from tests.helpers.wrong_trainers import Deaf, Heavier, Keepless, Restless, Twice, Willing
from trainer_ext import DistillPruneTrainingArguments

pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")  # where nothing says use_cpu
SAVING = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Where Trainer without arguments writes."""
    monkeypatch.chdir(tmp_path)


def small():
    return new_model(num_hidden_layers=1)


@behaviour(unless=Restless)
def an_optimizer_and_a_scheduler_given(kind, folder):
    found = []
    for scheduled in (True, False):
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = get_scheduler("constant", optimizer) if scheduled else None
        trainer = kind.train(folder, model=model, optimizers=(optimizer, scheduler))
        found.append([history(trainer), trainer.lr_scheduler is scheduler, type(trainer.optimizer).__name__])
    return found


@behaviour(unless=Restless)
def the_class_of_an_optimizer_given(kind, folder):
    given = (torch.optim.SGD, {"lr": 0.1, "momentum": 0.5})
    trainer = kind.train(folder, optimizer_cls_and_kwargs=given)
    return [history(trainer), trainer.get_optimizer_group(next(trainer.model.parameters()))["momentum"]]


@behaviour(unless=Heavier)
def a_loss_function_given(kind, folder):
    counts = []

    def loss(outputs, labels, num_items_in_batch=None):
        counts.append(num_items_in_batch)
        return torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch

    trainer = kind.train(folder, compute_loss_func=loss, gradient_accumulation_steps=2, rows=26, **SAVING)
    return [history(trainer), counts]


@behaviour(unless=Restless)
def a_function_that_makes_the_model(kind, folder):
    trials = []

    def make(trial):
        trials.append(trial)
        return small()

    trainer = kind.train(folder, model_init=make)
    first = [history(trainer), trials.copy()]
    trainer.train()
    return [first, history(trainer), trials]


@behaviour(unless=Deaf)
def arguments_by_their_position(kind, folder):
    recorder = EventRecorder()
    args = kind.arguments(str(folder), max_steps=1, report_to="none", use_cpu=True, disable_tqdm=True)
    trainer = kind.trainer(
        small(), args, None, Rows(8), Rows(4), None, None, None, lambda p: {"a": 1.0}, callbacks=[recorder]
    )
    trainer.train()
    return [recorder.events, timeless(trainer.evaluate())]


@behaviour(unless=Heavier)
def without_arguments(kind, folder):
    trainer = kind.trainer(small(), train_dataset=Rows(8))
    return [str(trainer.args.output_dir), type(trainer.args).__name__, timeless(trainer.evaluate(Rows(4)))]


@behaviour(unless=Willing)
def what_is_refused_at_the_start(kind, folder):
    optimizers = (torch.optim.SGD(small().parameters(), lr=0.1), None)
    return [
        raised(kind.make, folder, optimizers=optimizers, model_init=small),
        raised(kind.make, folder, optimizers=optimizers, optimizer_cls_and_kwargs=(torch.optim.SGD, {})),
        raised(kind.make, folder, data_collator=type("Old", (), {"collate_batch": len})()),
        raised(kind.make, folder, model=small(), model_init=small),
        raised(kind.make, folder, model_init=lambda: None),
        raised(kind.make, folder, model_init=lambda a, b: None),
        raised(kind.trainer, args=kind.arguments(str(folder), use_cpu=True)),
        raised(kind.make(folder).hyperparameter_search),
    ]


# What a run leaves behind


@behaviour(unless=Heavier)
def what_training_returns(kind, folder):
    output = kind.make(folder, **SAVING).train()
    return [type(output).__name__, output._fields, output.global_step, output.training_loss, timeless(output.metrics)]


@behaviour(unless=Keepless)
def arguments_after_a_run(kind, folder):
    fields = {"hub_model_id": "user/name", "hub_strategy": "checkpoint", "hub_private_repo": True, "run_name": "mine"}
    trainer = kind.make(folder, **fields, **SAVING)
    before = trainer.args.to_dict()
    trainer.train()
    trainer.save_model()
    after = trainer.args.to_dict()
    return [differences(before, after), {name: after[name] for name in fields}, trainer.hub_model_id]


@behaviour(unless=Twice)
def what_a_run_says(kind, folder):
    """The records of transformers' own loggers, but for times and places."""
    records = []

    class Keep(logging.Handler):
        def emit(self, record):
            records.append([record.name, record.levelname, record.getMessage()])

    handler, level = Keep(), transformers_logging.get_verbosity()
    transformers_logging.add_handler(handler)
    try:
        trainer = kind.make(folder, log_level="info", **SAVING)
        trainer.train()
        trainer.predict(Rows(4))
        trainer.log({"a": 1.0})
    finally:
        transformers_logging.remove_handler(handler)
        transformers_logging.set_verbosity(level)
    return [records, len(trainer.state.log_history)]


@behaviour(unless=Heavier)
def a_search(kind, folder):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trainer = kind.make(folder, model_init=small, max_steps=2)
    names = []
    best = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2)},
        lambda metrics: metrics["eval_loss"],
        n_trials=3,
        direction="minimize",
        backend="optuna",
        hp_name=lambda trial: names.append(trial.number) or f"mine-{trial.number}",
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    folders = sorted(path.name for path in folder.iterdir())
    return [
        type(best).__name__,
        best._fields,
        tuple(best),
        names,
        history(trainer),
        folders,
        trainer.args.learning_rate,
    ]


def test_our_arguments_add_nothing_where_nothing_is_asked_for(tmp_path):
    lists = [kind.make(tmp_path).callback_handler.callbacks for kind in (STOCK, *OURS.values())]
    stock, plain, ours = ([type(each).__name__ for each in callbacks] for callbacks in lists)
    assert plain == ours == stock
    pruned = COMPRESSED.make(tmp_path).callback_handler.callbacks
    assert [type(each).__name__ for each in pruned] == [*stock, "PruningCallback"]
    both = [cls(str(tmp_path)).to_dict() for cls in (TrainingArguments, DistillPruneTrainingArguments)]
    assert all(name.startswith(("prune_", "distill_", "dense_")) for name in both[1].keys() - both[0].keys())
    assert differences(both[0], {name: both[1][name] for name in both[0]}) == []


test_as_in_trainer = as_in_trainer(globals())
