"""Closing layer by layer: against brute force, on every architecture, and where it cannot be done."""

import copy

import pytest
import torch

from tests.helpers.tiny_models import build
from tests.pruning.test_one_shot import Tokens, distance, texts
from trainer_ext.models.architectures import ARCHITECTURES, find_encoder, layers_of
from trainer_ext.pruning import closing
from trainer_ext.pruning.calibration import collect, encode, matrices_of
from trainer_ext.pruning.closing import Products, close, close_in_turn, correction
from trainer_ext.pruning.second_order import with_bias
from trainer_ext.pruning.selection import Structure

HALF = Structure([[0, 1, 2], [1, 2, 3]], [list(range(32)), list(range(16, 48))])  # of the tiny models
SHARED = {"albert"}  # one layer, run several times


@pytest.fixture(scope="module")
def batches():
    return encode(texts(), Tokens(), max_length=None, batch_size=32)


def structure_for(model):
    count = len(layers_of(model))
    return Structure(HALF.heads[:count], HALF.neurons[:count])


def both(dense, batches, structure):
    """Return copies that are closed matrix by matrix and layer by layer, and whether the second could be."""
    statistics = collect(dense, batches, matrices_of(layers_of(dense)))
    apart, in_turn = copy.deepcopy(dense), copy.deepcopy(dense)
    close(layers_of(apart), statistics, structure)
    return apart, in_turn, close_in_turn(in_turn, batches, statistics, structure)


def change_of_states(model, dense):
    """The mean squared change of the last hidden states on texts that nothing was fitted to."""
    batch = Tokens()(texts(64, seed=1))
    with torch.no_grad():
        states = [find_encoder(each)[1](**batch).last_hidden_state for each in (model, dense)]
    return (states[0] - states[1])[batch["attention_mask"].bool()].square().mean().item()


def weights_of(model):
    return [with_bias(matrix.weight, matrix.bias) for matrix in matrices_of(layers_of(model))]


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_in_turn_is_closer_to_the_dense_model_on_other_texts(model_type, batches):
    dense = build(model_type)
    apart, in_turn, done = both(dense, batches, structure_for(dense))
    assert done == (model_type not in SHARED)
    if done:
        assert change_of_states(in_turn, dense) < 0.97 * change_of_states(apart, dense)
    else:
        assert all(torch.equal(*pair) for pair in zip(weights_of(apart), weights_of(in_turn), strict=True))


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_what_goes_stays_closed(model_type, batches):
    dense = build(model_type)
    structure = structure_for(dense)
    in_turn = both(dense, batches, structure)[1]
    for index, matrix in enumerate(matrices_of(layers_of(in_turn))):
        columns = closing._columns(layers_of(in_turn), structure, index)
        gone = sorted(set(range(matrix.in_features)) - set(columns))
        assert gone
        assert not matrix.weight[:, gone].any()


def test_nothing_changes_if_nothing_goes(batches):
    dense = build("bert")
    whole = Structure([list(range(4))] * 2, [list(range(64))] * 2)
    in_turn = both(dense, batches, whole)[1]
    assert distance(in_turn, dense) < 1e-6


def test_the_stream_of_the_small_model_is_fitted_to_that_of_the_dense_one(batches, monkeypatch):
    """Without a penalty no change of the last matrix can bring the stream closer on these texts."""
    monkeypatch.setattr(closing, "PENALTIES", (1e-9,))
    dense = build("modernbert", mlp_bias=True)  # the stream is the input of the last norm
    in_turn = both(dense, batches, structure_for(dense))[1]
    matrix = matrices_of(layers_of(in_turn))[-1]
    inputs, streams = [], {}
    handle = matrix.linear.register_forward_hook(lambda module, given, output: inputs.append(given[0]))
    for name, model in (("dense", dense), ("small", in_turn)):
        streams[name] = []
        model.model.final_norm.register_forward_pre_hook(
            lambda module, given, name=name: streams[name].append(given[0])
        )
    chosen = [batch["attention_mask"].bool() for batch in batches]
    with torch.no_grad():
        for batch in batches:
            dense(**batch)
            in_turn(**batch)
    handle.remove()
    x = torch.cat([values[mask] for values, mask in zip(inputs, chosen, strict=True)]).double()
    ids = HALF.neurons[len(layers_of(dense)) - 1]
    x = torch.cat([x[:, ids], torch.ones(len(x), 1)], 1)
    dense_stream, stream = (
        torch.cat([values[mask] for values, mask in zip(streams[name], chosen, strict=True)]).double()
        for name in ("dense", "small")
    )
    left = dense_stream - stream
    better = torch.linalg.lstsq(x, left).solution
    assert left.square().sum() > 1.0
    assert (left - x @ better).square().sum() == pytest.approx(left.square().sum().item(), rel=1e-3)


def products_of(inputs, errors):
    matrix = Products(torch.zeros(7, 7), torch.zeros(3, 7))
    matrix.add(inputs, errors)
    return matrix


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_correction_is_the_least_squares_fit_of_the_columns_that_stay(has_bias, monkeypatch):
    monkeypatch.setattr(closing, "PENALTIES", (1e-9,))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 6, generator=generator) + 0.5
    errors = inputs @ torch.randn(6, 3, generator=generator) + 1.0
    whole, kept = products_of(inputs, errors), [0, 2, 3]
    found = correction(whole, whole, kept, has_bias=has_bias)
    used = torch.cat([inputs[:, kept], torch.ones(300, int(has_bias))], 1)
    expected = torch.linalg.lstsq(used, errors).solution.T.double()
    assert torch.allclose(found[:, kept + [6] * has_bias], expected, atol=1e-4)
    assert not found[:, [1, 4, 5] + [6] * (not has_bias)].any()


def test_what_does_not_help_on_other_rows_is_not_used():
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(40, size, generator=generator) for size in (6, 3, 6, 3)]
    noise, other = products_of(*draw[:2]), products_of(*draw[2:])
    assert correction(noise, noise, range(6), has_bias=True).any()
    assert not correction(noise, other, range(6), has_bias=True).any()
    assert not correction(noise, noise, [], has_bias=False).any()


def test_one_repeated_text_gives_numbers(batches):
    dense = build("bert")
    in_turn = both(dense, encode(["5 6 7 8"] * 16, Tokens(), max_length=None, batch_size=4), structure_for(dense))[1]
    assert all(weight.isfinite().all() for weight in weights_of(in_turn))


def test_rows_and_not_batches_are_held_out(batches):
    dense = build("bert")
    other = encode(texts(), Tokens(), max_length=None, batch_size=7)
    first, second = (both(dense, given, structure_for(dense))[1] for given in (batches, other))
    assert all(torch.allclose(*pair, atol=1e-3) for pair in zip(weights_of(first), weights_of(second), strict=True))


def test_no_hook_is_left_behind(batches):
    dense = build("bert")
    in_turn = both(dense, batches, structure_for(dense))[1]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in in_turn.modules())
