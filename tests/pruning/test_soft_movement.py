"""Soft movement: a threshold on the sigmoid closes units, and an adjusted penalty follows the schedule."""

import pytest
import torch
from transformers import TrainerCallback

from tests.helpers import nn_pruning_reference as reference
from tests.helpers.training import differing, logged, make_trainer, new_model
from trainer_ext.pruning import masks, scores, selection
from trainer_ext.pruning.scores import FINAL_THRESHOLD, FULL_FROM, PENALTY_WEIGHT, UnitScores

SIZES = [10, 20, 30]
SOFT = {"prune_method": "soft_movement", "prune_block_size": 8, "prune_sparsity": 0.5}


def random(units=60, seed=0):
    return 3 * torch.randn(units, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def group():
    """60 random scores in three matrices; a third of them lies below the final threshold."""
    made = UnitScores(SIZES, learned=True, soft=True, device=torch.device("cpu"))
    with torch.no_grad():
        made.scores.copy_(random() - 1)
    return made


# The mask


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.1, 0.5, 0.9])
def test_scores_above_the_threshold_are_open(threshold):
    values = random().requires_grad_()
    mask = scores.open_above(values, threshold)
    assert torch.equal(mask.detach(), (torch.sigmoid(values) > threshold).float())
    assert 0 < mask.sum() < 60 or threshold < 0.05
    gradient = random(seed=1)
    (mask * gradient).sum().backward()
    assert torch.equal(values.grad, gradient)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_the_threshold_rises_with_the_ramp(group, progress):
    group.close_fraction(0.2, progress=progress)
    assert group.threshold.item() == pytest.approx(FINAL_THRESHOLD * progress)
    expected = torch.sigmoid(group.scores) > FINAL_THRESHOLD * progress
    floor = torch.cat([selection.best(part, selection.floor_of(len(part))) for part in group.scores.split(SIZES)])
    assert torch.equal(group.mask().bool(), expected | floor)
    assert group.sparsity == pytest.approx(1 - group.mask().mean().item())
    assert (group.sparsity > 0) is (progress > 0)


def test_no_matrix_dies(group):
    with torch.no_grad():
        group.scores.sub_(1e4)
    group.close_fraction(0.5)
    assert [int(part.sum()) for part in group.mask().split(SIZES)] == [selection.floor_of(size) for size in SIZES]
    group.offsets.zero_()  # without the floor all would
    assert group.mask().sum() == 0


def test_a_frozen_mask_does_not_depend_on_the_threshold(group):
    group.close_fraction(0.5)
    keep = torch.arange(60) % 4 == 0
    group.freeze(keep)
    assert group.mask().bool().equal(keep)
    assert not group.mask().requires_grad
    assert group.sparsity == 0.75


# The penalty


def test_the_penalty_is_that_of_nn_pruning():
    values = random().requires_grad_()
    found = scores.soft_penalty(values, SIZES)
    expected = reference.penalty(values.split(SIZES))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(*(torch.autograd.grad(term, values)[0] for term in (found, expected)))
    assert found.item() != pytest.approx(torch.sigmoid(values).mean().item(), rel=1e-3)  # a mean of means


def test_a_layer_without_units_does_not_count():
    values = random()
    assert torch.equal(scores.soft_penalty(values, [0, *SIZES, 0]), scores.soft_penalty(values, SIZES))


def test_the_weight_is_proportional_to_what_is_missing(group):
    closed = 1 - (torch.sigmoid(group.scores) > FINAL_THRESHOLD).float().mean().item()
    assert 0.2 < closed < 0.8
    for missing in (0.15, 0.1, 0.04, 0.0, -0.04, -0.1, -0.15):
        group.close_fraction(closed + missing)
        expected = PENALTY_WEIGHT * min(max(missing / FULL_FROM, -1), 1)
        assert group.penalty_weight.item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("fraction", "sign"), [(0.9, 1), (0.1, -1)])
def test_the_penalty_closes_missing_units_and_opens_surplus_ones(group, fraction, sign):
    group.close_fraction(fraction)
    before = group.scores.detach().clone()
    group.penalty().backward()
    assert torch.equal(group.scores.grad.sign(), torch.full((60,), float(sign)))  # descent goes the other way
    optimizer = torch.optim.SGD([group.scores], lr=10.0)
    for _ in range(200):
        group.close_fraction(fraction)
        optimizer.zero_grad()
        group.penalty().backward()
        optimizer.step()
    assert group.sparsity == pytest.approx(fraction, abs=0.05)
    assert not torch.equal(group.scores, before)


def test_before_the_ramp_there_is_no_penalty(group):
    group.close_fraction(0.0, progress=0.0)
    assert group.penalty().item() == 0
    assert group.mask().mean() == 1


