"""Parity with nn_pruning 0.1.2 for single matrices: the package uses its estimator and must give the same masks."""

import importlib
import importlib.metadata
import sys

import pytest
import torch
from nn_pruning.modules import binarizer
from nn_pruning.modules.binarizer import TopKBinarizer
from torch import nn
from torch.nn.utils import parametrize

from recipes.benchmarks.nn_pruning_shim import NAME, load_masked_nn
from trainer_ext.pruning import scores, selection
from trainer_ext.pruning.masks import Masked
from trainer_ext.pruning.scores import Pruning, UnitScores
from trainer_ext.pruning.units import MaskPlace


@pytest.fixture(scope="module")
def masked_nn():
    """The module `nn_pruning.modules.masked_nn`."""
    return load_masked_nn()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ours(linear, values, grid, *, by_column=False):
    """Return a Linear with our masks and the given scores, and the owner of the scores."""
    group = UnitScores([values.numel()], learned=True, device=torch.device("cpu"))
    with torch.no_grad():
        group.scores.copy_(values.flatten())
    pruning = Pruning(group, None)
    place = MaskPlace("", "attention", slice(0, values.numel()), grid, by_column)
    parametrize.register_parametrization(linear, "weight", Masked(pruning, place))
    return group


def theirs(
    masked_nn, linear, values, threshold, *, rows, columns, submethod="default", method="topK", bias_mask=False
):
    """The MaskedLinear of nn_pruning with the same scores; `values` is a matrix, or a vector for `1d_alt` rows."""
    args = masked_nn.LinearPruningArgs(
        method=method,
        submethod=submethod,
        ampere_method="disabled",
        block_rows=rows,
        block_cols=columns,
        min_elements=0.005,
        bias_mask=bias_mask,
    )
    if submethod == "default":
        contexts = [masked_nn.BlockLinearPruningContextModule(linear.weight.shape, args)]
        with torch.no_grad():
            contexts[0].mask_scores.copy_(values)
    else:
        contexts = [masked_nn.SingleDimensionLinearPruningContextModule(linear.weight.shape, True, args), None]
        with torch.no_grad():
            contexts[0].mask_scores.copy_(values)
    module = masked_nn.MaskedLinear(linear, contexts, None, args)
    context = masked_nn.PatcherContext()
    context.set_context_data("threshold", threshold)
    module.set_context(context)
    return module, contexts[0].mask_scores


# The estimator


def test_our_scores_use_the_binarizer_of_nn_pruning():
    assert scores.TopKBinarizer is binarizer.TopKBinarizer


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_the_mask_and_its_gradient_are_those_of_the_binarizer(fraction):
    values, gradient = random(200), random(200, seed=1)
    group = UnitScores([200], learned=True, device=torch.device("cpu"))
    with torch.no_grad():
        group.scores.copy_(values)
    group.close_fraction(1 - fraction)
    plain = values.clone().requires_grad_()
    expected = TopKBinarizer.apply(plain, fraction)
    assert torch.equal(group.mask(), expected)
    (group.mask() * gradient).sum().backward()
    (expected * gradient).sum().backward()
    assert torch.equal(group.scores.grad, plain.grad)
    assert torch.equal(plain.grad, gradient)
    assert not torch.equal(TopKBinarizer.apply(values, fraction - 0.05), expected)


def test_only_ours_ranks_the_whole_model():
    """topK of nn_pruning closes the same fraction of every matrix; ours closes the lowest units of the whole model."""
    values = torch.cat([random(100), random(100, seed=1) + 9])
    group = UnitScores([100, 100], learned=True, device=torch.device("cpu"))
    with torch.no_grad():
        group.scores.copy_(values)
    group.close_fraction(0.5)
    per_matrix = torch.cat([TopKBinarizer.apply(part, 0.5) for part in values.split(100)])
    assert [int(part.sum()) for part in group.mask().split(100)] == [selection.floor_of(100), 99]
    assert [int(part.sum()) for part in per_matrix.split(100)] == [50, 50]


# The masked Linear


def test_the_module_cannot_be_imported_without_the_loader(monkeypatch):
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    with pytest.raises(ValueError, match="mutable default .*InitDirective"):
        importlib.import_module(NAME)


def test_an_unknown_version_of_the_module_is_an_error(monkeypatch):
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.3")
    with pytest.raises(ImportError, match="fits nn_pruning 0.1.2, installed is 0.1.3"):
        load_masked_nn()


