"""Callbacks as in stock Trainer: added, taken away, in control of the run, and kept in a checkpoint."""

import json

import pytest
from as_stock import Watcher, at, behaviour, behaviours, check, files, history, names, raised
from training import EventRecorder
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer_callback import DefaultFlowCallback, ExportableState
from wrong_trainers import Deaf, Heavier

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


def setting(event, step=None, **flags):
    """A callback that sets flags of the control."""

    def act(control, **kwargs):
        vars(control).update(flags)

    return at(event, act, step=step)


def controlled(kind, folder, *callbacks, **options):
    """Where a run goes with such callbacks: events with steps, epochs, log, and files."""
    recorder = EventRecorder()
    trainer = kind.train(folder, callbacks=[*callbacks, recorder], **options)
    lengths = [len(trainer.state.log_history), trainer.state.global_step, trainer.state.epoch]
    return {
        "events": recorder.events,
        "lengths": lengths,
        "checkpoints": sorted(p.name for p in folder.glob("check*")),
    }


# In control


@behaviour(unless=Deaf, compressed=True)
def a_stop_at_a_step(kind, folder):
    return controlled(kind, folder, setting("on_step_end", 2, should_training_stop=True), **SAVING)


@behaviour(unless=Deaf, compressed=True)
def a_stop_at_a_substep(kind, folder):
    stop = setting("on_substep_end", 1, should_training_stop=True)
    return controlled(kind, folder, stop, gradient_accumulation_steps=2)


@behaviour(unless=Deaf, compressed=True)
def a_stop_at_an_evaluation(kind, folder):
    return controlled(kind, folder, setting("on_evaluate", should_training_stop=True), **SAVING)


@behaviour(unless=Deaf, compressed=True)
def a_stop_at_the_end_of_an_epoch(kind, folder):
    stop = setting("on_epoch_end", should_training_stop=True)
    return controlled(kind, folder, stop, num_train_epochs=3, max_steps=-1)


@behaviour(unless=Deaf, compressed=True)
def the_end_of_an_epoch_at_a_step(kind, folder):
    stop = setting("on_step_end", 2, should_epoch_stop=True)
    return controlled(kind, folder, stop, num_train_epochs=2, max_steps=-1, save_strategy="epoch")


@behaviour(unless=Deaf, compressed=True)
def a_save_out_of_turn(kind, folder):
    return controlled(kind, folder, setting("on_step_end", 3, should_save=True))


@behaviour(unless=Deaf, compressed=True)
def no_save_in_turn(kind, folder):
    return controlled(kind, folder, setting("on_step_end", 2, should_save=False), **SAVING)


@behaviour(unless=Deaf, compressed=True)
def an_evaluation_out_of_turn(kind, folder):
    return controlled(kind, folder, setting("on_step_end", 3, should_evaluate=True))


@behaviour(unless=Deaf, compressed=True)
def a_log_out_of_turn(kind, folder):
    return controlled(kind, folder, setting("on_step_end", 3, should_log=True), logging_strategy="no")


@behaviour(unless=Deaf, compressed=True)
def no_log_in_turn(kind, folder):
    return controlled(kind, folder, setting("on_step_end", should_log=False))


@behaviour(unless=Deaf, compressed=True)
def everything_at_the_end_of_an_epoch(kind, folder):
    flags = setting("on_epoch_end", should_log=True, should_evaluate=True, should_save=True)
    return controlled(kind, folder, flags, num_train_epochs=2, max_steps=-1, logging_strategy="no")


@behaviour(unless=Deaf, compressed=True)
def a_control_of_the_callbacks_own(kind, folder):
    def act(control, **kwargs):
        other = type(control)()
        other.should_training_stop = True
        return other

    return controlled(kind, folder, at("on_step_end", act, step=2))


@behaviour(unless=Deaf)
def a_learning_rate_that_a_callback_sets(kind, folder):
    def act(optimizer, **kwargs):
        for group in optimizer.param_groups:
            group["lr"] = 0.1

    return history(kind.train(folder, callbacks=[at("on_pre_optimizer_step", act, step=1)]))


@behaviour(unless=Deaf)
def an_error_of_a_callback_and_the_run_after_it(kind, folder):
    def act(state, **kwargs):
        raise KeyError(f"mine at {state.global_step}")

    trainer = kind.make(folder, callbacks=[at("on_step_end", act, step=2)])
    error = raised(trainer.train)
    trainer.remove_callback(Watcher)
    trainer.train()
    return [error, history(trainer), trainer.is_in_train]


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
    trainer = kind.make(folder, callbacks=[setting("on_step_end", 3, should_training_stop=True)])
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


@pytest.mark.parametrize("case", behaviours(globals()), ids=lambda each: each.__name__)
def test_as_in_trainer(tmp_path, case):
    check(case, tmp_path)
