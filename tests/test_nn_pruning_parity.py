"""Parity with nn_pruning 0.1.2: its estimator is used here, its masks and its schedule are what ours must equal.

Its `masked_nn` cannot be imported on Python 3.11 or later (a dataclass instance as a default); a private loader that
adds one keyword to one decorator opens it for these tests, and only here.
"""

import ast
import importlib.machinery
import importlib.metadata
import importlib.util
import sys

import pytest
import torch
from nn_pruning.modules import binarizer
from nn_pruning.modules.binarizer import TopKBinarizer
from torch import nn
from torch.nn.utils import parametrize

from trainer_ext import budgets, scores
from trainer_ext.masks import Masked
from trainer_ext.schedules import cubic_ramp
from trainer_ext.scores import Pruning, UnitScores

VERSION = importlib.metadata.version("nn_pruning")
pinned = pytest.mark.skipif(VERSION != "0.1.2", reason=f"the loader fits the text of 0.1.2, installed is {VERSION}")


class _Loader(importlib.machinery.SourceFileLoader):
    """Makes `InitDirective` hashable, which Python asks of a dataclass default since 3.11."""

    def get_code(self, name):
        return self.source_to_code(self.get_data(self.path), self.path)  # never the cached bytecode

    def source_to_code(self, data, path, *, _optimize=-1):
        tree = ast.parse(data, path)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == "InitDirective":
                flag = ast.keyword("unsafe_hash", ast.Constant(True))
                node.decorator_list = [ast.Call(decorator, [], [flag]) for decorator in node.decorator_list]
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize)


@pytest.fixture(scope="module")
def masked_nn():
    """The module `nn_pruning.modules.masked_nn`, forgotten again afterwards."""
    spec = importlib.util.find_spec("nn_pruning.modules.masked_nn")
    spec.loader = _Loader(spec.name, spec.origin)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ours(linear, values, grid, *, by_column=False):
    """A Linear with our masks, its scores the given ones; and the owner of the scores."""
    group = UnitScores([values.numel()], learned=True, device=torch.device("cpu"))
    with torch.no_grad():
        group.scores.copy_(values.flatten())
    pruning = Pruning(group, None)
    masked = Masked(pruning, group="attention", units=slice(0, values.numel()), grid=grid, by_column=by_column)
    parametrize.register_parametrization(linear, "weight", masked)
    return group


def theirs(masked_nn, linear, values, threshold, *, rows, columns, submethod="default"):
    """The MaskedLinear of nn_pruning with the same scores; `values` is a matrix, or a vector for `1d_alt` rows."""
    args = masked_nn.LinearPruningArgs(
        method="topK",
        submethod=submethod,
        ampere_method="disabled",
        block_rows=rows,
        block_cols=columns,
        min_elements=0.005,
        bias_mask=False,
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


def test_our_scores_use_its_binarizer():
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


def test_one_ranking_over_matrices_is_what_it_lacks():
    """Its topK takes the same fraction of every matrix; ours takes the worst units of the whole model."""
    values = torch.cat([random(100), random(100, seed=1) + 9])
    group = UnitScores([100, 100], learned=True, device=torch.device("cpu"))
    with torch.no_grad():
        group.scores.copy_(values)
    group.close_fraction(0.5)
    per_matrix = torch.cat([TopKBinarizer.apply(part, 0.5) for part in values.split(100)])
    assert [int(part.sum()) for part in group.mask().split(100)] == [budgets.floor_of(100), 99]
    assert [int(part.sum()) for part in per_matrix.split(100)] == [50, 50]


# The masked Linear


@pinned
def test_the_module_cannot_be_imported_without_the_loader():
    assert "nn_pruning.modules.masked_nn" not in sys.modules
    with pytest.raises(ValueError, match="mutable default .*InitDirective"):
        importlib.import_module("nn_pruning.modules.masked_nn")


@pinned
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


@pinned
@pytest.mark.parametrize("threshold", [0.25, 0.5])
def test_neurons_are_its_one_dimensional_rows(masked_nn, threshold):
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


@pinned
@pytest.mark.parametrize("by_column", [False, True])
def test_blocks_spread_as_its_expand_mask_does(masked_nn, by_column):
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


# The schedule


def kept_of_nn_pruning(step, *, total, warmup, initial, final, initial_threshold, final_threshold):
    """`ModelPatchingCoordinator.schedule_threshold` of 0.1.2, rewritten: the fraction that topK keeps."""
    if step <= initial * warmup:
        return initial_threshold
    if step > total - final * warmup:
        return final_threshold
    progress = 1 - (step - initial * warmup) / (total - (initial + final) * warmup)
    return final_threshold + (initial_threshold - final_threshold) * progress**3


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.75])
@pytest.mark.parametrize(("total", "warmup", "initial", "final"), [(100, 10, 1, 4), (5000, 250, 1, 10), (60, 5, 2, 2)])
def test_the_ramp_is_its_cubic_schedule(total, warmup, initial, final, kept):
    first, last = initial * warmup, total - final * warmup
    phases = {"total": total, "warmup": warmup, "initial": initial, "final": final}
    for step in range(0, total + 1, max(1, total // 100)):
        theirs = kept_of_nn_pruning(step, **phases, initial_threshold=1.0, final_threshold=kept)
        assert 1 - cubic_ramp(step, first=first, last=last, final=1 - kept) == pytest.approx(theirs, abs=1e-12)
    middle = (first + last) // 2
    linear = (1 - kept) * (middle - first) / (last - first)
    assert cubic_ramp(middle, first=first, last=last, final=1 - kept) != pytest.approx(linear, rel=0.1)


@pytest.mark.parametrize("units", [1, 100, 199, 200, 4000, 12345])
def test_the_floor_is_its_min_elements_or_one_less(units):
    """Its threshold binarizer keeps `int(0.005 n) + 1` at least; ours as many or one less, never none."""
    assert 0 <= int(0.005 * units) + 1 - budgets.floor_of(units) <= 1
    assert budgets.floor_of(units) >= 1
