"""Scores: the mask is the best `kept` units, gradients pass straight through, and everything stays fp32 and saved."""

import copy

import pytest
import torch

from trainer_ext.pruning import selection
from trainer_ext.pruning.scores import Pruning, UnitScores

SIZES = [10, 20, 30]


@pytest.fixture
def group():
    """60 learned scores in three matrices, random and all different."""
    made = UnitScores(SIZES, learned=True, device=torch.device("cpu"))
    with torch.no_grad():
        made.scores.copy_(torch.randn(60, generator=torch.Generator().manual_seed(0)))
    return made


@pytest.mark.parametrize("learned", [True, False])
def test_a_new_group_is_open(learned):
    group = UnitScores(SIZES, learned=learned, device=torch.device("cpu"))
    assert group.mask().tolist() == [1.0] * 60
    assert (group.sparsity, group.is_frozen) == (0.0, False)
    assert isinstance(group.scores, torch.nn.Parameter) is learned
    assert sorted(group.state_dict()) == ["frozen", "kept", "offsets", "scores"]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.5, 0.75, 0.9])
def test_closing_a_fraction_closes_the_lowest(group, fraction):
    group.close_fraction(fraction)
    mask = group.mask()
    assert mask.dtype == torch.float32
    assert set(mask.tolist()) <= {0.0, 1.0}
    assert mask.sum() == 60 - round(60 * fraction)
    assert group.sparsity == pytest.approx(1 - mask.mean().item())
    expected = selection.top_units(group.scores, SIZES, int(mask.sum()))
    assert [part.nonzero().flatten().tolist() for part in mask.split(SIZES)] == expected


def test_every_count_is_exact():
    """TopKBinarizer truncates `fraction * units`; a count that floats cannot hold must not lose a unit."""
    for units in (3, 49, 60, 147, 1000):
        group = UnitScores([units], learned=True, device=torch.device("cpu"))
        for kept in range(1, min(units, 200) + 1):
            keep = torch.arange(units) < kept
            group.freeze(keep)
            assert group.mask().bool().equal(keep)
    assert any(int(kept / 49 * 49) != kept for kept in range(50))  # the naive fraction does lose units


def test_the_mask_follows_scores_as_they_learn(group):
    group.close_fraction(0.5)
    before = group.mask()
    with torch.no_grad():
        group.scores.neg_()
    after = group.mask()
    assert before.sum() == after.sum() == 30
    assert (before != after).sum() > 40


@pytest.mark.parametrize("lowest", [0, 1, 2])
@pytest.mark.parametrize("equal", [True, False])
def test_no_matrix_dies(group, lowest, equal):
    with torch.no_grad():
        if equal:
            group.scores.zero_()
        group.scores.split(SIZES)[lowest].sub_(1e4)
    for fraction in (0.5, 0.9, 0.99):
        group.close_fraction(fraction)
        assert all(part.sum() >= 1 for part in group.mask().split(SIZES))
    group.offsets.zero_()  # without the floor it would
    assert group.mask().split(SIZES)[lowest].sum() == 0


def test_gradients_pass_straight_through_to_every_score(group):
    group.close_fraction(0.5)
    gradient = torch.randn(60, generator=torch.Generator().manual_seed(1))
    (group.mask() * gradient).sum().backward()
    assert torch.equal(group.scores.grad, gradient)  # closed units too: they may come back


def test_frozen_masks_give_no_gradient_and_do_not_move(group):
    keep = torch.arange(60) % 3 == 0
    group.freeze(keep)
    assert group.is_frozen
    assert group.frozen
    assert group.mask().bool().equal(keep)
    assert not group.mask().requires_grad
    with torch.no_grad():
        group.scores.neg_().mul_(100)
    assert group.mask().bool().equal(keep)
    assert group.sparsity == pytest.approx(2 / 3)


@pytest.mark.parametrize("cast", [lambda m: m.to(torch.bfloat16), lambda m: m.half(), lambda m: m.double()])
def test_scores_stay_fp32(group, cast):
    holder = torch.nn.ModuleDict({"group": group, "linear": torch.nn.Linear(2, 2)})
    before = group.scores.clone()
    group.scores.grad = torch.ones(60)
    cast(holder)
    assert holder["linear"].weight.dtype != torch.float32
    assert group.scores.dtype == group.offsets.dtype == group.scores.grad.dtype == torch.float32
    assert torch.equal(group.scores, before)
    assert isinstance(group.scores, torch.nn.Parameter)
    with torch.no_grad():
        near = torch.full((), -2.2)
        assert (near + 0.005) != near
        assert (near.bfloat16() + 0.005) == near.bfloat16()  # why: a step of training would be lost


def test_moving_to_a_device_moves_all_tensors(group):
    group.to("meta")
    assert {tensor.device.type for tensor in group.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("frozen", [True, False])
def test_a_state_dict_restores_everything(group, frozen):
    group.close_fraction(0.4)
    if frozen:
        group.freeze(torch.arange(60) < 12)
    other = UnitScores(SIZES, learned=True, device=torch.device("cpu"))
    assert other.sparsity != group.sparsity
    other.load_state_dict(group.state_dict())
    assert (other.sparsity, other.is_frozen) == (group.sparsity, group.is_frozen) == (0.8 if frozen else 0.4, frozen)
    assert torch.equal(other.mask(), group.mask())
    for name, tensor in group.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_a_copy_is_independent(group):
    other = copy.deepcopy(group)
    other.close_fraction(0.5)
    with torch.no_grad():
        other.scores.zero_()
    assert group.sparsity == 0
    assert group.scores.abs().max() > 0


def test_an_owner_computes_masks_once_per_forward(group):
    pruning = Pruning(group, None)
    assert list(pruning.groups) == ["attention"]
    assert pruning.mask("attention") is not pruning.mask("attention")
    pruning.begin_forward()
    assert pruning.mask("attention") is pruning.mask("attention")
    pruning.end_forward()
    assert not pruning._masks
    assert not pruning.is_frozen
    group.freeze(torch.ones(60, dtype=torch.bool))
    assert pruning.is_frozen


def test_an_owner_is_frozen_when_all_its_groups_are(group):
    pruning = Pruning(group, copy.deepcopy(group))
    group.freeze(torch.ones(60, dtype=torch.bool))
    assert not pruning.is_frozen
    pruning.ffn.freeze(torch.ones(60, dtype=torch.bool))
    assert pruning.is_frozen
