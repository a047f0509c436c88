"""Parity with nn_pruning 0.1.2 for whole models: hybrid masks, schedule, penalty, and labels mixed with a teacher."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import SequenceClassifierOutput

from tests.helpers import nn_pruning_reference as reference
from trainer_ext import attach
from trainer_ext.distillation.losses import soft_target_kl
from trainer_ext.models import outputs
from trainer_ext.pruning.schedules import cubic_ramp

PHASES = [(100, 10, 1, 4), (5000, 250, 1, 10), (60, 5, 2, 2)]  # steps, warm-up, its initial and final multiples of it


def same_scores(model, masked, threshold):
    """Copy the scores of nn_pruning to our masks, and close as many units as its threshold does."""
    groups = model.pruning.groups
    with torch.no_grad():
        for name, other in masked.items():
            ours = model.get_submodule(name).parametrizations.weight[0].place
            groups[ours.group].scores[ours.units] = reference.scores_of(other).flatten()
    for group in groups.values():
        group.close_fraction((torch.sigmoid(group.scores) <= threshold).float().mean().item())


@pytest.fixture
def pair(tiny_model, make_spec):
    """One BERT with our masks and with its hybrid, on the same scores and at the same threshold; and its Linears."""
    first, second = attach(tiny_model("bert"), make_spec()), tiny_model("bert")
    coordinator, masked = reference.hybrid(second, block_size=4, final_threshold=0.6)
    coordinator.schedule_threshold()
    same_scores(first, masked, 0.6)
    return first, second.eval(), masked


def test_hybrid_masks_are_the_same(pair):
    first, _, masked = pair
    assert len(masked) == 2 * 6
    for name, other in masked.items():
        expected, _ = other.get_masked_weights_bias()
        assert torch.equal(first.get_submodule(name).weight, expected), name
        assert 0.2 < expected.eq(0).float().mean() < 0.9
    with torch.no_grad():
        first.pruning.ffn.scores.neg_()
    assert not torch.equal(first.get_submodule(name).weight, expected)


def test_hybrid_logits_are_the_same_except_for_biases_of_empty_rows(pair):
    """nn_pruning drops the bias of an empty row: without effect in the feed-forward part, a constant in attention."""
    first, second, masked = pair
    batch = outputs.synthetic_batch(first, rows=6, length=16)
    with torch.no_grad():
        value = first.bert.encoder.layer[0].attention.self.value
        units = first.get_submodule("bert.encoder.layer.0.attention.self.value").parametrizations.weight[0].place.units
        other = masked["bert.encoder.layer.0.attention.self.value"]
        first.pruning.attention.scores[units][:8] = -9.0  # a row of eight blocks
        reference.scores_of(other)[0] = -9.0
        first.pruning.attention.close_fraction(
            (torch.sigmoid(first.pruning.attention.scores) <= 0.6).float().mean().item()
        )
        assert outputs.max_logit_difference(first, second, batch) > 1e-3
        for name, module in masked.items():
            weight, bias = module.get_masked_weights_bias()
            assert torch.equal(bias, module.bias * weight.ne(0).any(1))
            if "attention" in name:
                first.get_submodule(name).bias.mul_(weight.ne(0).any(1))
        assert value.bias[:4].eq(0).all()
    assert outputs.max_logit_difference(first, second, batch) <= 1e-5


@pytest.mark.parametrize(("total", "warmup", "initial", "final"), PHASES)
@pytest.mark.parametrize(("start", "end"), [(1.0, 0.25), (1.0, 0.75), (0.0, 0.1)])
def test_the_ramp_is_the_cubic_schedule_of_nn_pruning(total, warmup, initial, final, start, end):
    """With topK the kept fraction falls from 1; with a threshold, the threshold and the penalty rise from 0."""
    coordinator = reference.coordinator(
        initial_threshold=start,
        final_threshold=end,
        initial_warmup=initial,
        final_warmup=final,
        regularization_final_lambda=20.0,
    )
    first, last = initial * warmup, total - final * warmup
    for step in range(0, total + 1, max(1, total // 100)):
        coordinator.schedule_threshold(step, total, warmup, training=True)
        context = coordinator.patcher_context
        ramp = cubic_ramp(step, first=first, last=last, final=abs(end - start))
        threshold = 1 - ramp if start == 1 else ramp
        assert threshold == pytest.approx(context.get_context_data("threshold"), abs=1e-12)
        assert context.get_context_data("regu_lambda") == pytest.approx(20 * threshold / end)
    middle = (first + last) // 2
    linear = abs(end - start) * (middle - first) / (last - first)
    assert cubic_ramp(middle, first=first, last=last, final=abs(end - start)) != pytest.approx(linear, rel=0.1)


@pytest.mark.parametrize(("alpha", "temperature"), [(0.9, 2.0), (0.5, 1.0), (0.25, 4.0)])
def test_the_mix_of_labels_and_teacher_is_the_same(alpha, temperature):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (4 * torch.randn(8, 5, generator=generator) for _ in range(2))
    task = cross_entropy(student, torch.arange(8) % 5)
    coordinator = reference.coordinator(
        distil_alpha_ce=1 - alpha, distil_alpha_teacher=alpha, distil_temperature=temperature
    )
    coordinator.teacher = lambda **inputs: SequenceClassifierOutput(logits=teacher)
    inputs = dict.fromkeys(("input_ids", "token_type_ids", "attention_mask"))
    expected, soft = coordinator.distil_loss_combine(task, inputs, SequenceClassifierOutput(logits=student))
    ours = soft_target_kl(student, teacher, temperature=temperature)
    assert ours.item() == pytest.approx(soft.item(), rel=1e-6)
    assert ((1 - alpha) * task + alpha * ours).item() == pytest.approx(expected.item(), rel=1e-6)
    assert soft_target_kl(student, teacher, temperature=2 * temperature).item() != pytest.approx(soft.item(), rel=0.1)


@pytest.mark.parametrize("dense_lambda", [1.0, 0.25])
def test_the_penalty_formula_equals_the_penalty_of_nn_pruning(dense_lambda, tiny_model):
    """Value and gradient: half for attention and half for the feed-forward part, a mean over matrices in each."""
    model = tiny_model("bert")
    coordinator, masked = reference.hybrid(model, block_size=4, dense_lambda=dense_lambda)
    coordinator.schedule_threshold()
    model(**outputs.synthetic_batch(model, rows=2, length=8))  # it counts what its last forward pass masked
    found, _, _ = coordinator.regularization_loss(model)
    groups = {"attention": [], "ffn": []}
    for name, module in masked.items():
        if not name.endswith("output.dense") or "attention" in name:  # the last matrix shares the scores of the fifth
            groups["attention" if "attention" in name else "ffn"].append(reference.scores_of(module))
    assert [len(matrices) for matrices in groups.values()] == [2 * 4, 2]
    expected = 0.5 * reference.penalty(groups["attention"]) + 0.5 * dense_lambda * reference.penalty(groups["ffn"])
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    scores = [matrix for matrices in groups.values() for matrix in matrices]
    theirs, formula = torch.autograd.grad(found, scores), torch.autograd.grad(expected, scores)
    for pair_of_gradients in zip(theirs, formula, strict=True):
        assert torch.allclose(*pair_of_gradients)
    every_score = torch.cat([matrix.flatten() for matrix in scores])
    assert torch.sigmoid(every_score).mean().item() != pytest.approx(found.item(), rel=1e-3)  # a mean of means
