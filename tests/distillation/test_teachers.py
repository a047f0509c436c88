"""Teachers: the wrong one is refused in one line; the right one answers without gradients and never changes."""

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.helpers.training import arguments, make_trainer, new_model
from trainer_ext import DistillPruneTrainer
from trainer_ext.distillation.losses import soft_target_kl
from trainer_ext.distillation.teachers import ChanceCheck, LiveTeacher, check_teacher, check_tokenizer, load_teacher
from trainer_ext.errors import InputError
from trainer_ext.models.compact.registration import MODEL_TYPES


def tokenizer_with(*words, **options):
    """A tokenizer of these words."""
    vocabulary = {word: index for index, word in enumerate(("[UNK]", "[PAD]", *words))}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]")),
        **{"unk_token": "[UNK]", "pad_token": "[PAD]", **options},
    )


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
    assert seen == [["attention_mask", "input_ids", "return_dict"]] * 2
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
        ({"vocab_size": 130}, "The teacher has 130 tokens and the model 128: .* the same tokenizer"),
        ({"max_position_embeddings": 30}, "The teacher reads at most 30 tokens and the model 40"),
    ],
)
def test_a_teacher_of_something_else_is_refused(tiny_model, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        check_teacher(tiny_model("bert", **changes), tiny_model())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_positions_behind_the_padding_are_not_counted(tiny_model, tiny_batch, model_type):
    """514 positions of RoBERTa are texts of 512 tokens."""
    student = tiny_model(model_type, max_position_embeddings=42, pad_token_id=1)
    check_teacher(tiny_model("bert", max_position_embeddings=40), student)
    with pytest.raises(InputError, match="at most 39 tokens and the model 40"):
        check_teacher(tiny_model("bert", max_position_embeddings=39), student)
    with pytest.raises(InputError, match="at most 40 tokens and the model 42"):
        check_teacher(student, tiny_model("bert", max_position_embeddings=42))
    ids = torch.full((1, 41), 5)
    student(input_ids=ids[:, :40])
    with pytest.raises((IndexError, RuntimeError)):  # the model agrees
        student(input_ids=ids)


@pytest.fixture
def saved_teacher(tiny_model, tmp_path):
    """A teacher opened from a folder that holds a tokenizer of two words."""
    tiny_model().save_pretrained(tmp_path)
    tokenizer_with("a", "b").save_pretrained(tmp_path)
    return load_teacher(str(tmp_path))


def test_a_teacher_with_the_same_tokenizer_passes(saved_teacher, tiny_model):
    check_tokenizer(saved_teacher, tiny_model(), tokenizer_with("a", "b"))
    check_tokenizer(saved_teacher, tiny_model(), None)
    check_tokenizer(tiny_model(), tiny_model(), tokenizer_with("b", "a"))  # never saved: nothing to compare


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (("b", "a"), "has another tokenizer: token '[ab]' has id [23] there and [23] here"),
        (("a",), "token 'b' has id 3 there and None here"),
        (("a", "b", "c"), "token 'c' has id None there and 4 here"),
    ],
)
def test_another_vocabulary_is_refused(saved_teacher, tiny_model, tokenizer, message):
    with pytest.raises(InputError, match=message) as caught:
        check_tokenizer(saved_teacher, tiny_model(), tokenizer_with(*tokenizer))
    assert "\n" not in str(caught.value)


def test_other_special_tokens_are_refused(saved_teacher, tiny_model):
    with pytest.raises(InputError, match=r"its special tokens are .*'\[PAD\]'.* here they are .*'pad_token': 'a'"):
        check_tokenizer(saved_teacher, tiny_model(), tokenizer_with("a", "b", pad_token="a"))


def test_a_folder_without_a_tokenizer_is_not_taken_for_an_empty_one(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    check_tokenizer(load_teacher(str(tmp_path)), tiny_model(), tokenizer_with("a", "b"))


@pytest.mark.parametrize("positional", [False, True])
def test_the_trainer_refuses_another_tokenizer(saved_teacher, tiny_model, tmp_path, positional):
    args = arguments(tmp_path / "out", distill_teacher=str(tmp_path))
    for tokenizer, fits in ((tokenizer_with("a", "b"), True), (tokenizer_with("b", "a"), False)):
        options = {"processing_class": tokenizer}
        given = (None, None, None, tokenizer) if positional else ()
        with nullcontext() if fits else pytest.raises(InputError, match="has another tokenizer"):
            DistillPruneTrainer(tiny_model(), args, *given, **({} if positional else options))


def test_a_teacher_from_where_the_model_came_from_passes(saved_teacher, tmp_path):
    """Whoever adds tokens to a model changes the tokenizer, and the copy of the model reads them too."""
    student = load_teacher(str(tmp_path))
    args = arguments(tmp_path / "out", distill_teacher="self")
    DistillPruneTrainer(student, args, processing_class=tokenizer_with("a", "b", "c"))


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


# Answers at random


def seen_by_chance_check(right, *, classes=3, rows=80, kind="labels"):
    """What a check says of a teacher that is right in a fraction of the rows and answers the next class in the others."""
    check = ChanceCheck()
    labels = torch.arange(rows) % classes
    found = torch.where(torch.arange(rows) < right * rows, labels, (labels + 1) % classes)
    for part in range(0, rows, 16):
        logits = torch.nn.functional.one_hot(found[part : part + 16], classes).float()
        if kind == "start_positions":
            check.see({"start_logits": logits, "end_logits": logits}, {kind: labels[part : part + 16]})
        else:
            check.see({"logits": logits}, {kind: labels[part : part + 16]})


@pytest.mark.parametrize("kind", ["labels", "start_positions"])
def test_teacher_no_better_than_chance_is_named_once(caplog, kind):
    seen_by_chance_check(0.2, kind=kind)
    assert caplog.text.count("no better than chance") == 1
    caplog.clear()
    seen_by_chance_check(0.6, kind=kind)
    seen_by_chance_check(0.3, rows=48)  # too few to say
    assert caplog.text == ""


def test_one_answer_for_everything_is_chance_however_frequent_that_label(caplog):
    labels = torch.zeros(64, dtype=torch.long)
    labels[:4] = 1
    ChanceCheck().see({"logits": torch.tensor([[1.0, 0.0]]).repeat(64, 1)}, {"labels": labels})
    assert "gives 60 of the first 64 labels" in caplog.text
    caplog.clear()
    found = torch.nn.functional.one_hot(labels, 2).float()
    found[0] = found[-1]
    ChanceCheck().see({"logits": found}, {"labels": labels})
    assert caplog.text == ""


def test_chance_is_not_asked_where_there_are_no_classes(caplog):
    check = ChanceCheck()
    check.see({"logits": torch.randn(80, 3)}, {"labels": torch.ones(80, 3)})
    check.see({"logits": torch.randn(80, 1)}, {"labels": torch.rand(80)})
    check.see({"logits": torch.randn(80, 3)}, {})
    assert caplog.text == ""


def test_a_training_with_such_a_teacher_says_so(tmp_path, caplog):
    make_trainer(tmp_path, rows=96, teacher=new_model(seed=1), max_steps=10).train()
    assert caplog.text.count("no better than chance") == 1
