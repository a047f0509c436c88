"""With pruning or a teacher on, loss, gradients and weights do not depend on how a batch is split."""

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.helpers.training import PRUNE, Rows, logged, make_trainer, new_model

# SGD, because Adam's first step is the sign of the gradient: it makes ties between scores, which rounding then decides.
SGD = {
    "optim": "sgd",
    "learning_rate": 0.1,
    "prune_score_lr": 1.0,
    "max_grad_norm": 0.0,
    "lr_scheduler_type": "constant",
}
MODES = {
    "pruning": PRUNE,
    "magnitude": {**PRUNE, "prune_method": "magnitude"},
    "teacher": {"distill_alpha": 0.5},
    "both": {**PRUNE, "distill_alpha": 0.5},
    "both, smoothed": {**PRUNE, "distill_alpha": 0.5, "label_smoothing_factor": 0.1},
    "pruning, smoothed": {**PRUNE, "label_smoothing_factor": 0.1},
}
EVEN = (32, [(8, 1), (4, 2), (2, 4)])
UNEVEN = (10, [(10, 1), (4, 3), (6, 2), (3, 4)])  # the last micro-batch has 2, 4 and 1 rows


class GradientRecorder(TrainerCallback):
    """Keeps the gradients of every step and the weights before the structure is fixed."""

    def __init__(self):
        self.gradients, self.weights = [], None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights = {n: p.detach().clone() for n, p in model.named_parameters()}


def run(folder, rows, micro_batch, steps, fields, **options):
    """Train for 8 steps without dropout, so that splitting cannot change random numbers."""
    rows = rows if isinstance(rows, Rows) else Rows(rows)
    recorder = GradientRecorder()
    batch = {"per_device_train_batch_size": micro_batch, "gradient_accumulation_steps": steps, "max_steps": 8}
    teacher = {"teacher": new_model(seed=1, dropout=0.0)} if "distill_alpha" in fields else {}
    model = new_model(dropout=0.0)
    fields = {**SGD, **batch, **fields, **teacher, **options}
    trainer = make_trainer(folder, rows=rows, model=model, callbacks=[recorder], **fields)
    trainer.train()
    return trainer, recorder


# Micro-batches of different sizes are the harder case, and the modes together have every term.
FAST = {
    ("pruning", "uneven"),
    ("teacher", "uneven"),
    ("both", "uneven"),
    ("both, smoothed", "uneven"),
    ("both", "even"),
}
CASES = [
    pytest.param(fields, *split, id=f"{mode}-{size}", marks=[] if (mode, size) in FAST else pytest.mark.slow)
    for mode, fields in MODES.items()
    for size, split in (("even", EVEN), ("uneven", UNEVEN))
]


@pytest.mark.parametrize(("fields", "rows", "splits"), CASES)
def test_splitting_a_batch_changes_nothing(tmp_path, fields, rows, splits):
    whole, expected = run(tmp_path, rows, *splits[0], fields)
    for split in splits[1:]:
        trainer, found = run(tmp_path, rows, *split, fields)
        for name in ("loss", "loss_task", "loss_distill", "sparsity"):
            assert logged(trainer, name) == pytest.approx(logged(whole, name), rel=1e-5)
        for before, after in zip(expected.gradients, found.gradients, strict=True):
            torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(found.weights, expected.weights, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_splitting_changes_nothing_for_other_problem_types(tmp_path, kind):
    labels = 1 if kind == "regression" else 3
    losses = []
    for split in UNEVEN[1]:
        model, teacher = (new_model(seed=s, dropout=0.0, num_labels=labels, problem_type=kind) for s in (0, 1))
        batch = {"per_device_train_batch_size": split[0], "gradient_accumulation_steps": split[1], "max_steps": 4}
        trainer = make_trainer(
            tmp_path, rows=Rows(10, kind=kind), model=model, teacher=teacher, **{**SGD, **PRUNE, **batch}
        )
        trainer.train()
        losses.append(logged(trainer, "loss"))
    assert all(loss == pytest.approx(losses[0], rel=1e-5) for loss in losses)


def test_a_head_for_which_trainer_counts_no_labels(tmp_path):
    """Then every micro-batch is one share, and Trainer must not divide once more."""
    losses = []
    for micro_batch, steps in EVEN[1]:
        model = new_model(dropout=0.0)
        model.accepts_loss_kwargs = False
        batch = {"per_device_train_batch_size": micro_batch, "gradient_accumulation_steps": steps, "max_steps": 4}
        trainer = make_trainer(tmp_path, model=model, **{**SGD, **PRUNE, **batch})
        trainer.train()
        losses.append(logged(trainer, "loss"))
    assert all(loss == pytest.approx(losses[0], rel=1e-5) for loss in losses)


def test_rows_without_a_label_count_for_nothing(tmp_path):
    rows = Rows(10)
    rows.labels[[1, 2, 7]] = -100
    (whole, expected), (split, found) = (run(tmp_path, rows, *s, PRUNE) for s in UNEVEN[1][:2])
    assert logged(split, "loss") == pytest.approx(logged(whole, "loss"), rel=1e-5)
    torch.testing.assert_close(found.gradients[0], expected.gradients[0], atol=1e-6, rtol=1e-4)


def test_stock_trainer_is_off_by_the_number_of_splits(tmp_path):
    """The control: what these tests compare does change where nothing is done about it (transformers#47688)."""
    losses, gradients = [], []
    for micro_batch, steps in EVEN[1]:
        recorder = GradientRecorder()
        trainer = make_trainer(
            *(tmp_path, Trainer),
            model=new_model(dropout=0.0),
            callbacks=[recorder],
            **{"max_grad_norm": 0.0, "max_steps": 1, "per_device_train_batch_size": micro_batch},
            gradient_accumulation_steps=steps,
            args_class=TrainingArguments,
        )
        trainer.train()
        losses.append(logged(trainer, "loss")[0])
        gradients.append(recorder.gradients[0]["classifier.weight"])
    assert losses == pytest.approx([losses[0], 2 * losses[0], 4 * losses[0]], rel=1e-5)
    torch.testing.assert_close(gradients[2], 4 * gradients[0])
