"""Features of Trainer that change how a step is computed: with masks and a teacher each keeps what it promises."""

import math

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.helpers.training import PRUNE, Rows, differing, logged, make_trainer, new_model

FIELDS = {**PRUNE, "distill_teacher": "self"}
NAMED_ACTIVATION = pytest.mark.skipif(
    "activation_checkpointing" not in TrainingArguments.__dataclass_fields__, reason="a newer name of transformers"
)


class FullSize(TrainerCallback):
    """Keeps the weights and scores of the last step, before the model is cut."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}


def run(folder, **fields):
    """A run with masks and a teacher that ends with a small model and finite losses."""
    keeper = FullSize()
    trainer = make_trainer(folder, callbacks=[keeper], **{**FIELDS, **fields})
    dense = sum(p.numel() for p in trainer.model.parameters())
    trainer.train()
    assert sum(p.numel() for p in trainer.model.parameters()) < 0.9 * dense
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert all(map(math.isfinite, logged(trainer, "loss")))
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    return trainer, keeper.weights


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing:FutureWarning")  # scripts still say it this way
@pytest.mark.parametrize(
    "fields",
    [
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        pytest.param({"activation_checkpointing": True}, marks=NAMED_ACTIVATION),
    ],
    ids=["gradient", "gradient, reentrant", "activation"],
)
@pytest.mark.parametrize("method", ["movement", pytest.param("magnitude", marks=pytest.mark.slow)])
def test_checkpointing_changes_no_weight(tmp_path, fields, method):
    plain, expected = run(tmp_path, prune_method=method)
    trainer, found = run(tmp_path, prune_method=method, **fields)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert trainer.compression.heads == plain.compression.heads
    assert trainer.compression.neurons == plain.compression.neurons


def test_label_smoothing_smooths_the_task_term_as_trainer_does(tmp_path):
    fields = {"label_smoothing_factor": 0.2, "rows": 8, "max_steps": 1}
    trainer = make_trainer(tmp_path, model=new_model(dropout=0.0), **FIELDS, **fields)
    stock = make_trainer(tmp_path, Trainer, model=new_model(dropout=0.0), args_class=TrainingArguments, **fields)
    for each in (trainer, stock):
        each.train()
    assert logged(trainer, "loss_task") == pytest.approx(logged(stock, "loss"), rel=1e-6)
    run(tmp_path, label_smoothing_factor=0.2)


def test_bf16_rounds_the_logits_and_keeps_scores_in_fp32(tmp_path):
    _, expected = run(tmp_path)
    trainer, found = run(tmp_path, bf16=True)
    assert differing(found, expected)  # the control: autocast was on
    assert {value.dtype for name, value in found.items() if "scores" in name} == {torch.float32}
    assert trainer.model.dtype == torch.float32
    run(tmp_path, bf16=True, bf16_full_eval=True)


def test_neftune_adds_noise_to_training_only(tmp_path):
    trainer, found = run(tmp_path, neftune_noise_alpha=20.0)
    _, expected = run(tmp_path)
    assert differing(found, expected)
    embeddings = trainer.model.get_input_embeddings()
    assert not embeddings._forward_hooks
    ids = trainer.eval_dataset[0]["input_ids"]
    assert torch.equal(embeddings.train()(ids), embeddings.eval()(ids))


@pytest.mark.parametrize(
    "fields",
    [
        {"torch_empty_cache_steps": 2},
        {"include_num_input_tokens_seen": "all"},
        {"logging_strategy": "epoch", "disable_tqdm": False},
    ],
    ids=str,
)
def test_what_only_looks_on_changes_no_bit(tmp_path, fields):
    trainer, _ = run(tmp_path, **fields)
    plain, _ = run(tmp_path)
    assert differing(trainer.model.state_dict(), plain.model.state_dict()) == []


def test_metrics_see_inputs_and_losses(tmp_path):
    seen = []

    def look(prediction):
        seen.append((prediction.inputs.shape, prediction.losses.shape, prediction.predictions.shape))
        return {"rows": len(prediction.predictions)}

    wanted = {"include_for_metrics": ["inputs", "loss"], "eval_strategy": "steps", "eval_steps": 5}
    trainer, _ = run(tmp_path, compute_metrics=look, **wanted)
    assert set(seen) == {((16, 8), (16,), (16, 3))}
    assert logged(trainer, "eval_rows") == [16, 16, 16]


def test_metrics_can_be_computed_batch_by_batch(tmp_path):
    rows = []

    def count(prediction, compute_result):
        rows.append(len(prediction.predictions))
        return {"rows": sum(rows)} if compute_result else {}

    trainer = make_trainer(tmp_path, compute_metrics=count, batch_eval_metrics=True, **FIELDS)
    trainer.train()
    assert trainer.evaluate(Rows(24, seed=1))["eval_rows"] == 24
