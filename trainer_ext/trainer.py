"""The trainer: Trainer with a teacher and masks, whose `train()` ends with the small model in `trainer.model`."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer

from . import equivalence, masks
from .arguments import DistillPruneTrainingArguments
from .callbacks import PruningCallback
from .losses import DISTILLATION_LOSSES, infer_problem_type
from .sharding import check_whole_parameters
from .shrink import shrink
from .teachers import LiveTeacher, check_teacher, load_teacher

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compression:
    """What `train()` made of the model: heads and neurons that stayed per layer, sparsity, and the equality found."""

    heads: list[list[int]]
    neurons: list[list[int]]
    sparsity: float
    masked_vs_shrunk: float


class DistillPruneMixin:
    """What makes a `Trainer` prune and distil; for a Trainer of your own, put it first among the base classes.

    Args:
        model: as in `Trainer`; with pruning on, of an architecture in `trainer_ext.FAMILIES`.
        args: `DistillPruneTrainingArguments`, or plain `TrainingArguments` for no pruning.
        *positional: the further positional arguments of `Trainer`.
        teacher: a live teacher model; instead of `args.distill_teacher`.
        **kwargs: the further keyword arguments of `Trainer`.

    Raises:
        ValueError: what cannot work is refused here, before training: an unknown architecture, a teacher with other
            labels, a target out of reach, several devices in one process, parameters split over processes.

    Example:
        >>> class SmallQuestionAnsweringTrainer(DistillPruneMixin, QuestionAnsweringTrainer):
        ...     pass
    """

    def __init__(self, model=None, args=None, *positional, teacher=None, **kwargs):
        self.compression: Compression | None = None
        self._terms: dict[str, list[torch.Tensor]] = {}
        self.teacher: LiveTeacher | None = None
        self._teacher_model = teacher
        self._read_arguments(args)
        if teacher is not None and self._teacher_name is not None:
            raise ValueError(f"Got both teacher=... and distill_teacher={self._teacher_name!r}. Choose one.")
        if teacher is not None and teacher is model:
            raise ValueError("teacher is the model itself, which would freeze it; use distill_teacher='self' instead.")
        if model is not None:
            model = self._prepare_student(model)
        super().__init__(model, args, *positional, **kwargs)
        if (self._spec or self.teacher) and self.args.n_gpu > 1:
            raise ValueError(
                f"Pruning and distillation do not work with DataParallel ({self.args.n_gpu} devices in one process): its "
                "copies would each have their own masks. Start with torchrun, or set CUDA_VISIBLE_DEVICES to one device."
            )
        if isinstance(args, DistillPruneTrainingArguments):
            self.add_callback(PruningCallback)  # does nothing without masks, which a search may turn on and off

    def call_model_init(self, trial=None):
        """Give masks to the model that `model_init` makes, here and again at every `train()`."""
        self.compression = None  # of the model before this one; checkpoints of the new one are full-size again
        if trial is not None and self.hp_search_backend and isinstance(self.args, DistillPruneTrainingArguments):
            # Trainer writes the trial into the arguments only after this, and does not check them.
            self.args.set_compression(trial if isinstance(trial, Mapping) else self.hp_space(trial))
        teacher = self._teacher_name
        self._read_arguments(self.args)
        if self._teacher_name == "self" or self._teacher_name != teacher:
            self.teacher = None
        return self._prepare_student(super().call_model_init(trial))

    def create_optimizer(self, model=None):
        """Move the scores into a group with their own learning rate and no weight decay."""
        new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        scores = {
            id(p): p
            for n, p in (model or self.model).named_parameters()
            if n.endswith("pruning.attention.scores") or n.endswith("pruning.ffn.scores")
        }
        if not scores or not isinstance(self.args, DistillPruneTrainingArguments):
            return optimizer
        if new:
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in scores]
        # An optimizer of the user's was made from the model without masks.
        if not any(id(p) in scores for group in optimizer.param_groups for p in group["params"]):
            group = {"params": list(scores.values()), "lr": self.args.prune_score_lr, "weight_decay": 0.0}
            optimizer.add_param_group(group)
            if self.lr_scheduler is not None:
                self._schedule_scores()
        return optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task loss of `Trainer`, plus the teacher's term while training."""
        if not (self._spec or self.teacher) or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels, batch = inputs.get("labels"), dict(inputs)
        # Without the count, so that the task loss is this batch's mean whatever the head does with a count. Only a
        # function of the user's gets one, that of this batch: Trainer never calls it without, and it may divide by it.
        count = labels.ne(-100).sum() if self.compute_loss_func and num_items_in_batch is not None else None
        loss, outputs = super().compute_loss(model, inputs, True, count)
        if count is not None and self.args.average_tokens_across_devices:
            loss = loss / self.accelerator.num_processes  # by which Trainer has just multiplied it
        share = self._share_of_batch(labels, num_items_in_batch)
        if self.teacher:
            soft = self._distillation_loss(outputs, labels, self.teacher.logits(batch, self.accelerator.autocast()))
            for name, term in (("share", torch.ones_like(loss)), ("loss_task", loss), ("loss_distill", soft)):
                self._terms.setdefault(name, []).append(term.detach() * share)
            loss = (1 - self._alpha) * loss + self._alpha * soft
        loss = loss * share
        return (loss, outputs) if return_outputs else loss

    def log(self, logs, start_time=None):
        """Add the mean of each loss term and the current sparsity to the training log."""
        if "loss" in logs:
            sums = {name: torch.stack(values).sum() for name, values in self._terms.items()}
            steps = sums.pop("share", 1)  # the shares of one accumulated batch make 1
            logs |= {name: (total / steps).item() for name, total in sums.items()}
            self._terms = {}
            if hasattr(self.model, "pruning"):
                logs["sparsity"] = masks.current_sparsity(self.model)
        super().log(logs, start_time)

    def train(self, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        """Train as `Trainer` does; with pruning on, `self.model` is then the shrunk model."""
        if self.compression is not None and resume_from_checkpoint and self.model_init is None:
            raise ValueError(
                "This trainer's model is already shrunk; build a new trainer to resume from a checkpoint."
            )
        self._terms = {}  # what an earlier run did not log any more
        output = super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        if hasattr(self.model, "pruning"):
            self.shrink()
        return output

    def shrink(self) -> Compression:
        """Replace `self.model` by the smaller model that computes the same, and prove that it does.

        Raises:
            RuntimeError: if the outputs differ by more than rounding explains.
        """
        # In fp32, without the autocast that bf16 and fp16 runs wrap around forward: other shapes sum in another order,
        # and rounding to half precision in between is far above the tolerance.
        masked = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        precision = masked.dtype
        masked.float()
        if not masked.pruning.is_frozen:
            masks.close(masked)
        sparsity = masks.current_sparsity(masked)
        batch = equivalence.synthetic_batch(masked)
        before = equivalence.logits(masked, batch)
        smaller, heads, neurons = shrink(masks.merge(masked))
        difference = (equivalence.logits(smaller, batch) - before).abs().max().item()
        allowed = equivalence.allowed_difference(before)
        if not difference <= allowed:
            raise RuntimeError(
                f"The shrunk model differs from the masked one by {difference:.1e}, above {allowed:.0e}; "
                "the last checkpoint still holds the masked one (trainer_ext.load_masked)."
            )
        self.compression = Compression(heads, neurons, sparsity, difference)
        self.accelerator.free_memory()
        self.model = self.model_wrapped = self.callback_handler.model = smaller.to(precision)
        self.optimizer = self.lr_scheduler = None
        self.callback_handler.optimizer = self.callback_handler.lr_scheduler = None
        return self.compression

    def _save(self, output_dir=None, state_dict=None):
        # No public hook: Trainer writes training_args.bin, a pickle that holds the Hub token, beside every model.
        # Checkpoints keep it (they stay here); a compressed model that may be published does without.
        if self.compression is None:
            return super()._save(output_dir, state_dict)
        if self.args.should_save:
            output_dir = output_dir if output_dir is not None else self.args.output_dir
            self.model.save_pretrained(output_dir, state_dict=state_dict)
            tokenizer = self.processing_class or getattr(self.data_collator, "tokenizer", None)
            if tokenizer is not None:
                tokenizer.save_pretrained(output_dir)

    def _push_from_checkpoint(self, checkpoint_folder):
        # No public hook: this would publish full-size checkpoints under the name of the compressed model.
        if self._spec is None:
            super()._push_from_checkpoint(checkpoint_folder)

    def _schedule_scores(self):
        """Let the scheduler in `optimizers`, which counted the groups before that of the scores, move it like the last."""
        if not isinstance(self.lr_scheduler, LambdaLR):
            raise ValueError(
                f"The {type(self.lr_scheduler).__name__} in `optimizers` cannot take the scores of the masks as one more "
                "group. Use a LambdaLR, such as transformers.get_scheduler makes; or give optimizers=(optimizer, None) and "
                "choose lr_scheduler_type; or use prune_method=magnitude, which learns no scores."
            )
        self.lr_scheduler.base_lrs.append(self.args.prune_score_lr)
        self.lr_scheduler.lr_lambdas.append(self.lr_scheduler.lr_lambdas[-1])
        group = self.optimizer.param_groups[-1]
        group["lr"] *= self.lr_scheduler.lr_lambdas[-1](self.lr_scheduler.last_epoch)

    def _read_arguments(self, args):
        """What is asked for now: a search changes the arguments for every trial."""
        options = args if isinstance(args, DistillPruneTrainingArguments) else DistillPruneTrainingArguments
        self._spec = args.pruning_spec if args is options else None
        self._teacher_name = options.distill_teacher
        self._alpha, self._temperature = options.distill_alpha, options.distill_temperature
        if self._spec or self._teacher_name or self._teacher_model or self.teacher:
            check_whole_parameters(args)

    def _prepare_student(self, model):
        """Set up the teacher once, then attach masks: 'self' must be copied while the model is still dense."""
        if self.teacher is None and (self._teacher_model is not None or self._teacher_name):
            teacher = self._teacher_model
            if teacher is None:
                teacher = copy.deepcopy(model) if self._teacher_name == "self" else load_teacher(self._teacher_name)
            check_teacher(teacher, model)
            self.teacher, self._teacher_model = LiveTeacher(teacher), None
        if self._spec or self.teacher:
            # Our loss is divided over the accumulated batch in compute_loss; Trainer must not do it again.
            self.loss_is_scaled_for_ga = True
        else:
            vars(self).pop("loss_is_scaled_for_ga", None)
        return masks.attach(model, self._spec) if self._spec else model

    def _distillation_loss(self, outputs, labels, teacher_logits):
        config = self.accelerator.unwrap_model(self.model).config
        kind = infer_problem_type(config.problem_type, num_labels=config.num_labels, labels=labels)
        return DISTILLATION_LOSSES[kind](outputs.logits, teacher_logits, temperature=self._temperature)

    def _share_of_batch(self, labels, num_items_in_batch):
        """This micro-batch's share of the accumulated batch, so that splitting a batch changes nothing.

        Trainer counts labels over all micro-batches (and processes, whose gradients DDP then averages).
        """
        if num_items_in_batch is None or labels is None:
            return 1.0 / self.current_gradient_accumulation_steps
        share = labels.ne(-100).sum() / num_items_in_batch
        return share * self.accelerator.num_processes if self.args.average_tokens_across_devices else share


class DistillPruneTrainer(DistillPruneMixin, Trainer):
    """A `Trainer` that prunes and distils. With plain `TrainingArguments` and no teacher it is `Trainer`, bit for bit.

    Its arguments are those of `Trainer` and `teacher`: see `DistillPruneMixin`.

    Example:
        >>> args = DistillPruneTrainingArguments("out", prune_method="movement", distill_teacher="self")
        >>> trainer = DistillPruneTrainer(model, args, train_dataset=train, processing_class=tokenizer)
        >>> trainer.train()
        >>> trainer.save_model("small")
    """
