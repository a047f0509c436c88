"""Speed closing: what was measured for a structure is kept for that structure, and for no other."""

import copy
import json

import pytest
import torch

from tests.helpers.training import PRUNE, arguments, new_model
from trainer_ext.pruning import latency_table
from trainer_ext.pruning.prepare import prepare_model

SPEED = {
    **PRUNE,
    "prune_speedup": 1.05,
    "prune_latency_batch_size": 4,
    "prune_latency_length": 32,
}


def correction_of(model):
    return model.config.pruning["latency"]["table"]["correction"]


def scrambled(model, seed):
    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for group in other.pruning.groups.values():
            group.scores.copy_(torch.randn(group.scores.shape, generator=generator))
    return other


@pytest.fixture
def student(tmp_path):
    args = arguments(tmp_path, **SPEED)
    return prepare_model(new_model(hidden_size=64, intermediate_size=1024, num_hidden_layers=3), args), args


def test_a_resumed_run_finds_the_same_structure(student, tmp_path):
    model, args = student
    first, state = scrambled(model, 0), torch.get_rng_state()
    latency_table.recalibrate_and_freeze(first, args)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.pruning.is_frozen
    file = tmp_path / latency_table.CORRECTION_FILE
    kept = json.loads(file.read_text())
    assert kept["correction"] == correction_of(first)
    file.write_text(json.dumps(kept | {"correction": 0.5}))  # the control: a number that no clock gave, easy to meet
    again, other = scrambled(model, 0), scrambled(model, 1)
    latency_table.recalibrate_and_freeze(again, args)
    assert correction_of(again) == 0.5
    latency_table.recalibrate_and_freeze(other, args)
    assert correction_of(other) != 0.5
    assert json.loads(file.read_text())["key"] != kept["key"]


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"key": 1}'])
def test_a_broken_file_is_measured_again(student, tmp_path, broken):
    model, args = student
    (tmp_path / latency_table.CORRECTION_FILE).write_text(broken)
    model = scrambled(model, 0)
    latency_table.recalibrate_and_freeze(model, args)
    assert json.loads((tmp_path / latency_table.CORRECTION_FILE).read_text())["correction"] == correction_of(model)


def test_without_a_speed_nothing_is_timed(tmp_path):
    args = arguments(tmp_path, **PRUNE)
    model = prepare_model(new_model(), args)
    latency_table.recalibrate_and_freeze(model, args)
    assert model.pruning.is_frozen
    assert not (tmp_path / latency_table.CORRECTION_FILE).exists()
