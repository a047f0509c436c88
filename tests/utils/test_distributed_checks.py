"""Strategies and models in pieces are refused before anything is built; who asks for no compression is let through."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import ParallelismConfig
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import distribute_tensor
from transformers import Trainer, TrainingArguments

from tests.helpers.training import PRUNE, arguments, new_model
from trainer_ext import DistillPruneTrainer
from trainer_ext.utils.distributed import check_whole_model, check_whole_parameters

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


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("fields", ASKED.values(), ids=ASKED)
def test_deepspeed_is_refused_at_every_stage(tmp_path, fields, stage):
    with pytest.raises(
        ValueError, match="do not work with DeepSpeed: .* fp32. Leave out deepspeed.*torchrun"
    ) as refusal:
        DistillPruneTrainer(new_model(), zero(stage, tmp_path, **fields))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("ACCELERATE_USE_FSDP", "with FSDP: it splits the weights"),
        ("ACCELERATE_USE_DEEPSPEED", "with DeepSpeed: it splits the weights .ZeRO-3. or"),
        ("ACCELERATE_USE_MEGATRON_LM", "with Megatron-LM: it splits the weights"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "with parallelism_config: it splits the weights"),
    ],
)
def test_what_accelerate_launch_chose_is_refused(tmp_path, monkeypatch, variable, told):
    args = arguments(tmp_path, **PRUNE)  # before, or Trainer's arguments would look for the package
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ValueError, match=told):
        DistillPruneTrainer(new_model(), args)
    with pytest.raises(ValueError, match=told):
        DistillPruneTrainer(new_model(), teacher=new_model(seed=1))
    monkeypatch.setenv(variable, "false")
    with pytest.raises(ReachedTrainerError):
        DistillPruneTrainer(new_model(), args)


def test_a_parallelism_configuration_is_refused(tmp_path):
    args = arguments(tmp_path, **PRUNE)
    args.parallelism_config = ParallelismConfig(tp_size=2)
    with pytest.raises(ValueError, match="with parallelism_config: it splits.*Leave out parallelism_config"):
        DistillPruneTrainer(new_model(), args)


def test_a_model_in_pieces_is_refused(tmp_path):
    model = new_model()
    for map_, fine in (({"": "cpu"}, True), ({"bert": 0, "classifier": "cpu"}, False)):
        model.hf_device_map = map_
        with pytest.raises(ReachedTrainerError if fine else ValueError, match=None if fine else "on 0, cpu: load it"):
            DistillPruneTrainer(model, arguments(tmp_path, **PRUNE))
        model = new_model()


def test_a_model_with_a_part_of_each_weight_is_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = new_model()
        check_whole_model(model)
        classifier = model.classifier
        classifier.weight = torch.nn.Parameter(distribute_tensor(classifier.weight, init_device_mesh("cpu", (1,))))
        with pytest.raises(ValueError, match="loaded with tp_plan, tp_size or distributed_config: it splits"):
            DistillPruneTrainer(model, arguments(tmp_path, **PRUNE))
    finally:
        torch.distributed.destroy_process_group()


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
