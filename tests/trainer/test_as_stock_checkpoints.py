"""Checkpoints as in stock Trainer: which files with what in them, which stay, which is best, and how a run goes on."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.as_stock import STOCK, as_in_trainer, at, behaviour, files, history, raised, timeless
from tests.helpers.training import EventRecorder, new_model
from tests.helpers.wrong_trainers import Deaf, Heavier, Keepless, Misplaced, Restless, Twice, Willing

pytestmark = pytest.mark.slow

SAVING = {"save_strategy": "steps", "save_steps": 2, "max_steps": 6}
BEST = {**SAVING, "eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


class Stop(Exception):
    """The end of a run that is interrupted."""


def interrupted(kind, folder, step=5, **options):
    """A run that ends with an error after a step."""

    def act(**kwargs):
        raise Stop

    kind = STOCK if kind is None else kind
    raised(kind.make(folder, callbacks=[at("on_step_end", act, step=step)], **{**SAVING, **options}).train)


def resumed(kind, folder, checkpoint=True, **options):
    """A run that goes on from a checkpoint: its log, weights and events."""
    recorder = EventRecorder()
    trainer = kind.make(folder, callbacks=[recorder], **{**SAVING, **options})
    trainer.train(resume_from_checkpoint=checkpoint)
    return [history(trainer), dict(trainer.model.state_dict()), recorder.events]


def state_in(folder):
    """What trainer_state.json says, without the clock."""
    state = json.loads((folder / "trainer_state.json").read_text())
    return {**state, "log_history": [timeless(entry) for entry in state["log_history"]]}


def scored(*scores, name="score"):
    """Metrics that are these, one evaluation after the other."""
    left = iter(scores)
    return lambda prediction: {name: next(left)}


# What is in a checkpoint


@behaviour(unless=Keepless, compressed=True)
def files_of_a_run(kind, folder):
    kind.train(folder, **SAVING)
    return files(folder)


@behaviour(unless=Misplaced, compressed=True)
def files_with_the_model_alone(kind, folder):
    kind.train(folder, save_only_model=True, **SAVING)
    return files(folder)


@behaviour(unless=Heavier)
def contents_of_a_checkpoint(kind, folder):
    kind.train(folder, **SAVING)
    place = folder / "checkpoint-4"
    parts = {name: torch.load(place / name, weights_only=False) for name in FILES}
    config = json.loads((place / "config.json").read_text())
    return [parts, state_in(place), load_file(place / "model.safetensors"), config]


@behaviour(unless=Twice, compressed=True)
def names_in_a_state_file(kind, folder):
    kind.train(folder, **{**SAVING, "max_steps": 4})
    states = [state_in(folder / f"checkpoint-{step}") for step in (2, 4)]
    return [[sorted(state), len(state["log_history"])] for state in states]


@behaviour(unless=Keepless)
def arguments_in_a_checkpoint(kind, folder):
    kind.train(folder, **SAVING)
    saved = torch.load(folder / "checkpoint-6" / "training_args.bin", weights_only=False).to_dict()
    return {name: value for name, value in saved.items() if not name.startswith(("prune_", "dense_", "distill_"))}


@behaviour(unless=Misplaced)
def a_model_saved_by_hand(kind, folder):
    trainer = kind.train(folder)
    trainer.save_model()
    trainer.save_model(str(folder / "elsewhere"))
    trainer.save_state()
    return [files(folder), load_file(folder / "elsewhere" / "model.safetensors")]


# Which stay


@behaviour(unless=Keepless, compressed=True)
def the_last_checkpoints_stay(kind, folder):
    kind.train(folder, save_total_limit=2, **SAVING)
    return files(folder)


@behaviour(unless=Keepless)
def the_best_and_the_last_checkpoint_stay(kind, folder):
    fields = {"metric_for_best_model": "score", "compute_metrics": scored(2.0, 3.0, 1.0), "save_total_limit": 1}
    trainer = kind.train(folder, **BEST, **fields)
    return [files(folder), trainer.state.best_metric, trainer.state.best_global_step]


@behaviour(unless=Heavier)
def the_best_model_is_loaded(kind, folder):
    found = []
    for greater in (True, False):
        fields = {"metric_for_best_model": "score", "greater_is_better": greater}
        trainer = kind.train(folder, compute_metrics=scored(2.0, 3.0, 1.0), **BEST, **fields)
        state = trainer.state
        found.append([state.best_metric, state.best_global_step, state.best_model_checkpoint])
        found.append([dict(trainer.model.state_dict()), history(trainer), timeless(state_in(folder / "checkpoint-6"))])
    return found


@behaviour(unless=Heavier)
def the_best_loss_is_that_of_the_evaluation(kind, folder):
    trainer = kind.train(folder, **BEST)
    return [trainer.args.metric_for_best_model, trainer.args.greater_is_better, trainer.state.best_metric]


@behaviour(unless=Heavier)
def the_best_of_one_of_several_data_sets(kind, folder):
    trainer = kind.make(folder)
    fields = {"eval_dataset": {"a": trainer.eval_dataset, "b": trainer.train_dataset}, **BEST}
    trainer = kind.train(folder, metric_for_best_model="eval_b_loss", **fields)
    return [trainer.state.best_metric, trainer.state.best_global_step, files(folder)]


@behaviour(unless=Deaf)
def checkpoints_of_what_is_better_only(kind, folder):
    events = EventRecorder()
    fields = {**BEST, "save_strategy": "best", "load_best_model_at_end": False, "metric_for_best_model": "score"}
    trainer = kind.train(folder, compute_metrics=scored(2.0, 1.0, 3.0), callbacks=[events], **fields)
    return [files(folder), events.events, trainer.state.best_metric]


@behaviour(unless=Willing)
def a_metric_that_is_not_there(kind, folder):
    error = raised(kind.make(folder, metric_for_best_model="absent", **BEST).train)
    unlike = {"load_best_model_at_end": True, "save_strategy": "no", "eval_strategy": "steps"}
    return [error, raised(kind.make, folder, **unlike), raised(kind.make, folder, save_strategy="best")]


# How a run goes on


@behaviour(unless=Restless)
def a_run_that_goes_on_from_its_last_checkpoint(kind, folder):
    interrupted(kind, folder)
    return [resumed(kind, folder), files(folder)]


@behaviour(unless=Restless)
def a_run_that_goes_on_from_a_named_checkpoint(kind, folder):
    kind.train(folder, **SAVING)
    return resumed(kind, folder, str(folder / "checkpoint-2"))


@behaviour(unless=Restless)
def a_run_that_goes_on_within_an_epoch(kind, folder):
    fields = {"rows": 52, "gradient_accumulation_steps": 2, "max_steps": 7}
    interrupted(kind, folder, **fields)
    return [resumed(kind, folder, **fields), resumed(kind, folder, ignore_data_skip=True, **fields)]


@behaviour(unless=Restless)
def a_run_that_goes_on_with_other_intervals(kind, folder):
    interrupted(kind, folder)
    return resumed(kind, folder, save_steps=3, logging_steps=2, max_steps=8)


@behaviour(unless=Heavier)
def a_run_of_trainer_that_goes_on_here(kind, folder):
    interrupted(None, folder)
    return [resumed(kind, folder), state_in(folder / "checkpoint-6")]


@behaviour(unless=Heavier)
def a_run_of_this_that_goes_on_in_trainer(kind, folder):
    interrupted(kind, folder)
    return resumed(STOCK, folder)


@behaviour(unless=Heavier)
def a_run_that_goes_on_with_the_model_alone(kind, folder):
    interrupted(kind, folder, save_only_model=True)
    return resumed(kind, folder)


@behaviour(unless=Restless)
def a_run_that_goes_on_with_model_init(kind, folder):
    fields = {"model_init": lambda: new_model(num_hidden_layers=1)}
    interrupted(kind, folder, **fields)
    return resumed(kind, folder, **fields)


@behaviour(unless=Heavier)
def a_run_that_goes_on_after_its_end(kind, folder):
    kind.train(folder, **SAVING)
    return resumed(kind, folder)


@behaviour(unless=Deaf)
def what_cannot_go_on(kind, folder):
    first = raised(kind.make(folder).train, resume_from_checkpoint=True)
    second = raised(kind.make(folder).train, resume_from_checkpoint=str(folder / "absent"))
    none = resumed(kind, folder, False)
    return [first, second, none]


@behaviour(unless=Restless)
def one_training_after_the_other(kind, folder):
    trainer = kind.make(folder, **SAVING)
    outputs = [trainer.train() for _ in range(2)]
    found = [[type(o).__name__, o.global_step, o.training_loss, timeless(o.metrics)] for o in outputs]
    return [found, history(trainer), state_in(folder / "checkpoint-6")]


test_as_in_trainer = as_in_trainer(globals())
