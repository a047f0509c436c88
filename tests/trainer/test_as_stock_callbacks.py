"""Callbacks as in stock Trainer: added, popped and removed by class and by instance, and kept in a checkpoint."""

import json

from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer_callback import DefaultFlowCallback, ExportableState

from tests.helpers.as_stock import Watcher, as_in_trainer, at, behaviour, files, history, names, raised
from tests.helpers.training import EventRecorder
from tests.helpers.wrong_trainers import Deaf, Heavier

SAVING = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
EARLY = {**SAVING, "load_best_model_at_end": True, "metric_for_best_model": "score", "greater_is_better": True}


class Counter(TrainerCallback, ExportableState):
    """Counts steps, and goes on counting after a resume."""

    def __init__(self, start=0):
        self.start, self.count = start, start

    def on_step_end(self, args, state, control, **kwargs):
        self.count += 1

    def state(self):
        return {"args": {"start": self.start}, "attributes": {"count": self.count}}


class Child(EventRecorder):
    """A callback that is also one of another class."""


# Added and taken away


@behaviour(unless=Deaf)
def callbacks_added_by_class_and_by_instance(kind, folder):
    recorder = EventRecorder()
    trainer = kind.make(folder, callbacks=[EventRecorder])
    trainer.add_callback(recorder)
    trainer.add_callback(Child)
    trainer.train()
    return [names(trainer.callback_handler.callbacks), recorder.events]


@behaviour(unless=Deaf)
def callbacks_popped_by_class_and_by_instance(kind, folder):
    first, second = EventRecorder(), Child()
    trainer = kind.make(folder, callbacks=[first, second])
    popped = [trainer.pop_callback(each) for each in (Child, first, EventRecorder, second, DefaultFlowCallback)]
    trainer.train()
    return [[each if each is None else type(each).__name__ for each in popped], popped[0] is second, first.events]


@behaviour(unless=Deaf)
def callbacks_removed_by_class_and_by_instance(kind, folder):
    first, second = EventRecorder(), Child()
    trainer = kind.make(folder, callbacks=[first, second])
    trainer.remove_callback(EventRecorder)  # the first that is one
    after_class = names(trainer.callback_handler.callbacks)
    trainer.remove_callback(second)
    trainer.remove_callback(ProgressCallback)  # not there
    return [after_class, names(trainer.callback_handler.callbacks), raised(trainer.remove_callback, first)]


@behaviour(unless=Deaf)
def a_callback_that_removes_itself(kind, folder):
    holder = {}
    recorder = EventRecorder()
    once = at("on_step_end", lambda **kwargs: holder["trainer"].remove_callback(Watcher), step=1)
    holder["trainer"] = kind.make(folder, callbacks=[once, recorder])
    holder["trainer"].train()
    return [names(holder["trainer"].callback_handler.callbacks), recorder.events]


@behaviour(unless=Deaf, compressed=True)
def a_run_without_the_default_flow(kind, folder):
    def stop(control, **kwargs):
        control.should_training_stop = True

    trainer = kind.make(folder, callbacks=[at("on_step_end", stop, step=3)])
    trainer.remove_callback(DefaultFlowCallback)
    trainer.train()
    return [len(trainer.state.log_history), trainer.state.global_step]


@behaviour(unless=Deaf)
def a_run_that_prints_nothing(kind, folder):
    trainer = kind.make(folder, callbacks=[EventRecorder()])
    popped = trainer.pop_callback(PrinterCallback)
    trainer.train()
    return [type(popped).__name__, names(trainer.callback_handler.callbacks)]


# Kept in a checkpoint


@behaviour(unless=Deaf)
def state_of_callbacks_in_a_checkpoint(kind, folder):
    kind.train(folder, callbacks=[Counter(5)], **SAVING)
    return json.loads((folder / "checkpoint-2" / "trainer_state.json").read_text())["stateful_callbacks"]


@behaviour(unless=Deaf, compressed=True)
def callbacks_restored_from_a_checkpoint(kind, folder):
    kind.train(folder, callbacks=[Counter(5)], **SAVING)
    fields = {**SAVING, "restore_callback_states_from_checkpoint": True}
    trainer = kind.make(folder, callbacks=[Counter(0)], **fields)
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-2"))
    counter = trainer.pop_callback(Counter)
    return [counter.start, counter.count]


@behaviour(unless=Deaf)
def early_stopping(kind, folder):
    holder = {}

    def worse(prediction):
        return {"score": -float(holder["trainer"].state.global_step)}

    stopper = EarlyStoppingCallback(early_stopping_patience=2)
    trainer = holder["trainer"] = kind.make(folder, callbacks=[stopper], compute_metrics=worse, max_steps=9, **EARLY)
    trainer.train()
    state = trainer.state
    return [
        state.global_step,
        state.best_metric,
        state.best_global_step,
        stopper.state(),
        history(trainer),
        files(folder),
    ]


@behaviour(unless=Deaf)
def early_stopping_with_a_threshold(kind, folder):
    stopper = EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=100.0)
    fields = {**EARLY, "metric_for_best_model": "loss", "greater_is_better": False}
    trainer = kind.train(folder, callbacks=[stopper], max_steps=9, **fields)
    return [trainer.state.global_step, trainer.state.best_metric, stopper.state()]


@behaviour(unless=Deaf)
def early_stopping_without_a_metric(kind, folder):
    return raised(kind.make(folder, callbacks=[EarlyStoppingCallback()]).train)


@behaviour(unless=Heavier)
def what_callbacks_see_is_what_is_kept(kind, folder):
    found = []

    def look(name, logs=None, metrics=None, **kwargs):
        found.extend({**each} for each in (logs, metrics) if each is not None)

    trainer = kind.train(folder, callbacks=[Watcher(look)], **SAVING)
    steps = [entry["step"] for entry in trainer.state.log_history]
    return [[entry.get("loss", entry.get("eval_loss")) for entry in found], steps]


test_as_in_trainer = as_in_trainer(globals())
