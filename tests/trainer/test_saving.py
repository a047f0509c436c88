"""What scripts save by themselves opens with from_pretrained: during the ramp, and after it from a variable of theirs."""

import logging

import pytest
import torch
from transformers import AutoModelForSequenceClassification, TrainerCallback

from tests.helpers.training import PRUNE, Rows, differing, make_trainer, new_model
from trainer_ext import load_masked, merged_copy
from trainer_ext.models.outputs import logits, synthetic_batch


class SaveBest(TrainerCallback):
    """As in many scripts: saves whatever it is given, and remembers what that answered."""

    def __init__(self, folder):
        self.folder, self.answers = folder, {}

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        model.save_pretrained(self.folder / f"step-{state.global_step}")
        self.answers[state.global_step] = logits(model, synthetic_batch(model))


@pytest.fixture(scope="module", params=[{}, {"distill_hidden": 1.0}], ids=["alone", "projection"])
def run(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("saving")
    model = new_model(dropout=0.0)
    saver = SaveBest(folder)
    fields = {**PRUNE, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    teacher = new_model(seed=1, hidden_size=48)
    trainer = make_trainer(folder, model=model, teacher=teacher, callbacks=[saver], **fields, **request.param)
    trainer.train()
    return folder, model, trainer, saver


@pytest.mark.parametrize("step", [2, 4, 6, 8, 10])
def test_save_best_callback_writes_what_it_evaluated(run, step):
    folder, _, _, saver = run
    opened, info = AutoModelForSequenceClassification.from_pretrained(
        folder / f"step-{step}", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not hasattr(opened.config, "pruning")
    assert torch.allclose(logits(opened, synthetic_batch(opened)), saver.answers[step], atol=1e-5)
    zeros = sum(
        (p == 0).all(-1).sum().item()
        for name, p in opened.named_parameters()
        if name.endswith("intermediate.dense.weight")
    )
    assert (zeros > 0) is (step > 2)  # some units are closed then


def test_checkpoints_keep_their_masks(run):
    folder, *_ = run
    for step in (4, 10):
        assert load_masked(folder / f"checkpoint-{step}").pruning.is_frozen is (step == 10)


def test_model_variable_of_the_script_is_named_when_it_is_saved(run, caplog):
    folder, model, trainer, _ = run
    assert model is not trainer.model
    with caplog.at_level(logging.WARNING):
        model.save_pretrained(folder / "variable")
    assert "is not the small one: that is trainer.model" in caplog.text
    caplog.clear()
    trainer.model.save_pretrained(folder / "small")
    trainer.save_model(folder / "saved")
    assert caplog.text == ""
    opened = [AutoModelForSequenceClassification.from_pretrained(folder / name) for name in ("small", "saved")]
    assert differing(opened[0].state_dict(), opened[1].state_dict()) == []


def test_model_whose_layers_were_dropped_is_named_too(tmp_path, caplog):
    model = new_model()
    trainer = make_trainer(tmp_path, model=model, prune_layers=1, max_steps=1)
    trainer.train()
    with caplog.at_level(logging.WARNING):
        model.save_pretrained(tmp_path / "variable")
    assert "is not the small one" in caplog.text


def test_next_trainer_of_the_same_model_saves_it_as_ever(tmp_path, caplog):
    model = new_model()
    make_trainer(tmp_path / "a", model=model, **PRUNE).train()
    again = make_trainer(tmp_path / "b", model=model, max_steps=1)
    again.train()
    with caplog.at_level(logging.WARNING):
        model.save_pretrained(tmp_path / "dense")
    assert caplog.text == ""


def test_save_model_before_the_end_writes_a_plain_model(tmp_path):
    trainer = make_trainer(tmp_path, model=new_model(dropout=0.0), **PRUNE)
    trainer.save_model(tmp_path / "early")
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "early")
    assert differing(opened.state_dict(), new_model(dropout=0.0).state_dict()) == []


def test_merged_copy_leaves_the_model_alone():
    trainer = make_trainer("unused", model=new_model(dropout=0.0), **PRUNE)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    plain = merged_copy(trainer.model)
    assert not hasattr(plain, "pruning")
    assert "save_pretrained" not in vars(plain)
    assert differing(before, trainer.model.state_dict()) == []
    batch = trainer.data_collator([Rows(4)[index] for index in range(4)])
    assert torch.equal(plain.eval()(**batch).logits, trainer.model.eval()(**batch).logits)
