"""Versions: what older releases lack is made up for, and what a user asked for is never dropped."""

import inspect
from types import SimpleNamespace

import pytest
import torch
from transformers import Trainer

from tests.helpers.training import PRUNE, Rows, logged, make_trainer, new_model
from trainer_ext import DistillPruneTrainer
from trainer_ext.utils import compat

SGD = {"optim": "sgd", "learning_rate": 0.1, "prune_score_lr": 1.0, "max_grad_norm": 0.0, "max_steps": 4}


class DividesAnyLoss(DistillPruneTrainer):
    """What a Trainer before transformers 5.19 does: it does not ask whether the loss is scaled."""

    loss_is_scaled_for_ga = property(lambda self: False, lambda self, value: None)


def weights_after(folder, trainer_class, micro_batch, steps, **fields):
    """Train without dropout; return the logged losses and the weights."""
    batch = {"per_device_train_batch_size": micro_batch, "gradient_accumulation_steps": steps}
    teacher = {"teacher": new_model(seed=1, dropout=0.0)} if "distill_alpha" in fields else {}
    trainer = make_trainer(
        folder, trainer_class, rows=Rows(24), model=new_model(dropout=0.0), **{**SGD, **batch, **fields}, **teacher
    )
    trainer.train()
    return logged(trainer, "loss"), trainer.model.state_dict()


@pytest.mark.parametrize("fields", [PRUNE, {"distill_alpha": 0.5}], ids=["pruned", "distilled"])
def test_no_trainer_divides_a_scaled_loss_once_more(tmp_path, fields):
    expected, weights = weights_after(tmp_path / "whole", DistillPruneTrainer, 8, 1, **fields)
    losses, found = weights_after(tmp_path / "split", DividesAnyLoss, 2, 4, **fields)
    assert losses == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(found, weights, atol=1e-6, rtol=1e-4)


def test_a_loss_that_is_not_ours_is_divided_as_ever(tmp_path):
    trainer = make_trainer(tmp_path, DistillPruneTrainer, rows=Rows(8))
    trainer.current_gradient_accumulation_steps = 4
    assert trainer.current_gradient_accumulation_steps == 4
    trainer._mark_loss_as_scaled(True)
    assert trainer.current_gradient_accumulation_steps == 1
    trainer._mark_loss_as_scaled(False)
    assert trainer.current_gradient_accumulation_steps == 4


def test_trainer_reads_the_number_of_micro_batches_only_to_divide():
    """What `ScaledLossMixin` relies on: one line sets it, one divides by it."""
    lines = [line.strip() for line in inspect.getsource(inspect.getmodule(Trainer)).splitlines()]
    uses = [line for line in lines if "self.current_gradient_accumulation_steps" in line]
    assert uses == [
        "self.current_gradient_accumulation_steps = len(batch_samples)",
        "loss = loss / self.current_gradient_accumulation_steps",
    ]


@pytest.mark.parametrize("version", [(5, 10, 2), (5, 22, 2), (5, 23, 0)])
@pytest.mark.parametrize("wish", [True, False])
def test_the_wish_for_a_private_repository_reaches_every_trainer(monkeypatch, version, wish):
    monkeypatch.setattr(compat, "TRANSFORMERS", version)
    args = SimpleNamespace(hub_private_repo=None)
    trainer = SimpleNamespace(args=args)
    with compat.private_repository(trainer, wish) as known:
        assert trainer.args.hub_private_repo is wish
        assert known == ({"private": wish} if version >= (5, 23) else {})
    assert trainer.args is args
    assert args.hub_private_repo is None


def test_without_a_wish_the_arguments_decide():
    trainer = SimpleNamespace(args=SimpleNamespace(hub_private_repo=True))
    with compat.private_repository(trainer, None):
        assert trainer.args.hub_private_repo is True


@pytest.mark.parametrize(("avx512", "amx"), [(True, False), (False, True), (False, False)])
def test_bf16_of_the_processor_is_known_before_torch_2_11(monkeypatch, avx512, amx):
    monkeypatch.setattr(compat, "TELLS_CAPABILITIES", False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert compat.cpu_has_bf16() is (avx512 or amx)


def test_this_processor_is_the_same_by_both_ways(monkeypatch):
    found = compat.cpu_has_bf16()
    monkeypatch.setattr(compat, "TELLS_CAPABILITIES", False)
    assert compat.cpu_has_bf16() is found
