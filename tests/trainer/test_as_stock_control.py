"""The control of a run as in stock Trainer: what a callback sets is what happens, also with masks and a teacher."""

from tests.helpers.as_stock import Watcher, as_in_trainer, at, behaviour, history, raised
from tests.helpers.training import EventRecorder
from tests.helpers.wrong_trainers import Deaf

SAVING = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}


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


test_as_in_trainer = as_in_trainer(globals())