@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.8])
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (8, 8), (2, 8), (1, 1)])
def test_a_masked_linear_is_the_same(masked_nn, rows, columns, threshold):
    """Weight, output, and the gradients of weight and scores, for blocks of several shapes."""
    values, inputs = random(32 // rows, 48 // columns), random(5, 48, seed=2)
    first, second = nn.Linear(48, 32), nn.Linear(48, 32)
    second.load_state_dict(first.state_dict())
    group = ours(first, values, values.shape)
    units = values.numel()
    group.freeze(torch.ones(units, dtype=torch.bool))
    group._set(torch.zeros(units), int(threshold * units), False)  # its count, and no floor
    other, their_scores = theirs(masked_nn, second, values, threshold, rows=rows, columns=columns)
    expected, _ = other.get_masked_weights_bias()
    assert torch.equal(first.weight, expected)
    assert 0 < expected.eq(0).float().mean() < 1
    outputs = first(inputs), other(inputs)
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    assert torch.allclose(first.parametrizations.weight.original.grad, second.weight.grad, rtol=1e-5, atol=1e-6)
    assert torch.allclose(group.scores.grad.view_as(values), their_scores.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        their_scores.neg_()
    assert not torch.equal(first.weight, other.get_masked_weights_bias()[0])  # the check can fail


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("method", ["topK", "sigmoied_threshold"])
def test_blocks_of_32_are_the_same_by_rank_and_by_threshold(masked_nn, method, fraction):
    """A threshold on the sigmoid closes the lowest scores, so a ranking with the same count closes the same units."""
    values = random(6, 8)
    first, second = nn.Linear(256, 192), nn.Linear(256, 192)
    second.load_state_dict(first.state_dict())
    threshold = fraction if method == "topK" else torch.sigmoid(values.quantile(1 - fraction)).item()
    other, _ = theirs(masked_nn, second, values, threshold, rows=32, columns=32, method=method)
    expected, _ = other.get_masked_weights_bias()
    kept = int(fraction * 48) if method == "topK" else int((torch.sigmoid(values) > threshold).sum())
    group = ours(first, values, (6, 8))
    group.close_fraction(1 - kept / 48)
    assert torch.equal(first.weight, expected)
    assert expected.ne(0).sum() == kept * 32 * 32
    group.close_fraction(1 - (kept + 1) / 48)
    assert not torch.equal(first.weight, expected)  # one block more is another mask


def test_the_bias_mask_of_nn_pruning_closes_the_bias_of_empty_rows(masked_nn):
    """Ours keeps every bias, and shrinking folds the remaining constant; these are the rows where it matters."""
    values = random(8, 1)
    linear = nn.Linear(32, 64)
    args = {"rows": 8, "columns": 32, "method": "sigmoied_threshold"}
    bias = linear.bias.detach().clone()
    masked, _ = theirs(masked_nn, linear, values, 0.5, bias_mask=True, **args)
    weight, found = masked.get_masked_weights_bias()
    assert torch.equal(found, bias * weight.ne(0).any(1))
    assert 0 < found.eq(0).sum() < 64
    unmasked, _ = theirs(masked_nn, linear, values, 0.5, **args)
    assert torch.equal(unmasked.get_masked_weights_bias()[1], bias)


@pytest.mark.parametrize("threshold", [0.25, 0.5])
def test_neurons_equal_the_one_dimensional_rows_of_nn_pruning(masked_nn, threshold):
    values = random(64)
    first, second = nn.Linear(32, 64), nn.Linear(32, 64)
    second.load_state_dict(first.state_dict())
    group = ours(first, values, (64, 1))
    group.close_fraction(1 - threshold)
    args = {"rows": 1, "columns": 1, "submethod": "1d_alt"}
    # Its 1-D topK ranks the spread-out matrix, where all entries of a row tie: only whole rows can be compared.
    other, _ = theirs(masked_nn, second, values, threshold, **args)
    closed = other.get_masked_weights_bias()[0].eq(0).all(1)
    assert torch.equal(first.weight.eq(0).all(1), closed)
    assert closed.sum() == 64 * (1 - threshold)


@pytest.mark.parametrize("by_column", [False, True])
def test_blocks_are_expanded_like_expand_mask_of_nn_pruning(masked_nn, by_column):
    mask = (random(4, 6) > 0).float() if not by_column else (random(1, 6) > 0).float()
    rows, columns = 32 // mask.shape[0], 48 // mask.shape[1]
    linear = nn.Linear(48, 32)
    with torch.no_grad():
        linear.weight.fill_(1.0)
    group = ours(linear, mask, mask.shape, by_column=by_column)
    group.freeze(mask.flatten().bool())
    expected = mask.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    assert torch.equal(masked_nn.MaskModule.expand_mask(mask, rows, columns), expected)
    assert torch.equal(linear.weight, expected)


@pytest.mark.parametrize("units", [1, 100, 199, 200, 4000, 12345])
def test_the_floor_is_min_elements_of_nn_pruning_or_one_less(units):
    """The threshold binarizer of nn_pruning keeps at least `int(0.005 n) + 1`; ours as many or one less, never none."""
    assert 0 <= int(0.005 * units) + 1 - selection.floor_of(units) <= 1
    assert selection.floor_of(units) >= 1
