"""Precision: fp16 stays on an accelerator; on a processor it becomes bf16 or fp32, with one warning."""

from types import SimpleNamespace

import pytest
import torch

from tests.helpers.training import PRUNE, arguments, logged, make_trainer, new_model
from trainer_ext import training_args
from trainer_ext.training_args import resolve_fp16
from trainer_ext.utils import compat
from trainer_ext.utils.compat import cpu_has_bf16


@pytest.fixture(autouse=True)
def nothing_said_yet():
    """The warning comes once in a process; here once in a test."""
    training_args._warn_once.cache_clear()


@pytest.fixture
def processor(monkeypatch):
    """Pretend a processor with or without bf16 arithmetic."""

    def pretend(**capabilities):
        monkeypatch.setattr(compat, "TELLS_CAPABILITIES", True)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return pretend


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_fp16_on_a_processor_with_bf16_becomes_bf16(tmp_path, caplog, processor, name):
    processor(avx2=True, **{name: True})
    args = arguments(tmp_path, fp16=True)
    arguments(tmp_path, fp16=True)  # said once, however many arguments are built
    assert (args.fp16, args.bf16, args.use_cpu) == (False, True, True)
    assert [record.name for record in caplog.records] == ["trainer_ext.training_args"]
    assert "bf16 autocast" in caplog.text


def test_fp16_on_a_processor_without_bf16_becomes_fp32(tmp_path, caplog, processor):
    processor(avx2=True, avx512_bf16=False)
    args = arguments(tmp_path, fp16=True)
    assert (args.fp16, args.bf16) == (False, False)
    assert [record.name for record in caplog.records] == ["trainer_ext.training_args"]
    assert "fp32" in caplog.text


@pytest.mark.parametrize("has_bf16", [True, False])
def test_nothing_changes_and_nothing_is_said_without_fp16(tmp_path, caplog, processor, has_bf16):
    processor(avx512_bf16=has_bf16)
    args = arguments(tmp_path)
    assert (args.fp16, args.bf16) == (False, False)
    assert caplog.records == []


@pytest.mark.parametrize(("use_cpu", "left_alone"), [(False, True), (True, False)])
def test_an_accelerator_keeps_fp16_unless_the_processor_is_asked_for(
    monkeypatch, caplog, processor, use_cpu, left_alone
):
    processor(avx512_bf16=True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    args = SimpleNamespace(fp16=True, bf16=False, use_cpu=use_cpu)
    resolve_fp16(args)
    assert vars(args) == {"fp16": left_alone, "bf16": not left_alone, "use_cpu": use_cpu}
    assert bool(caplog.records) is not left_alone


@pytest.mark.parametrize("capabilities", [{}, {"amx_bf16": False}, {"avx512_f": True, "amx_fp16": True}])
def test_other_capabilities_are_not_bf16(processor, capabilities):
    processor(**capabilities)
    assert not cpu_has_bf16()


@pytest.mark.parametrize("fields", [{"bf16": True}, {"fp16": True}], ids=str)
def test_a_half_precision_run_computes_in_bf16_and_shrinks(tmp_path, processor, fields):
    processor(avx512_bf16=True)
    losses = {}
    for name, chosen in (("fp32", {}), ("half", fields)):
        trainer = make_trainer(tmp_path, **PRUNE, **chosen, distill_teacher="self")
        trainer.train()
        losses[name] = logged(trainer, "loss")
        assert trainer.compression.masked_vs_shrunk <= 1e-5
        assert trainer.model.dtype == torch.float32
    assert losses["half"] != losses["fp32"]  # the control: autocast was on
    assert losses["half"][:2] == pytest.approx(losses["fp32"][:2], rel=0.02)  # before the first mask


def test_a_model_in_bf16_is_shrunk_and_stays_in_bf16(tmp_path):
    """Equality is proved in fp32: in bf16 another order of sums alone moves these logits by 5e-3."""
    model = new_model(hidden_size=384, intermediate_size=1536, num_hidden_layers=6, initializer_range=0.1)
    trainer = make_trainer(tmp_path, model=model.to(torch.bfloat16), max_steps=2, **PRUNE)
    trainer.train()
    assert trainer.compression.masked_vs_shrunk <= 1e-5
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.bfloat16}
