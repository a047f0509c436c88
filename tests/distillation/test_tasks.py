"""Every kind of task distils with its loss, whatever a batch is split into and whatever has no label."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from tests.helpers.distilling import KINDS, TaskRows, model_for
from tests.helpers.training import logged, make_trainer
from tests.trainer.test_accumulation import SGD, GradientRecorder
from trainer_ext.distillation.losses import SOFT_TARGETS

SPLITS = [(10, 1), (4, 3), (1, 10)]  # of 10 rows: the last micro-batch of (4, 3) has 2 of them


def run(folder, kind, split=(10, 1), **fields):
    recorder = GradientRecorder()
    values = {"per_device_train_batch_size": split[0], "gradient_accumulation_steps": split[1], "max_steps": 3}
    values |= {"model": model_for(kind), "teacher": model_for(kind, seed=1), "rows": TaskRows(10, kind)}
    values |= {**SGD, "learning_rate": 0.01, "distill_alpha": 0.5, **fields}
    trainer = make_trainer(folder, callbacks=[recorder], **values)
    trainer.train()
    return trainer, recorder


def assert_same_run(first, second):
    for name in ("loss", "loss_task", "loss_distill"):
        assert logged(first[0], name) == pytest.approx(logged(second[0], name), rel=1e-5)
    for before, after in zip(first[1].gradients, second[1].gradients, strict=True):
        torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_each_task_distils_with_its_loss(tmp_path, kind):
    trainer, _ = run(tmp_path, kind)
    batch = TaskRows(10, kind).batch()
    with torch.no_grad():
        student, teacher = model_for(kind)(**batch), model_for(kind, seed=1)(**batch)
        expected = SOFT_TARGETS[kind](student, [teacher], batch, temperature=2.0).item()
    task, distill = logged(trainer, "loss_task")[0], logged(trainer, "loss_distill")[0]
    assert task == pytest.approx(student.loss.item(), rel=1e-5)
    assert distill == pytest.approx(expected, rel=1e-4)
    assert logged(trainer, "loss")[0] == pytest.approx((task + distill) / 2, rel=1e-5)
    assert logged(trainer, "loss")[-1] < logged(trainer, "loss")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_splitting_a_batch_changes_nothing(tmp_path, kind):
    whole = run(tmp_path, kind, SPLITS[0])
    for split in SPLITS[1:]:
        assert_same_run(whole, run(tmp_path, kind, split))


@pytest.mark.parametrize("fields", [{}, {"label_smoothing_factor": 0.1}], ids=["plain", "smoothed"])
def test_rows_without_a_label_count_for_nothing(tmp_path, fields):
    """Alone in a micro-batch too, where the task loss is the mean over nothing; and whatever they say."""
    kind = "single_label_classification"
    rows, others = (TaskRows(10, kind, unlabelled=True) for _ in range(2))
    others.ids[::3] = 7
    whole = run(tmp_path, kind, rows=rows, **fields)
    assert all(loss > 0 for loss in logged(whole[0], "loss"))  # and not NaN
    for split in SPLITS[1:]:
        assert_same_run(whole, run(tmp_path, kind, split, rows=rows, **fields))
    assert_same_run(whole, run(tmp_path, kind, rows=others, **fields))
    labelled, _ = run(tmp_path, kind, **fields)
    assert logged(labelled, "loss")[0] != pytest.approx(logged(whole[0], "loss")[0], rel=1e-3)


def test_a_batch_without_any_label_moves_nothing(tmp_path):
    kind = "single_label_classification"
    rows = TaskRows(10, kind)
    rows.labels["labels"][:] = -100
    trainer, recorder = run(tmp_path, kind, (5, 2), rows=rows, logging_nan_inf_filter=False)
    assert logged(trainer, "loss") == [0, 0, 0]
    assert all(gradient.eq(0).all() for gradient in recorder.gradients[0].values())


def test_stock_trainer_meets_nan_where_no_row_has_a_label(tmp_path):
    """The control: the mean over nothing is not a number."""
    kind = "single_label_classification"
    rows = TaskRows(2, kind)
    rows.labels["labels"][:] = -100
    trainer = make_trainer(
        *(tmp_path, Trainer),
        **{"rows": rows, "model": model_for(kind), "args_class": TrainingArguments, "max_steps": 1},
        logging_nan_inf_filter=False,
    )
    trainer.train()
    assert str(logged(trainer, "loss")[0]) == "nan"


@pytest.mark.parametrize("kind", ["token_classification", "question_answering"])
def test_a_teacher_in_a_folder_opens_with_the_head_of_the_student(tmp_path, kind):
    model_for(kind, seed=1).save_pretrained(tmp_path / "teacher")
    named, _ = run(tmp_path, kind, teacher=None, distill_teacher=str(tmp_path / "teacher"))
    given, _ = run(tmp_path, kind)
    assert logged(named, "loss") == logged(given, "loss")