def test_a_model_adds_the_mean_of_both_groups_until_its_structure_is_frozen(masked):
    model = masked(method="soft_movement")
    attention, ffn = model.pruning.attention, model.pruning.ffn
    for group in (attention, ffn):
        group.penalty_weight.fill_(10.0)
    expected = 0.5 * 10.0 * sum(scores.soft_penalty(g.scores, g.sizes) for g in (attention, ffn))
    assert model.pruning.penalty.item() == pytest.approx(expected.item(), rel=1e-6)
    masks.freeze_structure(model)
    assert model.pruning.penalty is None
    assert masked().pruning.penalty is None


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16])
def test_threshold_and_weight_stay_fp32(group, cast):
    torch.nn.ModuleList([group]).to(cast)
    assert group.threshold.dtype == group.penalty_weight.dtype == torch.float32


# Training


class Watch(TrainerCallback):
    """Record per step of the ramp the closed fraction per group and the one that the schedule asks for."""

    def __init__(self):
        self.rows = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if not model.pruning.is_frozen:
            groups = model.pruning.groups.values()
            first, last = args.prune_start * state.max_steps, args.prune_end * state.max_steps
            progress = min(max((state.global_step - first) / (last - first), 0.0), 1.0)
            asked = args.prune_sparsity * (1 - (1 - progress) ** 3)
            self.rows.append((asked, [group.sparsity for group in groups], [g.penalty_weight.item() for g in groups]))


@pytest.fixture(scope="module", params=[0.75])
def run(request, tmp_path_factory):
    """A run of 200 steps, 160 of them a ramp, with a high learning rate of the scores, and the record of its ramp."""
    watch = Watch()
    fields = {**SOFT, "prune_sparsity": request.param, "prune_score_lr": 1e-1, "prune_end": 0.9, "max_steps": 200}
    trainer = make_trainer(tmp_path_factory.mktemp("soft"), rows=64, callbacks=[watch], logging_steps=10, **fields)
    trainer.train()
    return trainer, watch.rows


def test_the_closed_fraction_follows_the_schedule(run):
    """Only in the second half: all scores start equal, far above the threshold."""
    trainer, rows = run
    late = rows[len(rows) // 2 :]
    for asked, closed, _ in late:
        assert closed == pytest.approx([asked, asked], abs=0.15)
    assert late[-1][0] > 0.9 * trainer.args.prune_sparsity
    assert trainer.compression.sparsity == pytest.approx(trainer.args.prune_sparsity, abs=0.02)


def test_the_penalty_is_logged_until_the_structure_is_frozen(run):
    trainer, _ = run
    penalties = logged(trainer, "loss_penalty")
    assert len(penalties) == 18
    assert penalties[0] == 0  # before the ramp
    assert max(penalties) > 1
    assert len(logged(trainer, "loss")) == 20
    for entry in trainer.state.log_history[:17]:
        assert entry["loss"] == pytest.approx(entry["loss_task"] + entry["loss_penalty"], abs=1e-2)


def test_without_its_penalty_the_schedule_is_missed(tmp_path):
    """The control: the threshold alone closes almost nothing."""
    watch = Watch()
    fields = {**SOFT, "prune_score_lr": 1e-1, "prune_end": 0.9, "max_steps": 60}
    trainer = make_trainer(tmp_path, callbacks=[watch], **fields)
    for group in trainer.model.pruning.groups.values():
        group.penalty = lambda: torch.zeros(())
    trainer.train()
    assert max(watch.rows[-1][1]) < 0.2


@pytest.fixture(scope="module", params=["compact", "plain"])
def whole(request, tmp_path_factory):
    """A run that was never interrupted, with a checkpoint at every second step, and its fields."""
    fields = {**SOFT, "prune_structure": request.param, "prune_sparsity": 0.4, "prune_score_lr": 0.5, "max_steps": 16}
    fields |= {"save_strategy": "steps", "save_steps": 2, "distill_teacher": "self"}
    trainer = make_trainer(tmp_path_factory.mktemp("whole"), **fields)
    trainer.train()
    return trainer, fields


@pytest.mark.parametrize("checkpoint", [2, 6, 10, 12, 14])
def test_resuming_at_any_step_gives_the_same_bits(tmp_path, whole, checkpoint):
    whole, fields = whole
    resumed = make_trainer(tmp_path, **fields)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-{checkpoint}")
    assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []
    assert whole.compression == resumed.compression
    assert logged(whole, "loss_penalty") == logged(resumed, "loss_penalty")


def test_a_checkpoint_holds_threshold_and_weight(tmp_path):
    make_trainer(tmp_path, **SOFT, save_strategy="steps", save_steps=5, prune_score_lr=0.5).train()
    ramp = masks.load_masked(tmp_path / "checkpoint-5")
    assert 0 < ramp.pruning.ffn.threshold < FINAL_THRESHOLD
    assert ramp.pruning.ffn.penalty_weight != 0
    fresh = make_trainer(tmp_path, **SOFT, model=new_model()).model
    assert (fresh.pruning.ffn.threshold, fresh.pruning.ffn.penalty_weight) == (0.0, 0.0)
