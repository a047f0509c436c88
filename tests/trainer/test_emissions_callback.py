"""Emissions callback: the energy of every part of a training is in its log, and in nothing else."""

import logging
from types import SimpleNamespace

import pytest
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from tests.helpers.metering import KWH
from tests.helpers.training import PRUNE, make_trainer
from trainer_ext import EmissionsCallback, InputError
from trainer_ext.callbacks import training_energy


class Worker(TrainerCallback):
    """One unit of work per step; at `die_at` the run ends without a word."""

    def __init__(self, work, die_at=None):
        self.work, self.die_at = work, die_at

    def on_step_begin(self, args, state, control, **kwargs):
        """Do the work of a step."""
        self.work.do()
        if state.global_step == self.die_at:
            raise KeyboardInterrupt


def trainer_of(folder, work, *, country="IND", die_at=None, cls=Trainer, **fields):
    """A trainer of ten steps that saves every fourth."""
    plain = {"args_class": TrainingArguments} if cls is Trainer else {}
    fields = {"max_steps": 10, "save_strategy": "steps", "save_steps": 4, **plain, **fields}
    callbacks = [EmissionsCallback(country), Worker(work, die_at)]
    return make_trainer(folder, cls, callbacks=callbacks, **fields)


def steps(trainer):
    """At which steps the log holds energy."""
    return [entry["step"] for entry in trainer.state.log_history if "energy_kwh" in entry]


def test_any_trainer_logs_its_energy(tmp_path, work):
    trainer = trainer_of(tmp_path, work)
    trainer.train()
    assert steps(trainer) == [4, 8, 10, 10]
    assert training_energy(trainer.state.log_history) == pytest.approx((10 * KWH, 10 * KWH * 700))
    assert all(entry["energy_estimated"] for entry in trainer.state.log_history if "energy_kwh" in entry)


def test_killed_and_resumed_it_adds_up(tmp_path, work):
    """What was done after the last checkpoint is lost; everything else is counted once."""
    killed = trainer_of(tmp_path, work, die_at=6)
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = trainer_of(tmp_path, work)
    work.do(1000)  # between the parts
    resumed.train(resume_from_checkpoint=True)
    assert steps(resumed) == [4, 8, 10, 10]
    assert training_energy(resumed.state.log_history)[0] == pytest.approx(10 * KWH)
    second = [entry for entry in resumed.state.log_history if entry["step"] > 4]
    assert training_energy(second)[0] == pytest.approx(6 * KWH), "the second part alone is not the whole"


def test_a_checkpoint_of_the_best_model_holds_what_came_before_it(tmp_path, work):
    fields = {"save_strategy": "best", "eval_strategy": "steps", "eval_steps": 5, "metric_for_best_model": "loss"}
    trainer = trainer_of(tmp_path, work, **fields)
    trainer.train()
    state = TrainerState.load_from_json(str(tmp_path / "checkpoint-5" / "trainer_state.json"))
    assert training_energy(state.log_history)[0] == pytest.approx(5 * KWH)


def test_recovery_counts_as_part_of_the_compression(tmp_path, work):
    from trainer_ext import DistillPruneTrainer

    trainer = trainer_of(tmp_path, work, cls=DistillPruneTrainer, prune_recovery_epochs=1, **PRUNE)
    trainer.train()
    assert training_energy(trainer.state.log_history)[0] == pytest.approx(14 * KWH)  # 32 rows, 8 per step


def test_without_a_country_the_log_holds_no_grams(tmp_path, work):
    trainer = trainer_of(tmp_path, work, country=None, max_steps=2)
    trainer.train()
    assert training_energy(trainer.state.log_history) == (pytest.approx(2 * KWH), None)


def test_a_training_that_was_not_measured_has_no_energy():
    assert training_energy([]) == (None, None)
    assert training_energy([{"loss": 1.0, "step": 1}]) == (None, None)


def test_only_the_main_process_measures_and_then_the_whole_machine(work, caplog):
    args = SimpleNamespace(world_size=2)
    for main, trackers in ((False, 0), (True, 1)):
        state, callback = TrainerState(is_world_process_zero=main), EmissionsCallback()
        with caplog.at_level(logging.WARNING, logger="trainer_ext"):
            callback.on_train_begin(args, state, None)
        callback.on_train_end(args, state, None)
        assert len(work.trackers) == len(state.log_history) == trackers
    assert work.trackers[0]["tracking_mode"] == "machine"
    assert caplog.text.count("2 processes train") == 1


def test_one_process_is_charged_for_itself(tmp_path, work):
    trainer_of(tmp_path, work, max_steps=1).train()
    assert {settings["tracking_mode"] for settings in work.trackers} == {"process"}


def test_a_wrong_country_is_refused_before_training(work):
    with pytest.raises(InputError, match="did you mean IND"):
        EmissionsCallback("India")
