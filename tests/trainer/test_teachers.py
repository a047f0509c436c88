"""Teachers, and what is refused before training."""

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from tests.helpers.training import LABELS, PRUNE, Rows, arguments, differing, logged, make_trainer, new_model
from trainer_ext import DistillPruneTrainer, InputError, load_masked
from trainer_ext.distillation.losses import SOFT_TARGETS


def test_a_teacher_can_be_a_module_a_folder_or_the_model_itself(tmp_path):
    new_model().save_pretrained(tmp_path / "teacher")
    losses = {}
    for name, fields in {
        "module": {"teacher": new_model()},
        "folder": {"distill_teacher": str(tmp_path / "teacher")},
        "self": {"distill_teacher": "self"},
        "other": {"teacher": new_model(seed=1)},
        "plain arguments": {"teacher": new_model(), "args_class": TrainingArguments},
    }.items():
        trainer = make_trainer(tmp_path, **fields, max_steps=4)
        trainer.train()
        losses[name] = logged(trainer, "loss_distill")
        assert len(losses[name]) == 4
    assert losses["module"] == losses["folder"] == losses["self"] == losses["plain arguments"]
    assert losses["module"] != losses["other"]


@pytest.mark.parametrize("fields", [{}, PRUNE], ids=["distil", "distil and prune"])
def test_the_teacher_is_frozen_and_answers_without_dropout(tmp_path, fields):
    teacher = new_model(seed=1).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    trainer = make_trainer(tmp_path, teacher=teacher, **fields)
    trainer.train()
    assert differing(before, trainer.distillation.teachers[0].model.state_dict()) == []
    assert not trainer.distillation.teachers[0].model.training
    assert not any(p.requires_grad for p in trainer.distillation.teachers[0].model.parameters())


def test_self_is_a_copy_of_the_dense_model(tmp_path):
    model = new_model()
    trainer = make_trainer(tmp_path, model=model, **PRUNE, distill_teacher="self")
    assert trainer.distillation.teachers[0].model is not model
    assert not hasattr(trainer.distillation.teachers[0].model, "pruning")
    trainer.train()
    assert differing(new_model().state_dict(), trainer.distillation.teachers[0].model.state_dict()) == []


def masked_checkpoint(folder, step, **fields):
    """The folder of a checkpoint with masks, of a pruning run whose sparsity rises from step 3 on."""
    options = {**PRUNE, "prune_start": 0.3, "save_strategy": "steps", "save_steps": 2}
    make_trainer(folder, **{**options, **fields}).train()
    return folder / f"checkpoint-{step}"


@pytest.fixture(scope="module", params=["movement", "soft_movement", "magnitude"])
def pruned(request, tmp_path_factory):
    """A method, and a checkpoint in which it has closed units; one training for all tests of a method."""
    return request.param, masked_checkpoint(tmp_path_factory.mktemp("pruned"), 10, prune_method=request.param)


@pytest.mark.parametrize("fields", [PRUNE, {"prune_method": "none"}], ids=["prune", "distil only"])
@pytest.mark.parametrize("names", [{"distill_teacher": "self"}, {"distill_teachers": ["self"]}], ids=str)
def test_self_is_refused_for_a_model_that_is_already_pruned(tmp_path, pruned, fields, names):
    method, checkpoint = pruned
    model = load_masked(checkpoint)
    if fields is PRUNE:
        fields = {"prune_start": 0.3, **PRUNE, "prune_method": method}
    with pytest.raises(InputError, match=r"'self' .* is already pruned \(sparsity 0\.\d+\).*distill_teacher=.*dense"):
        make_trainer(tmp_path, model=model, **fields, **names)
    dense = make_trainer(tmp_path, model=model, teacher=new_model(), **fields)  # the way out
    assert not hasattr(dense.distillation.teachers[0].model, "pruning")


@pytest.mark.parametrize("method", ["movement", "soft_movement", "magnitude"])
def test_self_is_dense_where_the_masks_are_still_open(tmp_path, method):
    fields = {**PRUNE, "prune_start": 0.3, "prune_method": method}
    early = load_masked(masked_checkpoint(tmp_path, 2, **fields))
    batch = {name: torch.stack([row[name] for row in Rows(4)]) for name in ("input_ids", "attention_mask")}
    expected = early(**batch).logits
    trainer = make_trainer(tmp_path, model=early, **fields, distill_teacher="self")
    teacher = trainer.distillation.teachers[0].model
    assert not hasattr(teacher, "pruning")
    trainer.train()
    assert trainer.compression is not None
    assert torch.equal(teacher(**batch).logits, expected)


KINDS = ("single_label_classification", "multi_label_classification", "regression")


