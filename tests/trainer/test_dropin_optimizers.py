"""Optimizers of the user's: the scores of the masks learn in them too, with their own learning rate and schedule."""

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, get_linear_schedule_with_warmup

from tests.helpers.training import PRUNE, arguments, differing, logged, make_trainer, new_model
from trainer_ext import DistillPruneTrainer, attach

STEPS = 10
FIELDS = {**PRUNE, "distill_teacher": "self", "max_steps": STEPS}


class Rates(TrainerCallback):
    """Writes down the learning rate of every group before every step, and where the scores were."""

    def __init__(self):
        self.rates, self.scores = [], []

    def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.rates.append([group["lr"] for group in optimizer.param_groups])
        self.scores.append(model.pruning.ffn.scores.detach().clone() if hasattr(model, "pruning") else None)


def run(folder, make, trainer_class=DistillPruneTrainer, **fields):
    """Train with what `make(parameters)` gives as optimizer and scheduler."""
    model, rates = new_model(), Rates()
    given = make(model.parameters())
    trainer = make_trainer(folder, trainer_class, model=model, optimizers=given, callbacks=[rates], **fields)
    trainer.train()
    return trainer, rates


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)


def warmed_up(parameters):
    optimizer = adamw(parameters)
    return optimizer, get_linear_schedule_with_warmup(optimizer, 2, STEPS)


@pytest.mark.parametrize("make", [lambda p: (adamw(p), None), warmed_up], ids=["optimizer", "with scheduler"])
def test_an_optimizer_of_the_users_is_the_one_of_the_arguments(tmp_path, make):
    """The same run, whether the optimizer is given or asked for: scores included."""
    trainer, rates = run(tmp_path, make, **FIELDS, prune_score_lr=0.03)
    warmup = {} if make is not warmed_up else {"warmup_steps": 2}
    asked, expected = run(tmp_path, lambda p: (None, None), **FIELDS, prune_score_lr=0.03, **warmup)
    assert logged(trainer, "loss") == pytest.approx(logged(asked, "loss"), rel=1e-6)
    assert (trainer.compression.heads, trainer.compression.neurons) == (
        asked.compression.heads,
        asked.compression.neurons,
    )
    for found, wanted in zip(rates.rates, expected.rates, strict=True):
        assert [found[0], found[-1]] == pytest.approx([wanted[0], wanted[-1]])
    for found, wanted in zip(rates.scores, expected.scores, strict=True):
        torch.testing.assert_close(found, wanted)
    assert not torch.equal(rates.scores[0], rates.scores[-1])  # the control: they learn


@pytest.mark.parametrize("make", [lambda p: (adamw(p), None), warmed_up], ids=["optimizer", "with scheduler"])
def test_the_map_to_a_wider_teacher_learns_in_it_too(tmp_path, make):
    fields = {**FIELDS, "distill_teacher": None, "distill_hidden": 1.0}
    runs = []
    for chosen in (make, lambda p: (None, None)):
        warmup = {"warmup_steps": 2} if make is warmed_up and chosen is not make else {}
        trainer, _ = run(tmp_path, chosen, teacher=new_model(seed=1, hidden_size=64), **fields, **warmup)
        runs.append(logged(trainer, "loss_hidden"))
    assert runs[0] == pytest.approx(runs[1], rel=1e-6)


def test_a_scheduler_that_cannot_take_one_more_group_is_refused(tmp_path):
    def cosine(parameters):
        optimizer = adamw(parameters)
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    with pytest.raises(ValueError, match="CosineAnnealingLR in `optimizers`.*lr_scheduler_type"):
        run(tmp_path, cosine, **FIELDS)
    trainer, _ = run(tmp_path, cosine, **{**FIELDS, "prune_method": "magnitude"})
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


SMALLER = {
    "pruned before": {"prune_method": "obs", "prune_sparsity": 0.5},
    "a layer fewer": {"prune_layers": 1, "distill_teacher": "self"},
    "trained further": {**FIELDS, "prune_recovery_epochs": 1},
}


