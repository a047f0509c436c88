"""Numbers in half precision: steps that a scaler skips, evaluation in 16 bits, and logits at the ends of fp16."""

import math

import pytest
import torch
from transformers import TrainerCallback

from tests.helpers.training import PRUNE, Rows, differing, make_trainer
from trainer_ext.distillation.losses import SOFT_TARGETS
from trainer_ext.utils import finite

FIELDS = {**PRUNE, "distill_teacher": "self", "max_steps": 6}
FURTHEST = torch.finfo(torch.float16).max
SHAPES = {"token_classification": (4, 6, 3), "question_answering": (4, 6), "regression": (4, 1)}


def steep_loss(outputs, labels, num_items_in_batch=None):
    """A loss of the user's that is large."""
    return 1000 * torch.nn.functional.cross_entropy(outputs.logits, labels)


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused"])
def test_steps_that_a_scaler_skips_move_nothing_and_the_run_ends_as_it_should(tmp_path, caplog, optim):
    """In fp16 gradients overflow until the scale fits; the scaler of a graphics card runs here on the processor."""
    found = []

    class Watch(TrainerCallback):
        def look(self, model):
            weights = {name: p.detach().clone() for name, p in model.named_parameters()}
            return float(trainer.accelerator.scaler.get_scale()), weights

        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            self.before = self.look(model)

        def on_optimizer_step(self, args, state, control, model=None, **kwargs):
            (scale, weights), (scale_after, weights_after) = self.before, self.look(model)
            found.append((scale_after < scale, bool(differing(weights, weights_after))))

    fields = {**FIELDS, "max_steps": 20, "optim": optim, "max_grad_norm": 0.0}
    trainer = make_trainer(tmp_path, **fields, callbacks=[Watch()], compute_loss_func=steep_loss)
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126, backoff_factor=2.0**-8)
    trainer.train()
    assert 0 < sum(skipped for skipped, _ in found) < 20
    assert all(skipped != moved for skipped, moved in found)
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert not finite.bad_tensors(trainer.model)
    assert not [record for record in caplog.records if record.name == finite.__name__]


@pytest.mark.parametrize("name", ["bf16_full_eval", "fp16_full_eval"])
def test_a_small_model_is_evaluated_in_half_precision(tmp_path, name):
    trainer = make_trainer(tmp_path, **FIELDS, **{name: True})
    trainer.train()
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    assert math.isfinite(trainer.predict(Rows(4)).predictions.sum())


@pytest.mark.parametrize("temperature", [0.1, 2.0])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", SOFT_TARGETS)
def test_logits_at_the_ends_of_fp16_give_a_loss_and_a_gradient(kind, several, temperature):
    """Student and teachers as far apart as half precision goes: the terms are computed in fp32."""
    shape = SHAPES.get(kind, (4, 3))
    far = torch.full(shape, FURTHEST, dtype=torch.float16)
    far.view(-1)[::2] *= -1
    target = SOFT_TARGETS[kind]
    student = {name: far.clone().requires_grad_() for name in target.outputs}
    teachers = [dict.fromkeys(target.outputs, sign * far) for sign in ((-1, 1) if several else (-1,))]
    batch = {"attention_mask": torch.ones(4, 6), "labels": torch.zeros(shape[:2] if len(shape) == 3 else 4).long()}
    loss = target(student, teachers, batch, temperature=temperature)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert loss > 0
    assert all(values.grad.isfinite().all() for values in student.values())
