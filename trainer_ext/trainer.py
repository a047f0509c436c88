"""The trainer: Trainer with a teacher and masks, whose `train()` ends with the small model in `trainer.model`."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import torch
from transformers import Trainer

from . import equivalence, masks
from .arguments import DistillPruneTrainingArguments
from .callbacks import PruningCallback
from .distillation import Distillation
from .shrink import shrink
from .soft_targets import IGNORED
from .teachers import load_teacher

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compression:
    """What `train()` made of the model: heads and neurons that stayed per layer, sparsity, and the equality found."""

    heads: list[list[int]]
    neurons: list[list[int]]
    sparsity: float
    masked_vs_shrunk: float


class DistillPruneTrainer(Trainer):
    """A `Trainer` that prunes and distils. With plain `TrainingArguments` and no teacher it is `Trainer`, bit for bit.

    Args:
        model: as in `Trainer`; with pruning on, of an architecture in `trainer_ext.FAMILIES`.
        args: `DistillPruneTrainingArguments`, or plain `TrainingArguments` for no pruning.
        *positional: the further positional arguments of `Trainer`.
        teacher: a live teacher model, or a list of them; instead of `args.distill_teacher`.
        **kwargs: the further keyword arguments of `Trainer`.

    Raises:
        ValueError: what cannot work is refused here, before training: an unknown architecture, a teacher with other
            labels, a target out of reach, several devices in one process.

    Example:
        >>> args = DistillPruneTrainingArguments("out", prune_method="movement", distill_teacher="self")
        >>> trainer = DistillPruneTrainer(model, args, train_dataset=train, processing_class=tokenizer)
        >>> trainer.train()
        >>> trainer.save_model("small")
    """

    def __init__(self, model=None, args=None, *positional, teacher=None, **kwargs):
        # Trainer sets these two again; whatever prepares the student reads them before.
        self.args = args
        self.processing_class = kwargs.get("processing_class", positional[3] if len(positional) > 3 else None)
        options = args if isinstance(args, DistillPruneTrainingArguments) else None
        self.compression: Compression | None = None
        self._spec = options.pruning_spec if options else None
        self._terms: dict[str, list[torch.Tensor]] = {}
        self.distillation: Distillation | None = None
        given = teacher if isinstance(teacher, list | tuple) else [] if teacher is None else [teacher]
        names = options.teacher_names if options else []
        if given and names:
            raise ValueError(f"Got both teacher=... and distill_teacher={', '.join(map(repr, names))}. Choose one.")
        if any(one is model for one in given):
            raise ValueError("teacher is the model itself, which would freeze it; use distill_teacher='self' instead.")
        self._given_teachers = list(given)
        self._opened: dict[str, torch.nn.Module] = {}  # teachers by name, so that each is read once
        if model is not None:
            model = self._prepare_student(model)
        super().__init__(model, args, *positional, **kwargs)
        if self._compresses and self.args.n_gpu > 1:
            raise ValueError(
                f"Pruning and distillation do not work with DataParallel ({self.args.n_gpu} devices in one process): its "
                "copies would each have their own masks. Start with torchrun, or set CUDA_VISIBLE_DEVICES to one device."
            )
        if self._spec:
            self.add_callback(PruningCallback)

    def call_model_init(self, trial=None):
        """Give masks to the model that `model_init` makes, here and again at every `train()`."""
        self.compression = None  # of the model before this one; checkpoints of the new one are full-size again
        return self._prepare_student(super().call_model_init(trial))

    def create_optimizer(self, model=None):
        """Move the scores into a group with their own learning rate and no weight decay."""
        new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        scores = [
            p
            for n, p in (model or self.model).named_parameters()
            if n.endswith("pruning.attention.scores") or n.endswith("pruning.ffn.scores")
        ]
        if new and scores and isinstance(self.args, DistillPruneTrainingArguments):
            taken = {id(p) for p in scores}
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in taken]
            optimizer.add_param_group({"params": scores, "lr": self.args.prune_score_lr, "weight_decay": 0.0})
        optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if self._spec and any(id(p) not in optimized for p in scores):
            raise ValueError(
                "The optimizer in `optimizers` does not know the scores of the masks, so they could not learn. Leave the "
                "optimizer to the trainer (`optim`, `optimizer_cls_and_kwargs`), or use prune_method=magnitude."
            )
        return optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task loss of `Trainer`, plus the teacher's term while training."""
        if not self._compresses or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels, batch = inputs.get("labels"), dict(inputs)
        # Without the count, so that the task loss is this batch's mean whatever the head does with a count.
        inner = self.distillation.inputs(self._options) if self.distillation else {}
        loss, outputs = super().compute_loss(model, {**inputs, **inner}, return_outputs=True)
        if labels is not None:
            loss = torch.where(labels.ne(IGNORED).any(), loss, 0.0)  # the mean over no label at all is NaN
        share = self._share_of_batch(batch, num_items_in_batch)
        if self.distillation:
            options = self._options
            terms = self.distillation.terms(outputs, batch, options, self.accelerator.autocast)
            terms = {"loss_task": loss, **terms}
            for name, term in {"share": torch.ones_like(loss), **terms}.items():
                self._terms.setdefault(name, []).append(term.detach() * share)
            weights = self.distillation.weights(options)
            loss = sum(weights[name] * term for name, term in terms.items())
        loss = loss * share
        return (loss, outputs) if return_outputs else loss

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Count the rows of question answering as well: Trainer counts `labels` only."""
        samples, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if count is None and self._compresses and samples and "start_positions" in samples[0]:
            count = self._get_num_items_in_batch([{"labels": batch["start_positions"]} for batch in samples], device)
        return samples, count

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
        if self.distillation:
            self.distillation.attach(self.model, self._options)
        output = super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        if self.distillation:
            self.distillation.detach(self.model)
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
        if self.distillation:
            self.distillation.detach(masked)
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

    @property
    def _options(self):
        """What has the fields of distillation: the arguments, or their class with its defaults."""
        return self.args if isinstance(self.args, DistillPruneTrainingArguments) else DistillPruneTrainingArguments

    @property
    def _compresses(self) -> bool:
        return self._spec is not None or self.distillation is not None

    def _prepare_student(self, model):
        """Set up the teacher, then attach masks: 'self' must be copied while the model is still dense."""
        options = self._options
        names = options.teacher_names if isinstance(options, DistillPruneTrainingArguments) else []
        teachers = self._given_teachers or [self._open_teacher(name, model) for name in names]
        self.distillation = Distillation(model, teachers, options, self.processing_class) if teachers else None
        if self.distillation:
            self.distillation.attach(model, options)
        elif options.distill_hidden:
            raise ValueError(
                f"distill_hidden={options.distill_hidden} needs a teacher: give distill_teacher, or teacher=..."
            )
        # Our loss is divided over the accumulated batch in compute_loss; Trainer must not do it again.
        self.loss_is_scaled_for_ga = True if self._compresses else type(self).loss_is_scaled_for_ga
        return masks.attach(model, self._spec) if self._spec else model

    def _open_teacher(self, name, model):
        if name == "self":
            return copy.deepcopy(model)
        if name not in self._opened:
            self._opened[name] = load_teacher(name, model)
        return self._opened[name]

    def _share_of_batch(self, batch, num_items_in_batch):
        """This micro-batch's share of the accumulated batch, so that splitting a batch changes nothing.

        Trainer counts labels over all micro-batches (and processes, whose gradients DDP then averages).
        """
        labels = batch.get("labels", batch.get("start_positions"))
        if num_items_in_batch is None or labels is None:
            return 1.0 / self.current_gradient_accumulation_steps
        share = labels.ne(IGNORED).sum() / num_items_in_batch.clamp(min=1)
        return share * self.accelerator.num_processes if self.args.average_tokens_across_devices else share