@pytest.mark.parametrize("kind", KINDS)
def test_each_problem_type_distils_with_its_loss(tmp_path, kind):
    labels = 1 if kind == "regression" else LABELS
    student, teacher = (new_model(seed=seed, dropout=0.0, num_labels=labels, problem_type=kind) for seed in (0, 1))
    rows = Rows(8, kind=kind)
    batch = {name: torch.stack([rows[i][name] for i in range(8)]) for name in rows[0]}
    with torch.no_grad():
        output, soft = student(**batch), teacher(**batch)
        expected = SOFT_TARGETS[kind](output, [soft], {}, temperature=3.0).item()
    trainer = make_trainer(tmp_path, model=student, teacher=teacher, rows=rows, distill_temperature=3.0, max_steps=2)
    trainer.train()
    assert logged(trainer, "loss_distill")[0] == pytest.approx(expected, rel=1e-4)
    assert logged(trainer, "loss_task")[0] == pytest.approx(output.loss.item(), rel=1e-5)
    for other in set(KINDS) - {kind}:
        loss = SOFT_TARGETS[other](output, [soft], {}, temperature=3.0).item()
        assert loss != pytest.approx(expected, rel=1e-3)


def test_label_smoothing_works_beside_a_teacher(tmp_path):
    task = {}
    for smoothing in (0.0, 0.2):
        trainer = make_trainer(
            tmp_path,
            **{"model": new_model(dropout=0.0), "rows": 8, "max_steps": 1, "teacher": new_model(seed=1)},
            label_smoothing_factor=smoothing,
        )
        trainer.train()
        task[smoothing] = logged(trainer, "loss_task")[0]
    stock = make_trainer(
        *(tmp_path, Trainer),
        **{"model": new_model(dropout=0.0), "rows": 8, "max_steps": 1, "args_class": TrainingArguments},
        label_smoothing_factor=0.2,
    )
    stock.train()
    assert task[0.2] == pytest.approx(logged(stock, "loss")[0], rel=1e-6)
    assert task[0.0] != pytest.approx(task[0.2], rel=1e-3)


# What is refused, before training


def test_two_teachers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="both teacher=... and distill_teacher='self'. Choose one"):
        make_trainer(tmp_path, teacher=new_model(), distill_teacher="self")


NAMES = {0: "no", 1: "maybe", 2: "yes"}


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ({}, {"num_labels": 5}, "5 labels and the model 3"),
        (
            {"id2label": NAMES},
            {"id2label": {0: "no", 1: "yes", 2: "maybe"}},
            "calls label 1 'yes' and the model 'maybe'",
        ),
        ({}, {"vocab_size": 200}, "200 tokens and the model 128"),
        ({}, {"max_position_embeddings": 16}, "at most 16 tokens and the model 64"),
    ],
)
def test_a_teacher_that_cannot_be_compared_is_refused(tmp_path, student, teacher, message):
    given, other = new_model(**student), new_model(**teacher)
    other.save_pretrained(tmp_path / "teacher")
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, model=given, teacher=other)
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, model=given, distill_teacher=str(tmp_path / "teacher"))
    make_trainer(tmp_path, model=given, teacher=new_model(**student))  # the control


@pytest.mark.parametrize(
    ("name", "message"),
    [("./nowhere", "./nowhere: there is no such folder"), ("no-such-user/no-such-model", "cannot be opened")],
)
def test_a_teacher_that_is_not_there_is_refused_in_one_line(tmp_path, name, message):
    with pytest.raises(ValueError, match=message) as refusal:
        make_trainer(tmp_path, distill_teacher=name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("fields", [PRUNE, {"distill_teacher": "self"}, {"teacher": None}], ids=str)
def test_several_devices_in_one_process_are_refused(tmp_path, fields):
    options = dict(fields)
    teacher = {"teacher": new_model()} if "teacher" in options else {}
    options.pop("teacher", None)
    args = arguments(tmp_path, **options)
    args._n_gpu = 2
    with pytest.raises(ValueError, match="DataParallel .2 devices in one process.*torchrun"):
        DistillPruneTrainer(new_model(), args, **teacher)
    plain = arguments(tmp_path)
    plain._n_gpu = 2
    assert DistillPruneTrainer(new_model(), plain).args.n_gpu == 2  # as Trainer


def test_an_unknown_architecture_is_refused_for_pruning_only(tmp_path):
    def gpt2():
        values = {"n_embd": 32, "n_layer": 1, "n_head": 4, "vocab_size": 128, "num_labels": 3, "pad_token_id": 0}
        return AutoModelForSequenceClassification.from_config(AutoConfig.for_model("gpt2", **values))

    with pytest.raises(
        ValueError, match="No pruning layout for model_type='gpt2'.*trainer_ext.models.architectures.ARCHITECTURES"
    ):
        make_trainer(tmp_path, model=gpt2(), **PRUNE)
    trainer = make_trainer(tmp_path, model=gpt2(), distill_teacher="self", max_steps=1)
    trainer.train()
    assert len(logged(trainer, "loss_distill")) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prune_block_size": 32}, "does not divide the head size 8"),
        ({"prune_attention": "none", "prune_sparsity": 0.8}, "prune_sparsity=0.8 cannot be reached"),
    ],
)
def test_what_the_model_does_not_allow_is_refused(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **{**PRUNE, **fields})


def test_a_frozen_encoder_is_refused_for_movement(tmp_path):
    model = new_model()
    model.bert.requires_grad_(False)
    with pytest.raises(ValueError, match="requires_grad=False"):
        make_trainer(tmp_path, model=model, **PRUNE)
