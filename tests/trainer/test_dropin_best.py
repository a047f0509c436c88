"""Early stopping and the best model: no evaluation of the ramp ends a run or wins it."""

import pytest
import torch
from transformers import EarlyStoppingCallback, TrainerCallback

from tests.helpers.training import PRUNE, logged, make_trainer
from trainer_ext import callbacks
from trainer_ext.pruning import masks

STEPS, LAST = 20, 12  # the ramp ends at step 12
EVERY_SECOND = {
    **{"max_steps": STEPS, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2},
    **{"load_best_model_at_end": True, "metric_for_best_model": "score", "greater_is_better": True},
}


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop |= state.global_step == self.step


def worsening_run(folder, *, later=False, patience=2, **fields):
    """A run whose metric falls with every evaluation: each one is a failure for early stopping."""
    holder, stopper = {}, EarlyStoppingCallback(early_stopping_patience=patience)

    def score(prediction):
        return {"score": -float(holder["trainer"].state.global_step)}

    given = [] if later else [stopper]
    trainer = make_trainer(folder, compute_metrics=score, callbacks=given, **{**EVERY_SECOND, **PRUNE, **fields})
    if later:
        trainer.add_callback(stopper)
    holder["trainer"] = trainer
    trainer.train()
    return trainer


@pytest.mark.parametrize("later", [False, True], ids=["before ours", "after ours"])
def test_early_stopping_waits_for_the_end_of_the_ramp(tmp_path, later):
    trainer = worsening_run(tmp_path, later=later)
    # Step 14 is the first evaluation of the final structure, 16 and 18 are two that are not better.
    assert trainer.state.global_step == LAST + 6
    assert trainer.state.best_global_step == LAST + 2
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    best = masks.load_masked(tmp_path / f"checkpoint-{LAST + 2}")
    assert torch.equal(best.classifier.weight, trainer.model.classifier.weight)


@pytest.mark.parametrize("later", [False, True], ids=["before ours", "after ours"])
def test_without_the_rule_the_ramp_would_be_cut_short(tmp_path, monkeypatch, later):
    monkeypatch.setattr(callbacks, "_forget_best", lambda state: None)
    assert worsening_run(tmp_path, later=later).state.global_step == 6


def test_without_pruning_it_stops_as_early_as_in_trainer(tmp_path):
    assert worsening_run(tmp_path, prune_method="none").state.global_step == 6


def test_patience_counts_nothing_of_the_ramp(tmp_path):
    assert worsening_run(tmp_path, patience=1).state.global_step == LAST + 4


def test_a_stop_in_the_ramp_is_said(tmp_path, caplog):
    for step, said in ((5, True), (15, False)):
        caplog.clear()
        trainer = make_trainer(tmp_path, **PRUNE, max_steps=STEPS, callbacks=[StopAt(step)])
        trainer.train()
        assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
        found = [record for record in caplog.records if record.name == callbacks.__name__]
        assert bool(found) is said
    assert logged(trainer, "sparsity")[-1] == pytest.approx(0.5, abs=0.005)


def test_saving_the_best_saves_final_models_after_the_ramp(tmp_path):
    fields = {"save_strategy": "best", "load_best_model_at_end": False, "metric_for_best_model": "eval_loss"}
    fields |= {"greater_is_better": False, "learning_rate": 3e-3}
    trainer = make_trainer(tmp_path, **{**EVERY_SECOND, **PRUNE, **fields})
    trainer.train()
    saved = sorted(int(path.name.split("-")[1]) for path in tmp_path.glob("checkpoint-*"))
    assert trainer.state.best_global_step == saved[-1] > LAST
    losses = {e["step"]: e["eval_loss"] for e in trainer.state.log_history if "eval_loss" in e}
    assert losses[saved[-1]] == min(loss for step, loss in losses.items() if step > LAST)
    assert masks.load_masked(tmp_path / f"checkpoint-{saved[-1]}").pruning.is_frozen
