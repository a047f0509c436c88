"""Second-order removal against brute-force least squares on small matrices."""

import itertools

import numpy as np
import pytest
import torch

from trainer_ext.pruning.budget import Levels, choose
from trainer_ext.pruning.second_order import compensated, damped, removal_curve, with_bias

INPUTS, OUTPUTS = 12, 5
HARDLY = 1e-12  # damping that changes nothing


@pytest.fixture
def problem():
    """Correlated inputs `[tokens, inputs]`, a weight `[outputs, inputs]` and a bias."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(INPUTS, INPUTS, generator=generator)
    inputs = torch.randn(400, INPUTS, generator=generator) @ mix + 0.5
    return inputs, torch.randn(OUTPUTS, INPUTS, generator=generator), torch.randn(OUTPUTS, generator=generator)


def moments_of(inputs):
    ones = torch.cat([inputs, torch.ones(len(inputs), 1)], 1).double()
    return ones.T @ ones / len(inputs)


def fitted(inputs, outputs, kept):
    """The least squares fit of the outputs by some of the inputs and a constant: mean squared error, summed over outputs."""
    some = torch.cat([inputs[:, kept], torch.ones(len(inputs), 1)], 1).double()
    solution = torch.linalg.lstsq(some, outputs.double()).solution
    return (some @ solution - outputs).square().sum(1).mean().item()


@pytest.mark.parametrize("group", [1, 3])
def test_errors_are_those_of_least_squares(problem, group):
    inputs, weight, bias = problem
    outputs = inputs @ weight.T + bias
    curve = removal_curve(with_bias(weight, bias), damped(moments_of(inputs), HARDLY), group=group)
    assert sorted(curve.order) == list(range(INPUTS // group))
    for removed in range(INPUTS // group + 1):
        kept = [g * group + i for g in curve.kept(INPUTS // group - removed) for i in range(group)]
        assert curve.errors[removed].item() == pytest.approx(fitted(inputs, outputs, kept), rel=1e-4, abs=1e-6)


def test_each_step_removes_what_costs_least(problem):
    inputs, weight, bias = problem
    outputs = inputs @ weight.T + bias
    curve = removal_curve(with_bias(weight, bias), damped(moments_of(inputs), HARDLY), group=1)
    for step in range(INPUTS - 1):
        left = curve.kept(INPUTS - step)
        costs = {one: fitted(inputs, outputs, [other for other in left if other != one]) for one in left}
        assert curve.order[step] == min(costs, key=costs.get)


def test_several_at_once_are_removed_exactly_too(problem):
    inputs, weight, bias = problem
    outputs = inputs @ weight.T + bias
    curve = removal_curve(with_bias(weight, bias), damped(moments_of(inputs), HARDLY), group=1, at_once=4)
    for removed in (4, 8, 12):
        assert curve.errors[removed].item() == pytest.approx(
            fitted(inputs, outputs, curve.kept(INPUTS - removed)), rel=1e-4, abs=1e-6
        )
    assert (curve.errors.diff() >= -1e-9).all()


def test_kept_columns_make_up_for_the_others(problem):
    inputs, weight, bias = problem
    outputs, kept = inputs @ weight.T + bias, [0, 3, 4, 8]
    result = compensated(with_bias(weight, bias), damped(moments_of(inputs), HARDLY), kept).float()
    error = (inputs @ result[:, :-1].T + result[:, -1] - outputs).square().sum(1).mean().item()
    assert error == pytest.approx(fitted(inputs, outputs, kept), rel=1e-3)
    plain = torch.zeros_like(weight).index_copy(1, torch.tensor(kept), weight[:, kept])
    assert error < 0.8 * (inputs @ plain.T + bias - outputs).square().sum(1).mean().item()
    gone = [column for column in range(INPUTS) if column not in kept]
    assert not result[:, gone].any()


@pytest.mark.parametrize("kind", ["a dead input", "one text repeated", "equal inputs"])
def test_singular_moments_give_finite_weights(problem, kind):
    inputs, weight, bias = problem
    if kind == "a dead input":
        inputs[:, 2] = 0
    elif kind == "one text repeated":
        inputs = inputs[:1].repeat(50, 1)
    else:
        inputs[:, 1] = inputs[:, 0]
    moments = damped(moments_of(inputs))
    curve = removal_curve(with_bias(weight, bias), moments, group=1)
    assert curve.errors.isfinite().all()
    if kind == "a dead input":
        assert curve.order[0] == 2
    result = compensated(with_bias(weight, bias), moments, curve.kept(6))
    assert result.isfinite().all()


def test_the_budget_is_spent_as_exhaustive_search_would():
    generator = torch.Generator().manual_seed(0)
    blocks = []
    for _ in range(4):
        errors = torch.rand(4, generator=generator).sort(descending=True).values.tolist()
        blocks.append(Levels([0, 1, 2, 3], [0.0, 10.0, 20.0, 30.0], errors))
    for budget in (0, 10, 40, 75, 120):
        allowed = [
            choice for choice in itertools.product(range(4), repeat=4) if sum(10 * level for level in choice) <= budget
        ]
        best = min(allowed, key=lambda choice: sum(b.errors[level] for b, level in zip(blocks, choice, strict=True)))
        assert choose(blocks, budget) == list(best)


def test_no_rounding_of_costs_is_left_in_the_choice():
    """Levels that cost exactly the budget are chosen, and never more is spent than there is."""
    generator = np.random.default_rng(0)
    blocks = [
        Levels(range(9), np.append(0, generator.random(8).cumsum()), np.linspace(1, 0, 9) ** 2) for _ in range(24)
    ]
    most = sum(block.costs[-1] for block in blocks)
    assert choose(blocks, most) == [8] * 24
    for share in (0.1, 0.35, 0.5, 0.8):
        kept = choose(blocks, share * most)
        spent = sum(block.costs[count] for block, count in zip(blocks, kept, strict=True))
        assert 0.995 * share * most < spent <= share * most


def test_a_budget_below_the_cheapest_choice_is_refused():
    with pytest.raises(ValueError, match=r"cheapest choice costs 5, above the budget of 4"):
        choose([Levels([1], [5.0], [0.0])], 4)
