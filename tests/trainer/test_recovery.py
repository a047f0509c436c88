"""Recovery: the small model is trained further after the cut, and a run that stops there goes on to the same bits."""

import contextlib
import os
import shutil

import pytest
from transformers import TrainerCallback, TrainingArguments

from tests.helpers.training import PRUNE, Rows, differing, logged, make_trainer, new_model, without_timing
from trainer_ext.models.architectures import layers_of

pytestmark = pytest.mark.slow

FIELDS = {**PRUNE, "max_steps": 8, "prune_recovery_epochs": 1.5, "save_strategy": "steps", "save_steps": 2}
KINDS = {
    "movement": {},
    "teacher": {"distill_teacher": "self", "distill_hidden": 1.0},
    "plain": {"prune_structure": "plain", "prune_sparsity": 0.3},
}


class StopInRecovery(TrainerCallback):
    """Raises in the second run, after a step; the first has a model with masks."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if not hasattr(model, "pruning") and state.global_step == self.step:
            raise KeyboardInterrupt


class CountRecoverySteps(TrainerCallback):
    """Lists the steps of the second run."""

    def __init__(self):
        self.steps = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if not hasattr(model, "pruning"):
            self.steps.append(state.global_step)


class KeepBefore(TrainerCallback):
    """Keeps the weights that the second run starts from."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if not hasattr(model, "pruning"):
            self.weights = {name: value.clone() for name, value in model.state_dict().items()}


def trainer_of(folder, **fields):
    return make_trainer(folder, rows=32, **{**FIELDS, **fields})


