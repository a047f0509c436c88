"""Teachers: the wrong one is refused in one line; the right one answers without gradients and never changes."""

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import torch

from trainer_ext.errors import InputError
from trainer_ext.family_names import MODEL_TYPES
from trainer_ext.losses import soft_target_kl
from trainer_ext.teachers import LiveTeacher, check_teacher, load_teacher


def named(model, *labels):
    model.config.id2label = dict(enumerate(labels))
    return model


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_logits_teach_and_the_teacher_does_not_learn(tiny_model, tiny_batch, model_type):
    student = tiny_model(model_type)
    expected = student(**tiny_batch(student)).logits.detach()
    teacher = LiveTeacher(copy.deepcopy(student).train())
    logits = teacher.answer(tiny_batch(student), nullcontext)["logits"]
    assert torch.equal(logits, expected)
    assert logits.dtype == torch.float32
    assert not logits.requires_grad
    with torch.no_grad():
        student.classifier.requires_grad_()
        next(student.classifier.parameters()).add_(0.1)
    soft_target_kl(student(**tiny_batch(student)).logits, logits, temperature=2.0).backward()
    assert any(parameter.grad is not None and parameter.grad.ne(0).any() for parameter in student.parameters())
    assert not teacher.model.training
    assert all(p.grad is None and not p.requires_grad for p in teacher.model.parameters())


def test_logits_can_be_saved_for_backward(tiny_model, tiny_batch):
    """Autograd refuses tensors made in inference mode: the teacher's must not be such."""
    teacher = LiveTeacher(tiny_model())
    logits = teacher.answer(tiny_batch(teacher.model), nullcontext)["logits"]
    weight = torch.ones((), requires_grad=True)
    (weight * logits).sum().backward()
    assert weight.grad == pytest.approx(logits.sum().item(), rel=1e-4)
    with torch.inference_mode():
        made_there = logits.clone()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        (weight * made_there).sum()


def test_labels_and_unknown_inputs_are_left_out(tiny_model, tiny_batch):
    teacher = LiveTeacher(tiny_model("distilbert"))
    batch = tiny_batch(teacher.model)
    more = {**batch, "labels": torch.tensor([7] * 6), "token_type_ids": torch.zeros(6, 16), "row": ["a"] * 6}
    seen = []
    teacher.model.register_forward_pre_hook(lambda module, args, given: seen.append(sorted(given)), with_kwargs=True)
    assert torch.equal(*(teacher.answer(given, nullcontext)["logits"] for given in (more, batch)))
    assert seen == [["attention_mask", "input_ids"]] * 2
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):  # handed on, labels would be judged
        teacher.model(**batch, labels=more["labels"])


def test_the_students_precision_is_used(tiny_model, tiny_batch):
    teacher = LiveTeacher(tiny_model())
    batch = tiny_batch(teacher.model)
    precisions = (partial(torch.autocast, "cpu", torch.bfloat16, enabled=on) for on in (False, True))
    full, half = (teacher.answer(batch, precision)["logits"] for precision in precisions)
    assert full.dtype == half.dtype == torch.float32
    assert not torch.equal(full, half)
    assert torch.equal(half, half.bfloat16().float())


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_copy_of_the_student_may_teach(tiny_model, model_type):
    check_teacher(tiny_model(model_type), tiny_model(model_type))


def test_what_may_differ(tiny_model):
    check_teacher(tiny_model("bert", num_hidden_layers=3), tiny_model("distilbert"))
    check_teacher(tiny_model("bert", max_position_embeddings=80), tiny_model())
    check_teacher(named(tiny_model(), "a", "b", "c"), tiny_model())  # one of the two has no names
    check_teacher(tiny_model(), named(tiny_model(), "a", "b", "c"))
    check_teacher(named(tiny_model(), "a", "b", "c"), named(tiny_model(), "a", "b", "c"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_labels": 2}, "The teacher has 2 labels and the model 3: .* Fine-tune the teacher on this task first"),
        ({"vocab_size": 130}, "The teacher knows 130 tokens and the model 128: .* the same tokenizer"),
        ({"max_position_embeddings": 30}, "The teacher reads at most 30 positions and the model 40"),
    ],
)
def test_a_teacher_of_something_else_is_refused(tiny_model, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        check_teacher(tiny_model("bert", **changes), tiny_model())
    assert "\n" not in str(caught.value)


def test_other_label_names_or_another_order_are_refused(tiny_model):
    student = named(tiny_model(), "bad", "good", "so-so")
    with pytest.raises(InputError, match="The teacher calls label 0 'good' and the model 'bad'"):
        check_teacher(named(tiny_model(), "good", "bad", "so-so"), student)
    with pytest.raises(InputError, match="The teacher calls label 2 'other' and the model 'so-so'"):
        check_teacher(named(tiny_model(), "bad", "good", "other"), student)


def test_a_teacher_opens_from_its_folder(tiny_model, tiny_batch, tmp_path):
    model = tiny_model("roberta")
    model.save_pretrained(tmp_path / "teacher")
    opened = load_teacher(str(tmp_path / "teacher"))
    assert torch.equal(opened(**tiny_batch(model)).logits, model(**tiny_batch(model)).logits)


@pytest.mark.parametrize("name", ["./nowhere", "../nowhere/at/all", "/nowhere", "~/nowhere", "a/b/c"])
def test_a_missing_folder_is_refused_before_the_hub_is_asked(name):
    with pytest.raises(
        InputError, match=f"distill_teacher {name}: there is no such folder; give 'self', a folder or a Hub id"
    ):
        load_teacher(name)


def test_a_folder_without_a_model_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"distill_teacher .* cannot be opened \(") as caught:
        load_teacher(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
