"""Losses: zero where the two agree, the value by hand, and a gradient whose size does not depend on the temperature."""

import math

import pytest
import torch

from trainer_ext import losses

KL, BINARY, MSE = losses.soft_target_kl, losses.soft_target_binary_kl, losses.soft_target_mse
ALL = [KL, BINARY, MSE]
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


IDS, FLOATS = torch.tensor([0, 1]), torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("given", "num_labels", "labels", "expected"),
    [
        (None, 1, FLOATS[:, 0], "regression"),
        (None, 1, IDS, "regression"),
        (None, 1, None, "regression"),
        (None, 3, IDS, "single_label_classification"),
        (None, 3, IDS.int(), "single_label_classification"),
        (None, 3, None, "single_label_classification"),
        (None, 3, FLOATS, "multi_label_classification"),
        (None, 3, FLOATS.half(), "multi_label_classification"),
        ("regression", 3, FLOATS, "regression"),
        ("multi_label_classification", 3, IDS, "multi_label_classification"),
        ("single_label_classification", 1, FLOATS, "single_label_classification"),
    ],
)
def test_the_problem_type_table(given, num_labels, labels, expected):
    assert losses.infer_problem_type(given, num_labels=num_labels, labels=labels) == expected
    assert expected in losses.DISTILLATION_LOSSES


@pytest.mark.parametrize(("num_labels", "labels"), [(1, FLOATS[:, 0]), (3, IDS), (3, FLOATS)])
def test_the_problem_type_is_the_one_transformers_finds(tiny_model, num_labels, labels):
    model = tiny_model("bert", num_labels=num_labels)
    assert model.config.problem_type is None
    model(input_ids=torch.ones(2, 4, dtype=torch.long), labels=labels)
    assert losses.infer_problem_type(None, num_labels=num_labels, labels=labels) == model.config.problem_type


def test_an_unknown_problem_type_is_refused():
    with pytest.raises(ValueError, match="problem_type='token_classification'; known: .*'regression'"):
        losses.infer_problem_type("token_classification", num_labels=3, labels=None)