@pytest.mark.parametrize("fields", SMALLER.values(), ids=SMALLER)
@pytest.mark.parametrize("make", [lambda p: (adamw(p), None), warmed_up], ids=["optimizer", "with scheduler"])
def test_a_smaller_model_is_trained_by_the_optimizer_of_the_users(tmp_path, make, fields):
    fields = {**fields, "max_steps": STEPS, "num_train_epochs": 1}
    trainer, rates = run(tmp_path, make, **fields)
    warmup = {} if make is not warmed_up else {"warmup_steps": 2}
    if "prune_recovery_epochs" in fields:  # the schedule given is as long as the main training
        trainer.state.log_history, rates.rates = trainer.state.log_history[:STEPS], rates.rates[:STEPS]
    asked, expected = run(tmp_path, lambda p: (None, None), **fields, **warmup)
    count = len(rates.rates)
    assert logged(trainer, "loss")[:STEPS] == pytest.approx(logged(asked, "loss")[:STEPS], rel=1e-6)
    for found, wanted in zip(rates.rates, expected.rates[:count], strict=True):
        assert found[0] == pytest.approx(wanted[0])


def test_the_groups_of_an_optimizer_stay_when_the_model_becomes_smaller(tmp_path):
    def two_rates(parameters):
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 1e-5}], momentum=0.5), None

    trainer, rates = run(tmp_path, two_rates, **SMALLER["pruned before"], max_steps=2, lr_scheduler_type="constant")
    assert rates.rates == [[0.1, 1e-5]] * 2
    groups = trainer.optimizer.param_groups
    (first,) = groups[0]["params"]
    assert first is next(trainer.model.parameters())
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in trainer.model.parameters()}
    assert groups[1]["momentum"] == 0.5


@pytest.mark.parametrize("fields", SMALLER.values(), ids=SMALLER)
def test_what_cannot_be_made_again_for_a_smaller_model_is_refused_before_the_training(tmp_path, fields):
    class Hungry(torch.optim.SGD):
        def __init__(self, parameters, lr, friend):
            super().__init__(parameters, lr=lr)

    def cosine(parameters):
        return (optimizer := adamw(parameters)), torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    for make, name in ((cosine, "CosineAnnealingLR"), (lambda p: (Hungry(p, 0.1, None), None), "Hungry")):
        model = new_model()
        with pytest.raises(ValueError, match=f"{name} there cannot be made again.*optimizer_cls_and_kwargs"):
            make_trainer(tmp_path, model=model, optimizers=make(model.parameters()), **fields)


def test_an_optimizer_that_knows_the_scores_keeps_its_groups(tmp_path):
    model = attach(new_model(), arguments(tmp_path, **PRUNE).pruning_spec)
    optimizer = adamw(model.parameters())
    trainer = make_trainer(tmp_path, model=model, optimizers=(optimizer, None), **PRUNE)
    assert len(trainer.create_optimizer().param_groups) == 1


def test_without_compression_it_is_trainers_run(tmp_path):
    ours, rates = run(tmp_path, warmed_up, max_steps=STEPS)
    stock, expected = run(tmp_path, warmed_up, Trainer, args_class=TrainingArguments, max_steps=STEPS)
    assert rates.rates == expected.rates
    assert differing(ours.model.state_dict(), stock.model.state_dict()) == []


def test_an_optimizer_class_gets_the_scores_as_a_group(tmp_path):
    rates, given = Rates(), (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9})
    fields = {**FIELDS, "prune_score_lr": 0.5, "lr_scheduler_type": "constant"}
    trainer = make_trainer(tmp_path, optimizer_cls_and_kwargs=given, callbacks=[rates], **fields)
    trainer.train()
    assert rates.rates == [[0.1, 0.1, 0.5]] * STEPS
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("name", ["adafactor", "rmsprop", "adagrad", "adamw_torch_fused"])
def test_other_optimizers_prune(tmp_path, name):
    trainer = make_trainer(tmp_path, **FIELDS, optim=name)
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert all(map(torch.isfinite, map(torch.tensor, logged(trainer, "loss"))))


def test_resuming_with_an_optimizer_and_scheduler_of_the_users(tmp_path):
    fields = {**FIELDS, "save_strategy": "steps", "save_steps": 3}
    whole, _ = run(tmp_path, warmed_up, **fields)
    model = new_model()
    resumed = make_trainer(tmp_path, model=model, optimizers=warmed_up(model.parameters()), **fields)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []
