"""Losses: zero where the two agree, the value by hand, and a gradient whose size does not depend on the temperature."""

import math

import pytest
import torch

from trainer_ext.distillation import losses

KL, BINARY, MSE = losses.soft_target_kl, losses.soft_target_binary_kl, losses.soft_target_mse
ALL = [KL, BINARY, MSE, losses.soft_target_span_kl]
STUDENT = torch.tensor([[0.2, -1.0, 0.7], [2.0, 0.1, -0.4]])
TEACHER = torch.tensor([[1.5, -0.3, 0.0], [0.5, 0.9, -2.0]])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("loss", ALL)
def test_agreement_costs_nothing_and_pulls_nowhere(loss, temperature):
    student = (5 * STUDENT).requires_grad_()
    value = loss(student, 5 * STUDENT, temperature=temperature)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-5)
    assert student.grad.abs().max() < 1e-5


@pytest.mark.parametrize("loss", ALL)
def test_disagreement_costs_and_pulls_towards_the_teacher(loss):
    student = STUDENT.clone().requires_grad_()
    value = loss(student, TEACHER, temperature=2.0)
    value.backward()
    assert value > 0.05
    with torch.no_grad():
        assert loss(student - 0.1 * student.grad, TEACHER, temperature=2.0) < value


def softmax(row):
    exponentials = [math.exp(x) for x in row]
    return [x / sum(exponentials) for x in exponentials]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_kl_by_hand(temperature):
    total = 0.0
    for student, teacher in zip((STUDENT / temperature).tolist(), (TEACHER / temperature).tolist(), strict=True):
        p, q = softmax(student), softmax(teacher)
        total += sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    expected = temperature**2 * total / 2
    assert KL(STUDENT, TEACHER, temperature=temperature).item() == pytest.approx(expected, rel=1e-5)
    assert KL(TEACHER, STUDENT, temperature=temperature).item() != pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_binary_kl_by_hand(temperature):
    terms = []
    for a, b in zip(STUDENT.flatten().tolist(), TEACHER.flatten().tolist(), strict=True):
        p, q = (1 / (1 + math.exp(-x / temperature)) for x in (a, b))
        terms.append(q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p)))
    expected = temperature**2 * sum(terms) / len(terms)
    assert BINARY(STUDENT, TEACHER, temperature=temperature).item() == pytest.approx(expected, rel=1e-4)


def test_mse_by_hand_knows_no_temperature():
    first, second = torch.tensor([[1.0], [4.0]]), torch.tensor([[2.0], [2.0]])
    assert MSE(first, second, temperature=1.0).item() == 2.5
    assert MSE(first, second, temperature=7.0).item() == 2.5


def test_several_labels_are_not_a_softmax():
    """Moving all logits together changes every independent label, but no softmax."""
    assert KL(STUDENT, STUDENT + 1, temperature=1.0).item() == pytest.approx(0, abs=1e-6)
    assert BINARY(STUDENT, STUDENT + 1, temperature=1.0) > 0.05


@pytest.mark.parametrize("loss", ALL)
def test_gradients_are_those_of_the_formula(loss):
    def value(student):
        return loss(student, TEACHER, temperature=2.0).double()

    student = STUDENT.double().requires_grad_()
    options = {"eps": 1e-2, "atol": 1e-3, "rtol": 1e-2}  # wide: the losses compute in fp32
    assert torch.autograd.gradcheck(value, student, **options)
    halved = torch.autograd.gradcheck(
        lambda x: value(x.detach()) / 2 + value(x) / 2, student, **options, raise_exception=False
    )
    assert not halved  # the check can fail


@pytest.mark.parametrize("loss", [KL, BINARY])
def test_the_gradient_keeps_its_size_when_the_temperature_grows(loss):
    def size(temperature):
        student = STUDENT.clone().requires_grad_()
        loss(student, TEACHER, temperature=temperature).backward()
        return student.grad.norm().item()

    assert size(200.0) == pytest.approx(size(20.0), rel=0.05)
    assert size(20.0) / 20.0**2 < 0.01 * size(20.0)  # without the factor it would vanish


def test_gradient_at_high_temperature_by_hand():
    """For large T the gradient is that of matching centred logits: (student - teacher - their means) / (N batch)."""
    student = STUDENT.clone().requires_grad_()
    KL(student, TEACHER, temperature=1000.0).backward()
    centred = (STUDENT - STUDENT.mean(1, True)) - (TEACHER - TEACHER.mean(1, True))
    assert torch.allclose(student.grad, centred / 3 / 2, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", ALL)
def test_half_precision_is_computed_in_fp32(loss, dtype):
    student, teacher = STUDENT.to(dtype), TEACHER.to(dtype)
    value = loss(student, teacher, temperature=2.0)
    assert value.dtype == torch.float32
    assert value == loss(student.float(), teacher.float(), temperature=2.0)


@pytest.mark.parametrize("loss", ALL)
def test_other_shapes_are_refused(loss):
    with pytest.raises(ValueError, match=r"Student logits \[2, 3\] and teacher logits \[2, 2\] differ"):
        loss(STUDENT, TEACHER[:, :2], temperature=1.0)
    with pytest.raises(ValueError, match="differ in shape"):  # would broadcast silently
        loss(STUDENT, TEACHER[:1], temperature=1.0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("loss", ALL)
def test_bad_temperatures_are_refused(loss, temperature):
    with pytest.raises(ValueError, match=f"temperature must be above 0, got {temperature}"):
        loss(STUDENT, TEACHER, temperature=temperature)


# What does not count

SPAN = losses.soft_target_span_kl
MASK = torch.tensor([[True, True, False], [True, False, False]])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_kl_is_the_mean_over_what_counts(temperature):
    student, teacher = torch.stack([STUDENT, -STUDENT]), torch.stack([TEACHER, TEACHER])  # [2, 2 tokens, 3 classes]
    counted = torch.tensor([[True, False], [True, True]])
    expected = KL(student[counted], teacher[counted], temperature=temperature)
    assert KL(student, teacher, temperature=temperature, mask=counted).item() == pytest.approx(expected.item())
    assert KL(student, teacher, temperature=temperature).item() != pytest.approx(expected.item(), rel=1e-2)
    everything = torch.ones(2, 2, dtype=torch.bool)
    assert torch.equal(
        KL(student, teacher, temperature=temperature, mask=everything), KL(student, teacher, temperature=temperature)
    )


def test_what_does_not_count_gets_no_gradient():
    student = STUDENT.clone().requires_grad_()
    KL(student, TEACHER, temperature=2.0, mask=torch.tensor([True, False])).backward()
    assert student.grad[0].ne(0).all()
    assert student.grad[1].eq(0).all()
    value = KL(student, TEACHER, temperature=2.0, mask=torch.tensor([False, False]))
    assert value == 0  # and not NaN


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(RuntimeError, match="shape"):  # [2, 2] would broadcast over [2]
        KL(STUDENT, TEACHER, temperature=1.0, mask=torch.ones(2, 2, dtype=torch.bool))


@pytest.mark.parametrize("temperature", [1e-3, 1.0, 2.0, 100.0])
def test_a_span_is_compared_without_its_padding(temperature):
    rows = [
        KL(s[m][None], t[m][None], temperature=temperature) for s, t, m in zip(STUDENT, TEACHER, MASK, strict=True)
    ]
    expected = torch.stack(rows).mean().item()
    value = SPAN(STUDENT, TEACHER, temperature=temperature, mask=MASK)
    assert value.item() == pytest.approx(expected, rel=1e-4)
    wider = torch.nn.functional.pad(MASK, (0, 4))
    padded = [torch.nn.functional.pad(logits, (0, 4), value=value) for logits, value in ((STUDENT, 9), (TEACHER, -9))]
    assert SPAN(*padded, temperature=temperature, mask=wider).item() == pytest.approx(expected, rel=1e-4)
    assert SPAN(*padded, temperature=temperature).item() != pytest.approx(expected, rel=1e-2)
    assert torch.equal(SPAN(STUDENT, TEACHER, temperature=temperature), KL(STUDENT, TEACHER, temperature=temperature))


@pytest.mark.parametrize("mask", [MASK, MASK & torch.tensor([[True], [False]])], ids=["some", "a row of padding"])
def test_gradients_of_a_span_are_finite_and_those_of_the_formula(mask):
    student = STUDENT.double().requires_grad_()
    value = SPAN(student, TEACHER, temperature=2.0, mask=mask)
    value.backward()
    assert student.grad.isfinite().all()
    assert student.grad[~mask].eq(0).all()
    assert student.grad[0, :2].ne(0).all()
    assert torch.autograd.gradcheck(
        lambda x: SPAN(x, TEACHER, temperature=2.0, mask=mask).double(), student, eps=1e-2, atol=1e-3, rtol=1e-2
    )
    infinite = [x.masked_fill(~mask, -torch.inf) for x in (STUDENT, TEACHER)]
    assert KL(*infinite, temperature=2.0).isnan()  # the control


@pytest.mark.parametrize("loss", [KL, SPAN])
def test_splitting_a_batch_and_weighting_by_what_counts_changes_nothing(loss):
    student, teacher = torch.cat([STUDENT, TEACHER, -STUDENT]), torch.cat([TEACHER, STUDENT, TEACHER])
    whole = loss(student, teacher, temperature=2.0)
    parts = [loss(student[rows], teacher[rows], temperature=2.0) for rows in (slice(0, 1), slice(1, 4), slice(4, 6))]
    assert (parts[0] + 3 * parts[1] + 2 * parts[2]).item() / 6 == pytest.approx(whole.item(), rel=1e-5)
