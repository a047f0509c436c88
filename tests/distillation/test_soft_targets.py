"""Soft targets: the row follows from what a model answers; each is 0 at agreement and ignores what does not count."""

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from trainer_ext.distillation import losses, losses as soft_targets
from trainer_ext.distillation.losses import SOFT_TARGETS, soft_target_for

ROWS, TOKENS = 4, 6
MASK = torch.arange(TOKENS).expand(ROWS, TOKENS) < torch.tensor([[6], [4], [1], [3]])
LABELS = {
    "single_label_classification": torch.tensor([0, -100, 2, 1]),
    "multi_label_classification": torch.zeros(ROWS, 3),
    "regression": torch.zeros(ROWS),
    "token_classification": torch.where(MASK, 1, -100),
    "question_answering": None,
}
SHAPES = {"token_classification": (ROWS, TOKENS, 3), "question_answering": (ROWS, TOKENS)}


def answer(kind, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = SHAPES.get(kind, (ROWS, 3))
    return {name: 3 * torch.randn(shape, generator=generator) for name in SOFT_TARGETS[kind].outputs}


def batch_of(kind):
    return {"labels": LABELS[kind], "attention_mask": MASK.long()}


@pytest.mark.parametrize("kind", SOFT_TARGETS)
def test_agreement_costs_nothing_and_disagreement_does(kind):
    target, batch = SOFT_TARGETS[kind], batch_of(kind)
    same = target(answer(kind, 0), [answer(kind, 0)], batch, temperature=2.0)
    other = target(answer(kind, 0), [answer(kind, 1)], batch, temperature=2.0)
    assert same.shape == other.shape == ()
    assert same.item() == pytest.approx(0, abs=1e-5)
    assert other > 0.05


@pytest.mark.parametrize(
    ("kind", "ignored"),
    [
        ("single_label_classification", LABELS["single_label_classification"].eq(-100)),
        ("token_classification", ~MASK),
        ("question_answering", ~MASK),
    ],
)
def test_what_does_not_count_may_be_anything(kind, ignored):
    target, batch = SOFT_TARGETS[kind], batch_of(kind)
    student, teacher = answer(kind, 0), answer(kind, 1)
    expected = target(student, [teacher], batch, temperature=2.0)
    changed = {name: torch.where(ignored.view(*ignored.shape, *[1] * (x.dim() - ignored.dim())), 50 * x.flip(-1), x)
               for name, x in student.items()}  # fmt: skip
    assert not torch.equal(changed[target.outputs[0]], student[target.outputs[0]])
    assert target(changed, [teacher], batch, temperature=2.0) == expected
    assert target(changed, [teacher], {}, temperature=2.0) != expected


@pytest.mark.parametrize("kind", ["single_label_classification", "token_classification"])
def test_without_a_label_there_is_no_loss(kind):
    batch = {"labels": torch.full_like(LABELS[kind], -100)}
    student = {name: x.requires_grad_() for name, x in answer(kind, 0).items()}
    value = SOFT_TARGETS[kind](student, [answer(kind, 1)], batch, temperature=2.0)
    value.backward()
    assert value == 0
    assert student["logits"].grad.eq(0).all()


def test_start_and_end_of_a_span_count_alike():
    student, teacher = answer("question_answering", 0), answer("question_answering", 1)
    target, batch = SOFT_TARGETS["question_answering"], batch_of("question_answering")
    both = target(student, [teacher], batch, temperature=2.0)
    start, end = (
        losses.soft_target_span_kl(student[name], teacher[name], temperature=2.0, mask=MASK) for name in target.outputs
    )
    assert both.item() == pytest.approx((start + end).item() / 2)
    assert start != end


@pytest.mark.parametrize("kind", SOFT_TARGETS)
def test_the_row_follows_from_the_outputs(tiny_model, kind):
    config = tiny_model("bert", num_labels=1 if kind == "regression" else 3).config
    assert soft_target_for(answer(kind, 0), config, LABELS[kind]) == SOFT_TARGETS[kind]


@pytest.mark.parametrize(
    ("auto_class", "labels", "kind"),
    [
        (AutoModelForTokenClassification, 3, "token_classification"),
        (AutoModelForQuestionAnswering, 2, "question_answering"),
    ],
)
def test_real_models_find_their_row(tiny_model, tiny_batch, auto_class, labels, kind):
    classifier = tiny_model("bert", num_labels=labels)
    outputs = auto_class.from_config(classifier.config)(**tiny_batch(classifier))
    assert soft_target_for(outputs, classifier.config, None) == SOFT_TARGETS[kind]
    assert SOFT_TARGETS[kind](outputs, [outputs], tiny_batch(classifier), temperature=2.0) == 0


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
    assert soft_targets.infer_problem_type(given, num_labels=num_labels, labels=labels) == expected
    assert expected in soft_targets.SOFT_TARGETS


@pytest.mark.parametrize(("num_labels", "labels"), [(1, FLOATS[:, 0]), (3, IDS), (3, FLOATS)])
def test_the_problem_type_is_the_one_transformers_finds(tiny_model, num_labels, labels):
    model = tiny_model("bert", num_labels=num_labels)
    assert model.config.problem_type is None
    model(input_ids=torch.ones(2, 4, dtype=torch.long), labels=labels)
    assert soft_targets.infer_problem_type(None, num_labels=num_labels, labels=labels) == model.config.problem_type


def test_an_unknown_problem_type_is_refused():
    with pytest.raises(ValueError, match="problem_type='ranking'; known: .*'regression'"):
        soft_targets.infer_problem_type("ranking", num_labels=3, labels=None)
