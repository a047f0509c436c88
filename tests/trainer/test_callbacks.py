"""PruningCallback: stateless, for any Trainer; and the best model is one of the final sparsity."""

import pytest
import torch
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from tests.helpers.training import PRUNE, differing, logged, make_trainer, new_model
from trainer_ext import PruningCallback, attach, callbacks
from trainer_ext.pruning import masks, schedules
from trainer_ext.pruning.config import PruningSpec

SPEC = PruningSpec("movement", 0.5, "block", 8, "neuron", 0.1, 0.6)
STEPS, FIRST, LAST = 20, 2, 12
BEST = {
    **{"max_steps": STEPS, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2},
    **{"load_best_model_at_end": True, "metric_for_best_model": "score", "greater_is_better": True},
}


def masked_model(**changes):
    return attach(new_model(**changes), SPEC)


def begin_step(model, step, max_steps=STEPS):
    """What the callback does at the beginning of a step; returns the state."""
    state = TrainerState(global_step=step, max_steps=max_steps, best_metric=0.9, best_global_step=1)
    state.best_model_checkpoint = "checkpoint-1"
    PruningCallback().on_step_begin(None, state, TrainerControl(), model=model)
    return state


def test_the_sparsity_of_a_step_follows_from_the_step_alone():
    model, other = masked_model(), masked_model()
    for step in (3, 9, 5):  # in any order: nothing is remembered
        begin_step(model, step)
    begin_step(other, 5)
    expected = schedules.cubic_ramp(5, first=FIRST, last=LAST, final=0.5)
    assert masks.current_sparsity(model) == masks.current_sparsity(other) == pytest.approx(expected, abs=0.01)
    assert torch.equal(model.pruning.ffn.mask(), other.pruning.ffn.mask())
    begin_step(other, 6)
    assert masks.current_sparsity(model) != masks.current_sparsity(other)
    assert vars(PruningCallback()) == {}


def test_the_model_is_dense_until_the_ramp_and_final_after_it():
    model = masked_model()
    for step in (0, FIRST):
        begin_step(model, step)
        assert masks.current_sparsity(model) == 0
    begin_step(model, LAST - 1)
    assert not model.pruning.is_frozen
    state = begin_step(model, LAST)
    assert model.pruning.is_frozen
    assert masks.current_sparsity(model) == pytest.approx(0.5, abs=0.005)
    assert (state.best_metric, state.best_global_step, state.best_model_checkpoint) == (None, None, None)


def test_the_structure_is_fixed_once():
    model = masked_model()
    begin_step(model, LAST)
    before = {name: value.clone() for name, value in model.pruning.state_dict().items()}
    with torch.no_grad():
        model.pruning.ffn.scores.uniform_()
    state = begin_step(model, LAST + 1)
    assert state.best_metric == 0.9  # a second reset would forget the best model of the cool-down
    assert differing(before, model.pruning.state_dict()) == ["ffn.scores"]


def test_a_model_without_masks_is_left_alone():
    model = new_model()
    state = begin_step(model, LAST)
    PruningCallback().on_train_end(None, state, TrainerControl(), model=model)
    assert state.best_metric == 0.9


@pytest.mark.parametrize("max_steps", [1, 2, 10])
def test_it_works_with_a_plain_trainer(tmp_path, max_steps):
    options = {"args_class": TrainingArguments, "max_steps": max_steps}
    trainer = make_trainer(tmp_path, Trainer, model=masked_model(), callbacks=[PruningCallback], **options)
    trainer.train()
    assert trainer.model.pruning.is_frozen
    assert masks.current_sparsity(trainer.model) == pytest.approx(0.5, abs=0.005)

    control = make_trainer(tmp_path, Trainer, model=masked_model(), **options)
    control.train()
    assert masks.current_sparsity(control.model) == 0


def best_run(folder, resume=None, **fields):
    """A run whose metric falls with every evaluation, so that the first one always seems the best."""
    holder = {}

    def score(prediction):
        return {"score": -float(holder["trainer"].state.global_step)}

    trainer = holder["trainer"] = make_trainer(folder, compute_metrics=score, **{**BEST, **PRUNE, **fields})
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_the_best_model_is_of_the_final_sparsity(tmp_path):
    trainer = best_run(tmp_path)
    # The evaluation at step 12 is the last one of the ramp: step 13 is the first with the final structure.
    assert trainer.state.best_global_step == LAST + 2
    best = masks.load_masked(tmp_path / f"checkpoint-{LAST + 2}")
    assert best.pruning.is_frozen
    assert masks.current_sparsity(best) == trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    weights = trainer.model.state_dict()
    for name in ("classifier.weight", "bert.embeddings.word_embeddings.weight"):
        assert torch.equal(weights[name], best.state_dict()[name])
        last = masks.load_masked(tmp_path / f"checkpoint-{STEPS}").state_dict()
        assert not torch.equal(weights[name], last[name])


def test_without_the_reset_a_model_of_the_ramp_would_win(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "_forget_best", lambda state: None)
    assert best_run(tmp_path).state.best_global_step == 2


def test_resuming_in_the_cool_down_does_not_reset_again(tmp_path):
    whole = best_run(tmp_path)
    resumed = best_run(tmp_path, resume=str(tmp_path / "checkpoint-16"))
    assert resumed.state.best_global_step == whole.state.best_global_step == LAST + 2
    assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []


def test_a_run_that_ends_with_its_ramp_keeps_its_last_model(tmp_path):
    trainer = best_run(tmp_path, prune_end=1.0)
    assert trainer.state.best_global_step == STEPS
    last = masks.load_masked(tmp_path / f"checkpoint-{STEPS}")
    assert last.pruning.is_frozen
    assert torch.equal(trainer.model.classifier.weight, last.classifier.weight)
    assert not torch.equal(
        trainer.model.classifier.weight, masks.load_masked(tmp_path / "checkpoint-2").classifier.weight
    )
    assert logged(trainer, "sparsity")[-1] == pytest.approx(0.5, abs=0.005)
