"""Events as in stock Trainer: which, in which order, at which step, and with what; also with masks and a teacher."""

from tests.helpers.as_stock import Watcher, as_in_trainer, behaviour, names
from tests.helpers.wrong_trainers import Deaf, Twice

STEPS = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
EPOCHS = {"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 2, "max_steps": -1}


def seen(kind, folder, look, *, then=None, **options):
    """What a function makes of every event of a run, and of what is done afterwards."""
    found = []

    def note(name, **kwargs):
        found.append((name, look(**kwargs)))

    trainer = kind.make(folder, callbacks=[Watcher(note)], **options)
    trainer.train()
    if then:
        then(trainer)
    return found


def step_of(state, **kwargs):
    return state.global_step


@behaviour(unless=Twice, compressed=True)
def events_of_a_run_by_steps(kind, folder):
    return seen(kind, folder, step_of, **STEPS)


@behaviour(unless=Twice, compressed=True)
def events_of_a_run_by_epochs(kind, folder):
    return seen(kind, folder, step_of, rows=20, logging_strategy="epoch", **EPOCHS)


@behaviour(unless=Twice, compressed=True)
def events_with_accumulation(kind, folder):
    return seen(kind, folder, step_of, rows=26, gradient_accumulation_steps=3, max_steps=3)


@behaviour(unless=Twice, compressed=True)
def events_of_evaluate_predict_and_log(kind, folder):
    def then(trainer):
        trainer.evaluate()
        trainer.predict(trainer.eval_dataset)
        trainer.log({"mine": 1.0})

    return seen(kind, folder, step_of, max_steps=1, then=then)


@behaviour(unless=Twice, compressed=True)
def events_before_any_training(kind, folder):
    found = []
    trainer = kind.make(folder, callbacks=[Watcher(lambda name, **kwargs: found.append(name))])
    trainer.evaluate()
    return found


@behaviour(unless=Twice, compressed=True)
def events_with_an_evaluation_at_the_start(kind, folder):
    return seen(kind, folder, step_of, eval_on_start=True, **STEPS)


@behaviour(unless=Twice, compressed=True)
def events_with_the_first_step_logged(kind, folder):
    return seen(kind, folder, step_of, logging_first_step=True, logging_steps=3)


@behaviour(unless=Twice, compressed=True)
def events_with_a_delay_of_evaluation(kind, folder):
    return seen(kind, folder, step_of, eval_delay=3, **STEPS)


@behaviour(unless=Twice, compressed=True)
def events_with_steps_as_fractions(kind, folder):
    fields = {"logging_steps": 0.5, "eval_strategy": "steps", "eval_steps": 0.4, "max_steps": 5}
    return seen(kind, folder, step_of, save_strategy="steps", save_steps=0.6, **fields)


@behaviour(unless=Deaf, compressed=True)
def names_of_what_an_event_brings(kind, folder):
    return seen(kind, folder, lambda **kwargs: sorted(kwargs), **STEPS)


@behaviour(unless=Deaf, compressed=True)
def kinds_of_what_an_event_brings(kind, folder):
    def look(args, model, logs=None, metrics=None, **kwargs):  # ours has another class of arguments
        return {name: type(value).__name__ for name, value in kwargs.items()} | {"model": type(model).__name__}

    return seen(kind, folder, look, **STEPS)


@behaviour(unless=Deaf, compressed=True)
def flags_that_an_event_finds(kind, folder):
    return seen(kind, folder, lambda control, **kwargs: dict(vars(control)), **STEPS)


@behaviour(unless=Deaf, compressed=True)
def state_that_an_event_finds(kind, folder):
    changing = ("log_history", "total_flos", "best_metric", "best_global_step", "best_model_checkpoint")

    def look(state, **kwargs):
        found = {name: value for name, value in vars(state).items() if name not in changing}
        found["stateful_callbacks"] = {k: v for k, v in state.stateful_callbacks.items() if k != "PruningCallback"}
        return found

    return seen(kind, folder, look, rows=26, **STEPS)


@behaviour(unless=Twice, compressed=True)
def length_of_the_log_that_an_event_finds(kind, folder):
    return seen(kind, folder, lambda state, **kwargs: len(state.log_history), **STEPS)


@behaviour(unless=Deaf, compressed=True)
def lengths_of_the_loaders_that_an_event_finds(kind, folder):
    def look(train_dataloader, eval_dataloader, **kwargs):
        return [loader and len(loader) for loader in (train_dataloader, eval_dataloader)]

    return seen(kind, folder, look, **STEPS)


@behaviour(unless=Deaf, compressed=True)
def whether_model_and_optimizer_are_those_of_the_trainer(kind, folder):
    found = []

    def look(name, model, optimizer, lr_scheduler, args, state, **kwargs):
        if name != "on_init_end":
            same = [model is trainer.model, optimizer is trainer.optimizer, lr_scheduler is trainer.lr_scheduler]
            found.append((name, *same, args is trainer.args, state is trainer.state, model.training))

    trainer = kind.make(folder, callbacks=[Watcher(look)], **STEPS)
    trainer.train()
    return found


@behaviour(unless=Deaf, compressed=True)
def learning_rates_at_every_step(kind, folder):
    def look(lr_scheduler, **kwargs):
        return lr_scheduler and lr_scheduler.get_last_lr()[0]

    return seen(kind, folder, look, warmup_steps=2, lr_scheduler_type="cosine")


@behaviour(unless=Deaf)
def gradients_at_every_step(kind, folder):
    def look(model, **kwargs):
        return [None if p.grad is None else p.grad.clone() for p in model.parameters()]

    return seen(kind, folder, look, max_steps=2)


@behaviour(unless=Twice)
def what_is_logged_and_evaluated(kind, folder):
    def look(logs=None, metrics=None, **kwargs):
        return [None if found is None else [*found] for found in (logs, metrics)]

    return seen(kind, folder, look, **STEPS)


@behaviour(unless=Deaf)
def order_of_the_callbacks(kind, folder):
    trainer = kind.make(folder, callbacks=[Watcher(lambda name, **kwargs: None)], disable_tqdm=False)
    return names(trainer.callback_handler.callbacks)


test_as_in_trainer = as_in_trainer(globals())
