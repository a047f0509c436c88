"""The gate before the hours: each check finds a fault that gets through without it, and a passed gate leaves no trace."""

import random
import re
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, TrainingArguments

from tests.helpers.commands import assert_same_weights, recipe_fields, run_command, write_csv, write_recipe, write_task
from tests.helpers.metering import fake_codecarbon
from tests.inputs.ground import listing
from trainer_ext.errors import InputError
from trainer_ext.pipeline import compress as compressing, gate
from trainer_ext.pipeline.compress import compress, try_before_training
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.report.run_directory import RunDirectory

NAMES = [check.name for check in gate.CHECKS]
METRIC = """
import datasets
import evaluate

class Metric(evaluate.Metric):
    def _info(self):
        both = {"predictions": datasets.Value("int32"), "references": datasets.Value("int32")}
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=datasets.Features(both))

    def _compute(self, predictions, references):
        raise ValueError("this metric is for two classes")
"""


class Fault:
    """Where a fault is put: a fine-tuned model with its data, and a recipe for them."""

    def __init__(self, root, finished, monkeypatch):
        self.root, self.monkeypatch = root, monkeypatch
        write_task(root / "data")
        shutil.copytree(finished / "baseline", root / "model")
        self.changes = {"model_name_or_path": str(root / "model"), "num_train_epochs": 1, "save_strategy": "no"}

    def recipe(self):
        fields = recipe_fields(self.root / "data", self.root / "out" / "run", **self.changes)
        fields.pop("save_steps")
        return write_recipe(self.root / "recipe.yaml", fields)

    def weights(self, change):
        file = self.root / "model" / "model.safetensors"
        weights = load_file(file)
        change(weights)
        save_file(weights, file, {"format": "pt"})


def several_devices(fault):
    """The control, since every other run needs one device for its masks anyway."""
    fault.changes |= {"control": True, "prune_method": "none", "distill_teacher": None}
    fault.monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: 2))
    return "2 devices in one process"


def full_disk(fault):
    usage = types.SimpleNamespace(total=1, used=1, free=1000)
    fault.monkeypatch.setattr(gate.shutil, "disk_usage", lambda path: usage)
    return "has 0 MB left"


def metric_for_two_classes(fault):
    path = fault.root / "mine" / "mine.py"
    path.parent.mkdir()
    path.write_text(METRIC, encoding="utf-8")
    fault.changes |= {"metrics": [str(path.parent)], "trust_metric_code": True}
    return "this metric is for two classes"


def no_meter(fault):
    fake_codecarbon(fault.monkeypatch)

    def refuse(self):
        raise PermissionError("/sys/class/powercap is not readable")

    fault.monkeypatch.setattr(sys.modules["codecarbon"].OfflineEmissionsTracker, "start", refuse)
    fault.changes |= {"measure_energy": True, "energy_seconds": 10}
    return "measuring energy: /sys/class/powercap"


def target_out_of_reach(fault):
    fault.changes |= {"prune_ffn": "none", "prune_sparsity": 0.9}
    return "at most"


def endless_loss(fault):
    """Finite weights, and logits of which one is so far below the others that the loss of its class is infinite."""
    fault.weights(lambda weights: weights["classifier.bias"].copy_(torch.tensor([3e38, -3e38, -3e38])))
    fault.changes |= {"distill_teacher": None}
    return "the loss of a batch is inf"


def rounding_made_large(fault):
    """The pooler adds up numbers whose sum is zero but for rounding, and multiplies it; wide sums round in many ways."""
    config = AutoConfig.from_pretrained(fault.root / "model", intermediate_size=2000)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(fault.root / "model")

    def change(weights):
        weights["bert.pooler.dense.weight"].fill_(1e6)
        weights["classifier.weight"].fill_(1.0)
        for layer in (name for name in weights if "output.LayerNorm" in name):
            weights[layer].fill_(1.0 if layer.endswith("weight") else 0.0)

    fault.weights(change)
    return "shrinking: The shrunk model differs"


def no_python(fault):
    """As where Python is part of another program."""
    fault.monkeypatch.setattr(sys, "executable", "/nowhere/python")
    return "saving and opening again: .*/nowhere/python"


