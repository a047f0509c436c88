"""nn_pruning's hybrid with the current Trainer: its masks, schedule, penalty, optimizer groups and distillation.

Block movement pruning as released (Lagunas et al. 2021, arXiv 2109.04838): 32 x 32 blocks of attention and whole
feed-forward neurons are kept while the sigmoid of their score is above a threshold, and an L1 penalty lowers the scores.
All of that is nn_pruning's own code; only its Trainer, which can no longer be imported, is rewritten here. Two changes make
the comparison fair: scores have no weight decay (as with its own optimizer), and masks are computed outside autocast, where
bf16 would flip some of them. It supports only BERT.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import Trainer, TrainerCallback

from recipes.benchmarks.nn_pruning_shim import load_masked_nn
from trainer_ext.pruning.schedules import phase_steps

# Common to its configurations for MNLI and SQuAD.
HYBRID = {
    "attention_pruning_method": "sigmoied_threshold",
    "attention_output_with_dense": False,
    "dense_pruning_method": "sigmoied_threshold:1d_alt",
    "initial_threshold": 0.0,
    "final_threshold": 0.1,
    "regularization": "l1",
    "distil_alpha_ce": 0.1,
    "distil_alpha_teacher": 0.9,
    "distil_temperature": 2.0,
}


class OutsideAutocast(nn.Module):
    """A mask module that computes in the precision of its scores, outside autocast."""

    def __init__(self, mask_module: nn.Module):
        super().__init__()
        self.inner = mask_module

    def forward(self, weight, threshold):
        """Return the mask of a weight."""
        with torch.autocast(weight.device.type, enabled=False):
            return self.inner(weight, threshold)


class ThresholdCallback(TrainerCallback):
    """Sets nn_pruning's threshold by its own schedule, with the phases as fractions of the run."""

    def __init__(self, coordinator, start: float, end: float):
        self.coordinator, self.start, self.end = coordinator, start, end

    def on_train_begin(self, args, state, control, **kwargs):
        """Set the phases, which are multiples of the warm-up; with a warm-up of 1 they are numbers of steps."""
        first, last = phase_steps(state.max_steps, start=self.start, end=self.end)
        self.coordinator.sparse_args.initial_warmup = first
        self.coordinator.sparse_args.final_warmup = state.max_steps - last

    def on_step_begin(self, args, state, control, **kwargs):
        """Set the threshold of this step."""
        self.coordinator.schedule_threshold(state.global_step, state.max_steps, 1, training=True)


class HybridTrainer(Trainer):
    """A Trainer that prunes a BERT classifier like nn_pruning; `compile` then applies the masks to the weights.

    Args:
        model: A BERT classifier, changed in place.
        args: `TrainingArguments` without saving, because scores are shared between modules.
        teacher: A live teacher, which is frozen, or None.
        penalty: Final weight of the L1 penalty on the scores (its `regularization_final_lambda`).
        score_lr: Learning rate of the scores.
        start, end: Fractions of the run between which the threshold rises.
        block_size: Rows and columns of an attention block.
        **kwargs: Passed to `Trainer`.

    Raises:
        ValueError: The model is not BERT.
    """

    def __init__(self, model, args, *, teacher, penalty, score_lr=1e-2, start=0.1, end=0.6, block_size=32, **kwargs):
        if model.config.model_type != "bert":
            raise ValueError(
                f"nn_pruning's patterns know BERT alone, and this is model_type={model.config.model_type!r}."
            )
        masked_nn = load_masked_nn()
        from nn_pruning.patch_coordinator import ModelPatchingCoordinator, SparseTrainingArguments

        fields = {"attention_block_rows": block_size, "attention_block_cols": block_size}
        fields |= {"regularization_final_lambda": penalty, "mask_scores_learning_rate": score_lr}
        sparse_args = SparseTrainingArguments(**HYBRID, **fields)
        self.coordinator = ModelPatchingCoordinator(sparse_args, None, None, ["logits"], None)
        self.coordinator.patch_model(model)
        self.coordinator.schedule_threshold()
        if teacher is not None:
            self.coordinator.teacher = teacher.requires_grad_(False).eval().to(args.device)
        for module in model.modules():
            if isinstance(module, masked_nn.MaskedLinear):
                module.mask_module = OutsideAutocast(module.mask_module)
        super().__init__(model, args, **kwargs)
        self.add_callback(ThresholdCallback(self.coordinator, start, end))

    def create_optimizer(self, model=None):
        """Create its three parameter groups; the scores have no weight decay."""
        groups = self.coordinator.create_optimizer_groups(self.model, self.args, self.coordinator.sparse_args)
        groups[0]["weight_decay"] = 0.0
        optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args)
        self.optimizer = optimizer_class(groups, **options)
        return self.optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return its mean of task loss and distillation loss plus its penalty; in evaluation only the task loss."""
        outputs = model(**inputs)
        loss = outputs.loss
        if model.training:
            with self.accelerator.autocast():  # the teacher must be as fast as the student
                known = {"token_type_ids": torch.zeros_like(inputs["input_ids"]), **inputs}
                loss, _ = self.coordinator.distil_loss_combine(loss, known, outputs)
            penalty, weight, _ = self.coordinator.regularization_loss(model)
            loss = loss + weight * penalty
        return (loss, outputs) if return_outputs else loss

    def compile(self) -> nn.Module:
        """Return the full-size model with zeros at the final threshold; heads are not removed yet."""
        model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.coordinator.schedule_threshold()
        load_masked_nn().MaskedLinearModelCompiler().patch(model)
        return model.to(self.args.device).eval()
