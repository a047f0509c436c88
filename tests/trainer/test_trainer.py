"""The trainer: what it trains and logs, and how it keeps to Trainer's interface."""

import inspect

import pytest
import torch
from transformers import (
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from tests.helpers.training import PRUNE, Rows, arguments, logged, make_trainer, new_model
from trainer_ext import DistillPruneMixin, DistillPruneTrainer, DistillPruneTrainingArguments
from trainer_ext.distillation.trainer_mixin import LossMixin
from trainer_ext.hub.trainer_mixin import HubMixin
from trainer_ext.utils.compat import TRANSFORMERS


class StateBefore(TrainerCallback):
    """Keeps the parameters as they are after a step."""

    def __init__(self, step):
        self.step, self.parameters = step, None

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.step:
            self.parameters = {name: p.detach().clone() for name, p in model.named_parameters()}


# What is trained


@pytest.mark.parametrize("fields", [{}, {"distill_teacher": "self"}, {"max_grad_norm": 0.01}], ids=str)
def test_every_parameter_moves_scores_too(tmp_path, fields):
    keeper = StateBefore(step=9)
    trainer = make_trainer(tmp_path, **PRUNE, **fields, prune_start=0.0, prune_end=1.0, callbacks=[keeper])
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    assert [name for name in before if torch.equal(before[name], keeper.parameters[name])] == []
    assert {"pruning.attention.scores", "pruning.ffn.scores"} <= before.keys()


def test_frozen_parameters_do_not_move(tmp_path):
    """The control, and what a user who freezes the embeddings expects."""
    model, keeper = new_model(), StateBefore(step=9)
    model.bert.embeddings.requires_grad_(False)
    trainer = make_trainer(tmp_path, model=model, **PRUNE, prune_end=1.0, callbacks=[keeper])
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    still = {name for name in before if torch.equal(before[name], keeper.parameters[name])}
    assert still == {name for name in before if "embeddings" in name}


def test_scores_have_their_own_learning_rate_and_no_weight_decay(tmp_path):
    trainer = make_trainer(tmp_path, **PRUNE, weight_decay=0.1, prune_score_lr=0.5)
    groups = trainer.create_optimizer().param_groups
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    owned = [[names[id(p)] for p in group["params"]] for group in groups]
    everything = [name for group in owned for name in group]
    assert sorted(everything) == sorted(names.values())  # none lost, none twice
    assert owned[-1] == ["pruning.attention.scores", "pruning.ffn.scores"]
    assert (groups[-1]["lr"], groups[-1]["weight_decay"]) == (0.5, 0.0)
    assert [group["lr"] for group in groups[:-1]] == [1e-3, 1e-3]
    assert [group["weight_decay"] for group in groups[:-1]] == [0.1, 0.0]
    for name, decayed in (("bert.encoder.layer.0.attention.self.query.parametrizations.weight.original", True),):
        assert (name in owned[0]) is decayed
    assert trainer.create_optimizer() is trainer.optimizer
    assert len(trainer.optimizer.param_groups) == 3


@pytest.mark.parametrize("fields", [{"prune_method": "magnitude"}, {"prune_method": "none"}], ids=str)
def test_without_learned_scores_the_groups_are_those_of_trainer(tmp_path, fields):
    trainer = make_trainer(tmp_path, **{**PRUNE, **fields})
    assert len(trainer.create_optimizer().param_groups) == 2


def test_gradient_clipping_bounds_the_scores_too(tmp_path):
    norms = {}
    for bound in (0.0, 0.01):
        trainer = make_trainer(tmp_path, **PRUNE, optim="sgd", prune_score_lr=1.0, max_grad_norm=bound, max_steps=1)
        scores = trainer.model.pruning.ffn.scores
        trainer.train()
        norms[bound] = scores.detach().norm().item()
    assert 0 < norms[0.01] <= 0.0101 < norms[0.0]


# What is logged


def test_logs_hold_each_term_while_it_is_on(tmp_path):
    terms = {"loss_task", "loss_distill", "sparsity"}
    for fields, expected in (
        ({}, set()),
        (PRUNE, {"sparsity"}),
        ({"distill_teacher": "self"}, {"loss_task", "loss_distill"}),
        ({**PRUNE, "distill_teacher": "self"}, terms),
    ):
        trainer = make_trainer(tmp_path, **fields, eval_strategy="steps", eval_steps=5)
        trainer.train()
        for entry in trainer.state.log_history:
            assert terms & entry.keys() == (expected if "loss" in entry else set())


@pytest.mark.parametrize("fields", [{}, {"gradient_accumulation_steps": 2, "logging_steps": 3}], ids=str)
def test_the_logged_loss_is_made_of_the_logged_terms(tmp_path, fields):
    trainer = make_trainer(tmp_path, **PRUNE, distill_teacher="self", distill_alpha=0.7, rows=26, **fields)
    trainer.train()
    task, distill, loss = (logged(trainer, name) for name in ("loss_task", "loss_distill", "loss"))
    assert loss == pytest.approx([0.3 * t + 0.7 * d for t, d in zip(task, distill, strict=True)], rel=1e-5)
    assert loss != pytest.approx([0.7 * t + 0.3 * d for t, d in zip(task, distill, strict=True)], rel=1e-2)


def test_a_second_run_does_not_log_what_the_first_left(tmp_path):
    """Steps after the last log of a run belong to no log, as in Trainer."""
    fields = {"distill_teacher": "self", "logging_steps": 4, "max_steps": 6, "learning_rate": 1e-2}
    trainer = make_trainer(tmp_path, **fields)
    for _ in range(2):
        trainer.train()
        entry = trainer.state.log_history[0]
        assert entry["loss"] == pytest.approx(0.1 * entry["loss_task"] + 0.9 * entry["loss_distill"], rel=1e-5)


def test_sparsity_rises_from_zero_to_the_request(tmp_path):
    trainer = make_trainer(tmp_path, **PRUNE, max_steps=20)
    trainer.train()
    values = logged(trainer, "sparsity")
    assert values == sorted(values)
    assert values[:3] == [0, 0, 0]
    assert values[-1] == pytest.approx(0.5, abs=0.005)
    assert len(set(values)) > 5


@pytest.mark.parametrize("fields", [{}, {"label_smoothing_factor": 0.1}], ids=str)
def test_eval_loss_is_the_task_loss(tmp_path, fields):
    ours = make_trainer(tmp_path, distill_teacher="self", distill_alpha=1.0, **fields)
    stock = make_trainer(tmp_path, Trainer, args_class=TrainingArguments, **fields)
    assert ours.evaluate()["eval_loss"] == stock.evaluate()["eval_loss"]
    ours.train()
    assert logged(ours, "loss")[0] < 0.5 * ours.evaluate()["eval_loss"]  # the control: training adds another term


# The shape of the class


def test_overrides_keep_the_signatures_of_trainer():
    for name in (
        "train",
        "log",
        "create_optimizer",
        "call_model_init",
        "_save",
        "_push_from_checkpoint",
        "push_to_hub",
        "create_model_card",
    ):
        ours, stock = (inspect.signature(getattr(cls, name)) for cls in (DistillPruneTrainer, Trainer))
        newer = {"private"} if TRANSFORMERS < (5, 23) else set()  # of push_to_hub
        assert [(p.name, p.default, p.kind) for p in ours.parameters.values() if p.name not in newer] == [
            (p.name, p.default, p.kind) for p in stock.parameters.values()
        ]


def test_private_methods_of_trainer_are_left_alone():
    ours = set(vars(HubMixin)) | set(vars(LossMixin)) | set(vars(DistillPruneMixin)) | set(vars(DistillPruneTrainer))
    private = {name for name in ours if name.startswith("_") and not name.startswith("__")}
    assert private & set(dir(Trainer)) == {"_save", "_push_from_checkpoint"}


def test_positional_arguments_are_those_of_trainer(tmp_path):
    rows, args = Rows(8), arguments(tmp_path, DistillPruneTrainingArguments)
    trainer = DistillPruneTrainer(new_model(), args, None, rows, rows)
    assert trainer.train_dataset is trainer.eval_dataset is rows
