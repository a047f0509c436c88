"""Strategies that split parameters are refused before anything is built; those that do not are let through."""

from types import SimpleNamespace

import pytest
from training import PRUNE, arguments, new_model
from transformers import Trainer, TrainingArguments

from trainer_ext import DistillPruneTrainer
from trainer_ext.sharding import check_whole_parameters

ASKED = {"pruning": PRUNE, "teacher": {"distill_teacher": "self"}, "both": {**PRUNE, "distill_teacher": "self"}}


class ReachedTrainerError(Exception):
    """Trainer has begun: nothing of ours refused."""


@pytest.fixture(autouse=True)
def _no_accelerator(monkeypatch):
    """Stop where Trainer would make its accelerator, which keeps a strategy for the rest of the process."""

    def stop(self):
        raise ReachedTrainerError

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", stop)


def zero(stage, folder, args_class=None, **fields):
    """Arguments as `TrainingArguments(deepspeed=...)` leaves them, which needs the package of that name."""
    args = arguments(folder, args_class, **fields) if args_class else arguments(folder, **fields)
    args.deepspeed_plugin = SimpleNamespace(zero_stage=stage)
    return args


@pytest.mark.parametrize("fields", ASKED.values(), ids=ASKED)
def test_fsdp_is_refused_before_the_model_is_touched(tmp_path, fields):
    model = new_model()
    with pytest.raises(ValueError, match="do not work with FSDP: it splits the weights.*torchrun") as refusal:
        DistillPruneTrainer(model, arguments(tmp_path, **fields, fsdp=True))
    assert "\n" not in str(refusal.value)
    assert not hasattr(model, "pruning")


def test_fsdp_that_accelerate_launch_chose_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="do not work with FSDP"):
        DistillPruneTrainer(new_model(), arguments(tmp_path, **PRUNE))
    with pytest.raises(ValueError, match="do not work with FSDP"):
        DistillPruneTrainer(new_model(), teacher=new_model(seed=1))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    with pytest.raises(ReachedTrainerError):
        DistillPruneTrainer(new_model(), arguments(tmp_path, **PRUNE))


@pytest.mark.parametrize("fields", ASKED.values(), ids=ASKED)
def test_zero_3_is_refused_and_lower_stages_are_not(tmp_path, fields):
    with pytest.raises(ValueError, match="do not work with DeepSpeed ZeRO-3.*zero_optimization.stage to 2"):
        DistillPruneTrainer(new_model(), zero(3, tmp_path, **fields))
    for stage in (0, 1, 2):
        with pytest.raises(ReachedTrainerError):
            DistillPruneTrainer(new_model(), zero(stage, tmp_path, **fields))


@pytest.mark.parametrize("fields", [{"fsdp": True}, {}], ids=["fsdp", "zero 3"])
def test_who_asks_for_no_compression_is_left_to_trainer(tmp_path, fields):
    for args_class in (TrainingArguments, type(arguments(tmp_path))):
        args = arguments(tmp_path, args_class, **fields) if fields else zero(3, tmp_path, args_class)
        with pytest.raises(ReachedTrainerError):
            DistillPruneTrainer(new_model(), args)


def test_a_model_from_model_init_is_refused_too(tmp_path):
    def never():
        raise AssertionError("the refusal comes first")

    with pytest.raises(ValueError, match="do not work with FSDP"):
        DistillPruneTrainer(None, arguments(tmp_path, **PRUNE, fsdp=True), model_init=never)


def test_without_a_strategy_nothing_is_refused(tmp_path):
    check_whole_parameters(None)
    check_whole_parameters(arguments(tmp_path, TrainingArguments))
