"""Loss terms: what a loss is made of, summed on the device step by step and averaged when it is logged.

Recovery: after a model was shrunk, a second run of `Trainer.train` on what is left, dense and with the teacher.

Block movement pruning calls the like of it filling (Lagunas et al. 2021, arXiv 2109.04838, section 4).

Groups of an optimizer for what is learned beside the model, in an optimizer of the user's too.

The trainer: Trainer with a teacher and masks, whose `train()` ends with the small model in `trainer.model`.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, set_seed

from .callbacks import PruningCallback
from .distillation.collator import TeacherCollator, check_rows, split_inputs
from .distillation.distillation import Distillation
from .distillation.losses import IGNORED
from .distillation.teachers import load_teacher
from .hub.trainer_mixin import HubMixin
from .hub.trainer_report import Before, before
from .pruning import masks
from .pruning.prepare import prepare_model
from .pruning.verify import CompressionResult, shrink_and_verify
from .report.io import utc_now
from .training_args import DistillPruneTrainingArguments
from .utils import finite
from .utils.checkpoints import STATE, checkpoint_to_resume, is_finished, is_past_the_end, last_checkpoint
from .utils.distributed import check_one_device, check_whole_model, check_whole_parameters
from .utils.files import writing_to


class LossTerms:
    """Sums of named loss terms since the last log; nothing is read from the device until `means`."""

    def __init__(self):
        self._values: dict[str, list[torch.Tensor]] = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, terms: dict[str, torch.Tensor], share: torch.Tensor | float) -> None:
        """Note the terms of one batch.

        Args:
            terms: scalars by name.
            share: of this batch in the whole batch of its step.
        """
        for name, term in {"share": torch.ones(()), **terms}.items():
            self._values.setdefault(name, []).append(torch.as_tensor(term.detach() * share))

    def means(self, accelerator) -> dict[str, float]:
        """The mean of each term over what was noted in all processes, which is then forgotten.

        Args:
            accelerator: sums over the processes; each has its part of a batch.
        """
        device = self._values[next(reversed(self._values))][0].device
        sums = torch.stack([torch.stack([x.to(device) for x in values]).sum() for values in self._values.values()])
        sums = accelerator.reduce(sums)
        # The shares come first, and divide: those of one whole batch make 1, those of batches without labels 0.
        share = torch.where(sums[0] > 0, sums[0], 1.0)
        means = dict(zip(self._values, (sums / share).tolist(), strict=True))
        del means["share"]
        self._values = {}
        return means


def recovery_checkpoint(folder: Path, given: str | None) -> str | None:
    """The checkpoint from which a recovery goes on.

    None where steps are left to train before it, and of a recovery that is older than these steps: an earlier run in the same
    folder left it.

    Args:
        folder: where the checkpoints of the recovery lie.
        given: the checkpoint from which the run before it was resumed.
    """
    last = last_checkpoint(folder)
    if not given or not is_finished(Path(given)) or last is None:
        return None
    before, after = ((path / STATE).stat().st_mtime_ns for path in (Path(given), last))
    return str(last) if after >= before else None


@contextlib.contextmanager
def recovery_run(trainer, folder: str) -> Iterator[Path]:
    """While it lasts, `trainer.args` are those of the recovery; afterwards its log follows that of the first run.

    Args:
        trainer: a Trainer whose model is shrunk and whose arguments have `prune_recovery_epochs`.
        folder: where the checkpoints of the first run lie; those of the recovery lie in `recovery` below it.

    Yields:
        The folder of the checkpoints.
    """
    args, init, before = trainer.args, trainer.model_init, trainer.state.log_history
    trainer.args = copy.copy(args)
    trainer.args.output_dir = os.path.join(folder, "recovery")
    trainer.args.num_train_epochs, trainer.args.max_steps = args.prune_recovery_epochs, -1
    trainer.model_init = None  # it would start again from the dense model
    set_seed(args.seed)  # the same start for a run that was resumed at the end of the first
    try:
        yield Path(trainer.args.output_dir)
    finally:
        trainer.args, trainer.model_init = args, init
    trainer.state.log_history = before + trainer.state.log_history


def scores_of(model) -> dict:
    """The learned scores of a model with masks, by identity."""
    ends = ("pruning.attention.scores", "pruning.ffn.scores")
    return {id(p): p for name, p in model.named_parameters() if name.endswith(ends)}


def add_scores(optimizer: Optimizer, scores: dict, *, lr: float, ours: bool, scheduler=None) -> None:
    """Give the scores a group of their own; nothing is done where they have one.

    Args:
        optimizer: changed in place.
        scores: what `scores_of` found.
        lr: their learning rate.
        ours: whether the trainer made the optimizer just now, from the model with masks.
        scheduler: made before for this optimizer, if any.

    Raises:
        ValueError: a scheduler that cannot take one more group.
    """
    if ours:
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in scores]
    add_missing(optimizer, scores, scheduler=scheduler, lr=lr, weight_decay=0.0)


def add_missing(optimizer: Optimizer, parameters: dict, *, scheduler=None, **options) -> None:
    """Give parameters a group of their own if the optimizer, made from the model without them, knows none of them.

    Args:
        optimizer: changed in place.
        parameters: by identity.
        scheduler: made before for this optimizer, if any; it moves the new group like the last one that it knows.
        **options: of the group; the others are the defaults of the optimizer.

    Raises:
        ValueError: a scheduler that cannot take one more group.
    """
    if not parameters or any(id(p) in parameters for group in optimizer.param_groups for p in group["params"]):
        return
    optimizer.add_param_group({"params": list(parameters.values()), **options})
    if scheduler is None:
        return
    if not isinstance(scheduler, LambdaLR):
        raise ValueError(
            f"The {type(scheduler).__name__} in `optimizers` cannot take one more group, which the scores of the masks "
            "and the map to a teacher of another width need. Use a LambdaLR, such as transformers.get_scheduler makes; or "
            "give optimizers=(optimizer, None) and choose lr_scheduler_type; or do without: prune_method=magnitude."
        )
    group = optimizer.param_groups[-1]
    scheduler.base_lrs.append(group["lr"])
    scheduler.lr_lambdas.append(scheduler.lr_lambdas[-1])
    group["lr"] *= scheduler.lr_lambdas[-1](scheduler.last_epoch)


class DistillPruneMixin(HubMixin):
    """What makes a `Trainer` prune and distil; for a Trainer of your own, put it first among the base classes.

    Args:
        model: as in `Trainer`; with pruning on, of an architecture in `trainer_ext.ARCHITECTURES`.
        args: `DistillPruneTrainingArguments`, or plain `TrainingArguments` for no pruning.
        *positional: the further positional arguments of `Trainer`.
        teacher: a live teacher model, or a list of them; instead of `args.distill_teacher`. It reads what the model
            reads, or, where `data_collator` is a `TeacherCollator`, the tokens of its own tokenizer.
        **kwargs: the further keyword arguments of `Trainer`.

    Raises:
        ValueError: what cannot work is refused here, before training: an unknown architecture, a teacher with other
            labels, NaN weights, a target out of reach, several devices in one process, parameters split over processes.

    Example:
        >>> class SmallQuestionAnsweringTrainer(DistillPruneMixin, QuestionAnsweringTrainer):
        ...     pass
    """

    def __init__(self, model=None, args=None, *positional, teacher=None, **kwargs):
        # Trainer sets these three again; whatever prepares the student reads them before.
        self.args = args
        self.data_collator = kwargs.get("data_collator", positional[0] if positional else None)
        self.processing_class = kwargs.get("processing_class", positional[3] if len(positional) > 3 else None)
        self.compression: CompressionResult | None = None
        self._before: Before | None = None
        self._made: str | None = None  # when the model became what it is now
        self._terms, self._diverged = LossTerms(), False
        self.distillation: Distillation | None = None
        given = teacher if isinstance(teacher, list | tuple) else [] if teacher is None else [teacher]
        if given and self._teacher_names:
            names = ", ".join(map(repr, self._teacher_names))
            raise ValueError(f"Got both teacher=... and distill_teacher={names}. Choose one.")
        if any(one is model for one in given):
            raise ValueError("teacher is the model itself, which would freeze it; use distill_teacher='self' instead.")
        self._given_teachers = list(given)
        self._opened: dict[str, torch.nn.Module] = {}  # teachers by name, so that each is read once
        self._check_sharding()
        if model is not None:
            model = self._prepare_student(model)
        super().__init__(model, args, *positional, **kwargs)
        if self._compresses:
            check_one_device(self.args)
        if self.distillation:
            check_rows(self.train_dataset, self.data_collator, remove_unused_columns=self.args.remove_unused_columns)
        if isinstance(args, DistillPruneTrainingArguments):
            self.add_callback(PruningCallback)  # does nothing without masks, which a search may turn on and off

    def call_model_init(self, trial=None):
        """Give masks to the model that `model_init` makes, here and again at every `train()`."""
        self.compression = None  # of the model before this one; checkpoints of the new one are full-size again
        if trial is not None and self.hp_search_backend and isinstance(self.args, DistillPruneTrainingArguments):
            # Trainer writes the trial into the arguments only after this, and does not check them.
            self.args.set_compression(trial if isinstance(trial, Mapping) else self.hp_space(trial))
        self._check_sharding()
        return self._prepare_student(super().call_model_init(trial))

    def create_optimizer(self, model=None):
        """Move the scores into a group with their own learning rate and no weight decay."""
        ours = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if self._spec is not None:
            scores = scores_of(model or self.model)
            add_scores(optimizer, scores, lr=self.args.prune_score_lr, ours=ours, scheduler=self.lr_scheduler)
        if self.distillation:
            add_missing(optimizer, self.distillation.parameters, scheduler=self.lr_scheduler)
        return optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task loss of `Trainer`, plus the teacher's term while training."""
        batch = dict(inputs)
        if self._own_tokens:
            inputs, _ = split_inputs(inputs)
        if not self._compresses or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs.get("labels")
        # Without the count, so that the task loss is this batch's mean whatever the head does with a count. Only a
        # function of the user's gets one, that of this batch: Trainer never calls it without, and it may divide by it.
        count = labels.ne(IGNORED).sum() if self.compute_loss_func and num_items_in_batch is not None else None
        inner, watch = {}, contextlib.nullcontext()
        if self.distillation:
            inner = self.distillation.inputs(self._options)
            watch = self.distillation.watch(self.accelerator.unwrap_model(model))
        with watch as seen:
            loss, outputs = super().compute_loss(model, {**inputs, **inner}, True, count)
        if count is not None and self.args.average_tokens_across_devices:
            loss = loss / self.accelerator.num_processes  # by which Trainer has just multiplied it
        if labels is not None:
            loss = torch.where(labels.ne(IGNORED).any(), loss, 0.0)  # the mean over no label at all is NaN
        share = self._share_of_batch(batch, num_items_in_batch)
        terms, weights = {"loss_task": loss}, {"loss_task": 1.0}
        if self.distillation:
            terms |= self.distillation.terms(outputs, batch, self._options, self.accelerator.autocast, seen)
            weights = self.distillation.weights(self._options)
        pruning = getattr(self.accelerator.unwrap_model(self.model), "pruning", None)
        if pruning is not None and (penalty := pruning.penalty) is not None:
            terms, weights = terms | {"loss_penalty": penalty}, weights | {"loss_penalty": 1.0}
        if len(terms) > 1:
            self._terms.add(terms, share)
            loss = sum(weights[name] * term for name, term in terms.items())
        loss = loss * share
        return (loss, outputs) if return_outputs else loss

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Count the rows of question answering as well: Trainer counts `labels` only. No batch where no step is left."""
        if self._compresses and is_past_the_end(self):
            return [], None
        samples, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if count is None and self._compresses and samples and "start_positions" in samples[0]:
            count = self._get_num_items_in_batch([{"labels": batch["start_positions"]} for batch in samples], device)
        return samples, count

    def log(self, logs, start_time=None):
        """Add the mean of each loss term and the current sparsity to the training log."""
        if "loss" in logs:
            if self._terms:  # in every process: Trainer logs a loss in each of them
                logs |= self._terms.means(self.accelerator)
            if hasattr(self.model, "pruning"):
                logs["sparsity"] = masks.current_sparsity(self.model)
            if self._compresses and not self._diverged:  # said once
                self._diverged = finite.warn(logs, self.state.global_step, scaler=self.accelerator.scaler)
        super().log(logs, start_time)

    @finite.trial_may_fail
    def train(self, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        """Train as `Trainer` does; with pruning on, `self.model` is then the shrunk model."""
        if self.compression is not None and resume_from_checkpoint and self.model_init is None:
            raise ValueError(
                "This trainer's model is already shrunk; build a new trainer to resume from a checkpoint."
            )
        self._terms, self._diverged = LossTerms(), False  # without what an earlier run did not log any more
        if self._compresses:
            resume_from_checkpoint = checkpoint_to_resume(self.args.output_dir, resume_from_checkpoint)
        output = self._train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        if hasattr(self.model, "pruning"):
            self.shrink()
            if self._options.prune_recovery_epochs:
                self._terms = LossTerms()
                with recovery_run(self, self._get_output_dir(trial)) as folder:
                    last = recovery_checkpoint(folder, resume_from_checkpoint)
                    recovery = self._train(last, None, ignore_keys_for_eval)
                finite.check_trained(self.model, "The recovery")
                if trial is not None:
                    self.objective = None  # of a search: the model before; Trainer now evaluates this one
                metrics = {f"recovery_{name}": value for name, value in recovery.metrics.items()}
                output = output._replace(metrics=output.metrics | metrics)
        self._made = utc_now()
        return output

    def _train(self, *arguments):
        """`Trainer.train`, with what distillation learns beside the model while it lasts."""
        if self.distillation and self.model_init is None:  # else Trainer makes the model that is trained only now
            self.distillation.attach(self.model, self._options)
        with writing_to(Path(self.args.output_dir)) if self._compresses else contextlib.nullcontext():
            output = super().train(*arguments)
        if self.distillation:
            self.distillation.detach(self.model)
        return output

    def shrink(self) -> CompressionResult:
        """Replace `self.model` by the smaller model that computes the same, and prove that it does.

        Raises:
            Diverged: if the training left NaN or infinite numbers.
            RuntimeError: if the outputs differ by more than rounding explains.
        """
        # Without the autocast that bf16 and fp16 runs wrap around forward.
        masked = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        if self.distillation:
            self.distillation.detach(masked)
        smaller, self.compression = shrink_and_verify(masked)
        self.accelerator.free_memory()
        self.model = self.model_wrapped = self.callback_handler.model = smaller
        self.optimizer = self.lr_scheduler = None
        self.callback_handler.optimizer = self.callback_handler.lr_scheduler = None
        return self.compression

    @property
    def _options(self):
        """What has our fields: the arguments, or their class with its defaults."""
        return self.args if isinstance(self.args, DistillPruneTrainingArguments) else DistillPruneTrainingArguments

    @property
    def _spec(self):
        return self.args.pruning_spec if isinstance(self.args, DistillPruneTrainingArguments) else None

    @property
    def _teacher_names(self) -> list[str]:
        return self.args.teacher_names if isinstance(self.args, DistillPruneTrainingArguments) else []

    @property
    def _own_tokens(self) -> bool:
        """Whether the rows bring an encoding for the teachers beside that for the model."""
        return isinstance(self.data_collator, TeacherCollator)

    @property
    def _compresses(self) -> bool:
        return self._spec is not None or self.distillation is not None

    def _check_sharding(self):
        if self._spec is not None or self._given_teachers or self._teacher_names:
            check_whole_parameters(self.args)

    def _prepare_student(self, model):
        """Set up the teacher, then drop layers and attach masks: 'self' must be copied while the model is still dense."""
        options = self._options
        if self._spec is not None or self._given_teachers or self._teacher_names:
            check_whole_model(model)
            finite.check_given(model, "The model")
            self._before = before(model)  # for the card
        teachers = self._given_teachers or [self._open_teacher(name, model) for name in self._teacher_names]
        student = prepare_model(model, self.args) if options is self.args else model
        self.distillation = None
        if teachers:
            tokenizer = self.data_collator.teacher.tokenizer if self._own_tokens else self.processing_class
            self.distillation = Distillation(student, teachers, options, tokenizer, own_tokens=self._own_tokens)
            self.distillation.attach(student, options)
        for name in ("distill_hidden", "distill_relations"):
            if not teachers and getattr(options, name):
                raise ValueError(
                    f"{name}={getattr(options, name)} needs a teacher: give distill_teacher, or teacher=..."
                )
        if self._compresses:
            # Our loss is divided over the accumulated batch in compute_loss; Trainer must not do it again.
            self.loss_is_scaled_for_ga = True
        else:
            vars(self).pop("loss_is_scaled_for_ga", None)
        return student

    def _open_teacher(self, name, model):
        if name == "self":
            if self._own_tokens:
                raise ValueError(
                    "The teacher 'self' is a copy of the model and reads its tokens, but the rows bring a teacher's "
                    "own: name the model as it was before its tokenizer changed, or leave TeacherCollator out."
                )
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


class DistillPruneTrainer(DistillPruneMixin, Trainer):
    """A `Trainer` that prunes and distils. With plain `TrainingArguments` and no teacher it is `Trainer`, bit for bit.

    Its arguments are those of `Trainer` and `teacher`: see `DistillPruneMixin`.

    Example:
        >>> args = DistillPruneTrainingArguments("out", prune_method="movement", distill_teacher="self")
        >>> trainer = DistillPruneTrainer(model, args, train_dataset=train, processing_class=tokenizer)
        >>> trainer.train()
        >>> trainer.save_model("small")
    """