def log(trainer):
    """Of a run that was resumed: `train_loss` is the mean over the steps that this process made."""
    return [
        {k: v for k, v in entry.items() if k != "train_loss"} for entry in without_timing(trainer.state.log_history)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Per kind the trainer of an uninterrupted run: 8 steps, and 1.5 epochs of 4 steps."""
    found = {}
    for name, fields in KINDS.items():
        found[name] = trainer_of(tmp_path_factory.mktemp(name), callbacks=[keep := KeepBefore()], **fields)
        found[name].output, found[name].before = found[name].train(), keep
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_small_model_is_trained_further(whole, kind):
    trainer = whole[kind]
    before, after = trainer.before.weights, trainer.model.state_dict()
    assert {name: value.shape for name, value in before.items()} == {
        name: value.shape for name, value in after.items()
    }
    assert len(differing(before, after)) > 20
    layers = layers_of(trainer.model)
    assert [layer.neurons for layer in layers] == [len(ids) for ids in trainer.compression.neurons]
    assert [layer.heads for layer in layers] == [len(ids) for ids in trainer.compression.heads]
    assert sum(layer.neurons for layer in layers) < 2 * 64


@pytest.mark.parametrize("kind", KINDS)
def test_one_log_and_metrics_hold_both_runs(whole, kind):
    trainer = whole[kind]
    steps = [entry["step"] for entry in trainer.state.log_history if "loss" in entry]
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6]
    assert len(logged(trainer, "sparsity")) == 14
    assert len(logged(trainer, "loss_distill")) == (14 if kind == "teacher" else 0)
    assert len(logged(trainer, "loss_hidden")) == (14 if kind == "teacher" else 0)
    assert trainer.output.metrics["recovery_epoch"] == 1.5
    assert {"train_loss", "recovery_train_loss", "recovery_train_runtime"} <= trainer.output.metrics.keys()
    assert trainer.output.global_step == 8
    assert trainer.args.num_train_epochs == 3
    assert not trainer.args.output_dir.endswith("recovery")


@pytest.mark.parametrize("step", [1, 3, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_stops_in_it_ends_with_the_same_bits(tmp_path, whole, kind, step):
    """Before its first checkpoint, after it, and at its end."""
    first = trainer_of(tmp_path, callbacks=[StopInRecovery(step)], **KINDS[kind])
    with pytest.raises(KeyboardInterrupt):
        first.train()
    assert (tmp_path / "checkpoint-8").is_dir()
    assert (tmp_path / "recovery" / "checkpoint-2").is_dir() is (step > 2)
    assert bool(differing(first.model.state_dict(), whole[kind].model.state_dict())) is (step < 6)
    second = trainer_of(tmp_path, **KINDS[kind])
    second.train(resume_from_checkpoint=True)
    assert differing(second.model.state_dict(), whole[kind].model.state_dict()) == []
    assert second.compression == whole[kind].compression
    assert log(second) == log(whole[kind])


def test_in_the_middle_of_an_epoch(tmp_path):
    """There Trainer makes one step more when it resumes a finished run; its learning rate is 0."""
    with pytest.raises(KeyboardInterrupt):
        trainer_of(tmp_path, max_steps=6, callbacks=[StopInRecovery(3)]).train()
    second = trainer_of(tmp_path, max_steps=6)
    second.train(resume_from_checkpoint=True)
    third = trainer_of(tmp_path / "whole", max_steps=6)
    third.train()
    assert differing(second.model.state_dict(), third.model.state_dict()) == []
    steps = [entry["step"] for entry in second.state.log_history if "loss" in entry]
    assert steps[-6:] == [1, 2, 3, 4, 5, 6]


def test_with_model_init(tmp_path, whole):
    first = trainer_of(tmp_path, model_init=lambda: new_model(), callbacks=[StopInRecovery(3)])
    with pytest.raises(KeyboardInterrupt):
        first.train()
    assert first.model_init is not None
    second, third = (trainer_of(folder, model_init=lambda: new_model()) for folder in (tmp_path, tmp_path / "whole"))
    second.train(resume_from_checkpoint=True)
    third.train()
    assert differing(second.model.state_dict(), third.model.state_dict()) == []
    assert second.compression == third.compression
    once = third.model.state_dict()
    third.train()  # from the dense model again, and not from the small one
    assert differing(third.model.state_dict(), once) == []


def test_a_recovery_of_another_run_is_not_taken(tmp_path):
    """Whoever goes back to a step before the cut, with other arguments, gets another small model."""
    trainer_of(tmp_path, prune_sparsity=0.3).train()
    again, fresh = trainer_of(tmp_path), trainer_of(tmp_path / "fresh")
    fresh.train()
    again.train(resume_from_checkpoint=str(tmp_path / "fresh" / "checkpoint-4"))
    assert differing(again.model.state_dict(), fresh.model.state_dict()) == []


def touch_in_order(*checkpoints):
    """Give checkpoints the times of a copy that wrote them in this order."""
    for seconds, checkpoint in enumerate(checkpoints):
        for file in checkpoint.iterdir():
            os.utime(file, (2_000_000_000 + seconds,) * 2)


def test_a_copied_folder_goes_on_where_the_recovery_stopped(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        trainer_of(tmp_path / "first", callbacks=[StopInRecovery(3)]).train()
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    touch_in_order(tmp_path / "copy" / "recovery" / "checkpoint-2", tmp_path / "copy" / "checkpoint-8")
    second = trainer_of(tmp_path / "copy", callbacks=[counter := CountRecoverySteps()])
    second.train(resume_from_checkpoint=True)
    assert counter.steps == [3, 4, 5, 6]
    assert differing(second.model.state_dict(), whole["movement"].model.state_dict()) == []


@pytest.mark.parametrize("recovery_epochs", [0.0, 1.5])
def test_a_copied_folder_does_not_take_the_recovery_of_an_earlier_run(tmp_path, whole, recovery_epochs):
    """The earlier run left recovery checkpoints; the next one, with another sparsity, was stopped before its first."""
    earlier, later = {"prune_sparsity": 0.3}, {"prune_recovery_epochs": recovery_epochs}
    trainer_of(tmp_path, **earlier).train()
    again = trainer_of(tmp_path, **later, callbacks=[StopInRecovery(1)])
    with pytest.raises(KeyboardInterrupt) if recovery_epochs else contextlib.nullcontext():
        again.train()
    touch_in_order(tmp_path / "checkpoint-8", *(tmp_path / "recovery").glob("checkpoint-*"))
    second = trainer_of(tmp_path)
    second.train(resume_from_checkpoint=True)
    assert differing(second.model.state_dict(), whole["movement"].model.state_dict()) == []


def test_the_best_of_the_recovery_is_loaded(tmp_path):
    fields = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True, "learning_rate": 1e-2}
    trainer = trainer_of(tmp_path, **fields)
    trainer.train()
    best = min(logged(trainer, "eval_loss")[4:])
    assert trainer.state.best_metric == best
    assert trainer.state.best_model_checkpoint.startswith(str(tmp_path / "recovery"))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(best, abs=1e-5)


def test_no_file_of_it_holds_arguments(tmp_path):
    """`training_args.bin` holds tokens, and the small model may be published."""
    trainer_of(tmp_path).train()
    assert (tmp_path / "checkpoint-8" / "training_args.bin").is_file()
    assert not (tmp_path / "recovery" / "checkpoint-6" / "training_args.bin").exists()


def test_a_search_looks_for_the_small_model_and_keeps_its_epochs(tmp_path):
    pytest.importorskip("optuna")
    fields = {**FIELDS, "max_steps": -1, "save_strategy": "no", "eval_strategy": "epoch", "prune_recovery_epochs": 1}
    trainer = make_trainer(tmp_path, model_init=lambda: new_model(), **fields)
    found = trainer.hyperparameter_search(
        lambda trial: {"num_train_epochs": trial.suggest_int("num_train_epochs", 3, 3)}, backend="optuna", n_trials=1
    )
    assert trainer.state.epoch == 1
    assert found.objective == pytest.approx(logged(trainer, "eval_loss")[-1])
    assert len(logged(trainer, "eval_loss")) == 5  # three, one, and the one that Trainer makes for the search


@pytest.mark.parametrize("changes", [{"prune_recovery_epochs": 0.0}, {"prune_method": "none"}])
def test_without_it_there_is_one_run(tmp_path, changes):
    trainer = trainer_of(tmp_path, **changes)
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [*range(1, 9)]
    assert not (tmp_path / "recovery").exists()


def test_plain_arguments_know_nothing_of_it(tmp_path):
    trainer = make_trainer(tmp_path, rows=Rows(32), args_class=TrainingArguments, max_steps=4)
    output = trainer.train()
    assert len(logged(trainer, "loss")) == 4
    assert not [name for name in output.metrics if name.startswith("recovery_")]