def broken_token(fault):
    """A word of the longest test text whose embedding is so large that the layer norm after it overflows."""
    tokenizer = AutoTokenizer.from_pretrained(fault.root / "model")
    rows = [("the mango of today again at last ]", "fruit"), ("more zinc", "metal")]
    write_csv(fault.root / "data" / "test.csv", rows)
    (token,) = set(tokenizer("]", add_special_tokens=False)["input_ids"])
    fault.weights(lambda weights: weights["bert.embeddings.word_embeddings.weight"][token].fill_(3e38))
    return "answers to the longest test texts"


def too_many_texts(fault):
    fault.monkeypatch.setattr(gate, "available_memory", lambda: 50_000)
    fault.changes |= {"latency_batch_sizes": [1, 4096]}
    return "latency_batch_sizes has 4,096"


FAULTS = {
    "the number of devices": several_devices,
    "room on the disk": full_disk,
    "metrics": metric_for_two_classes,
    "measuring energy": no_meter,
    "masks and teachers": target_out_of_reach,
    "a training step": endless_loss,
    "shrinking": rounding_made_large,
    "saving and opening again": no_python,
    "answers to the longest test texts": broken_token,
    "latency": too_many_texts,
}


def test_every_check_has_a_fault():
    assert list(FAULTS) == NAMES


@pytest.fixture
def fault(tmp_path, finished_run, monkeypatch):
    return Fault(tmp_path, finished_run, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_each_check_finds_a_fault_that_gets_through_without_it(name, fault, monkeypatch, capsys):
    words = FAULTS[name](fault)
    recipe = fault.recipe()
    before = listing(fault.root)
    status, out, err = run_command(monkeypatch, capsys, "compress", recipe)
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1), err
    assert re.search(words, err)
    assert listing(fault.root) == before, "nothing was written"

    others = tuple(check for check in gate.CHECKS if check.name != name)
    monkeypatch.setattr(gate, "CHECKS", others)
    monkeypatch.setattr(compressing, "_train_baseline", reached)
    with pytest.raises(Reached):
        compress(read_recipe(recipe))


class Reached(Exception):
    """The training would start now."""


def reached(*args, **kwargs):
    raise Reached


def test_the_random_state_and_the_disk_are_as_before(fault):
    recipe, run = read_recipe(fault.recipe()), RunDirectory(fault.root / "out" / "run")
    make = compressing.open_baseline(recipe)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in make[0].state_dict().items()}
    before = listing(fault.root)
    model, tokenizer, data, _ = make
    encoded = compressing.tokenize(data, tokenizer, recipe.data)
    encodings = compressing.Encodings(encoded, encoded)

    def trainer(folder, dense, **changes):
        return compressing._trainer(folder, recipe, encodings, None, dense, tokenizer, **changes)

    passed = gate.pass_gate(recipe, run, data, model, tokenizer, encodings, None, trainer)
    assert passed.line.startswith("Tried on two batches: ")
    assert listing(fault.root) == before
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


@pytest.mark.slow
def test_a_run_is_the_same_to_the_bit_without_the_gate(fault, monkeypatch):
    fault.changes |= {"baseline_epochs": 1, "model_name_or_path": "scratch", "scratch_epochs": 2}
    _, first = compress(read_recipe(fault.recipe()))
    first.root.rename(fault.root / "first")
    monkeypatch.setattr(gate, "CHECKS", ())
    _, second = compress(read_recipe(fault.recipe()))
    assert_same_weights(fault.root / "first", second.root)


def test_a_resumed_run_is_not_tried_again(fault, monkeypatch):
    recipe, run = read_recipe(fault.recipe()), RunDirectory(fault.root / "out" / "run")
    console = Console(stderr=True)
    try_before_training(recipe, run, console=console)
    assert not run.baseline.exists()
    monkeypatch.setattr(compressing, "pass_gate", reached)
    monkeypatch.setattr(compressing, "_train_baseline", refuse)
    with pytest.raises(InputError, match="the training starts"):
        compress(recipe, resume=True)


def refuse(*args, **kwargs):
    raise InputError("the training starts")
