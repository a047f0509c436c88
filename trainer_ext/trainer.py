"""`DistillPruneTrainer`: a Hugging Face `Trainer` that prunes and distils, and ends with the small model.

The training loop is that of `Trainer`. Each method of `DistillPruneMixin` overrides one of its hooks and calls `super()`;
the methods stand in the order in which a training runs them:

    __init__, call_model_init   open the teachers, drop layers, attach masks
    train                       train, shrink, and train the small model further (`prune_recovery_epochs`)
    create_optimizer            give the scores of the masks a learning rate of their own
    get_batch_samples           count what the loss is averaged over
    compute_loss                add the teacher's loss terms to the task loss
    log                         add the mean of each loss term, and the sparsity
    shrink                      replace the model by the smaller one that computes the same

The sparsity is raised by `PruningCallback` (callbacks.py); what is published is chosen by `HubMixin` (hub/).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, Trainer, TrainerState, TrainingArguments, set_seed
from transformers.trainer_utils import TrainOutput

from .callbacks import PruningCallback
from .distillation.collator import TeacherCollator, check_rows, split_inputs
from .distillation.distillation import Distillation
from .distillation.losses import IGNORED, LossTerms
from .distillation.teachers import load_teacher
from .errors import InputError
from .hub.trainer_mixin import HubMixin
from .hub.trainer_report import Before, before
from .pruning import masks
from .pruning.config import PruningSpec
from .pruning.prepare import prepare_model
from .pruning.verify import CompressionResult, shrink_and_verify
from .report.io import utc_now
from .training_args import DistillPruneTrainingArguments
from .utils import finite
from .utils.checkpoints import (
    STATE,
    begin_checkpoint,
    checkpoint_to_resume,
    is_finished,
    is_past_the_end,
    last_checkpoint,
)
from .utils.distributed import check_one_device, check_whole_model, check_whole_parameters
from .utils.files import writing_to

RECOVERY = "recovery"  # folder of the checkpoints of the recovery, in the output folder

# At run time the mixin has no Trainer among its bases: the class that it is mixed into brings its own.
if TYPE_CHECKING:
    _Base = Trainer
else:
    _Base = object


class DistillPruneMixin(HubMixin, _Base):
    """Mixin that makes any `Trainer` prune and distil. Put it first among the base classes.

    Args:
        model: as in `Trainer`; to be pruned, its architecture must be in `trainer_ext.ARCHITECTURES`.
        args: `DistillPruneTrainingArguments`, or plain `TrainingArguments` for no pruning.
        *positional: the further positional arguments of `Trainer`.
        teacher: a teacher model, or a list of them, instead of `args.distill_teacher`. It reads the inputs of the model,
            or, if `data_collator` is a `TeacherCollator`, the tokens of its own tokenizer.
        **kwargs: the further keyword arguments of `Trainer`.

    Raises:
        ValueError: If the model, the teacher or the way of running in several processes cannot work: an unknown
            architecture, other labels than the teacher's, NaN weights, a target out of reach, several devices in one
            process, parameters split over processes. Everything is checked before training.

    Example:
        >>> class SmallQuestionAnsweringTrainer(DistillPruneMixin, QuestionAnsweringTrainer):
        ...     pass
    """

    model: PreTrainedModel
    data_collator: Any
    objective: Any

    def __init__(
        self,
        model: PreTrainedModel | None = None,
        args: TrainingArguments | None = None,
        *positional: Any,
        teacher: PreTrainedModel | list[PreTrainedModel] | tuple[PreTrainedModel, ...] | None = None,
        **kwargs: Any,
    ):
        # Trainer sets these three again, but _prepare_student reads them before.
        self.args = cast(TrainingArguments, args)
        self.data_collator = kwargs.get("data_collator", positional[0] if positional else None)
        self.processing_class = kwargs.get("processing_class", positional[3] if len(positional) > 3 else None)
        self.compression: CompressionResult | None = None
        self.distillation: Distillation | None = None
        self._before: Before | None = None
        self._made: str | None = None  # UTC time at which the training ended
        self._terms, self._diverged = LossTerms(), False
        self._loaded_teachers: dict[str, PreTrainedModel] = {}  # by name, so that each is read once
        given = teacher if isinstance(teacher, list | tuple) else [] if teacher is None else [teacher]
        self._given_teachers = list(given)
        if self._given_teachers and self._teacher_names:
            names = ", ".join(map(repr, self._teacher_names))
            raise ValueError(f"Got both teacher=... and distill_teacher={names}. Choose one.")
        if any(one is model for one in given):
            raise ValueError("teacher is the model itself, which would freeze it; use distill_teacher='self' instead.")
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

    def call_model_init(self, trial: Any = None) -> PreTrainedModel:
        """Attach masks to the model that `model_init` makes, at the start and again at every `train()`."""
        self.compression = None  # the new model is dense again, and so are its checkpoints
        if trial is not None and self.hp_search_backend and isinstance(self.args, DistillPruneTrainingArguments):
            # Trainer writes the trial into the arguments only after this, and does not check them.
            self.args.set_compression(trial if isinstance(trial, Mapping) else self.hp_space(trial))
        self._check_sharding()
        return self._prepare_student(cast(PreTrainedModel, super().call_model_init(trial)))

    def _check_sharding(self) -> None:
        if self._compression_asked:
            check_whole_parameters(self.args)

    def _prepare_student(self, model: PreTrainedModel) -> PreTrainedModel:
        """Set up the teachers, then drop layers and attach masks: 'self' is copied while the model is still dense."""
        options = self._options
        if self._compression_asked:
            check_whole_model(model)
            finite.check_given(model, "The model")
            self._before = before(model)  # for the card
        teachers = self._given_teachers or [self._open_teacher(name, model) for name in self._teacher_names]
        student = prepare_model(model, options) if options is self.args else model
        self.distillation = None
        if teachers:
            collator = self.data_collator
            own_tokens = isinstance(collator, TeacherCollator)
            tokenizer = collator.teacher.tokenizer if isinstance(collator, TeacherCollator) else self.processing_class
            self.distillation = Distillation(student, teachers, options, tokenizer, own_tokens=own_tokens)
            self.distillation.attach(student, options)
        for name in ("distill_hidden", "distill_relations"):
            if not teachers and getattr(options, name):
                raise ValueError(
                    f"{name}={getattr(options, name)} needs a teacher: give distill_teacher, or teacher=..."
                )
        if self._compresses:
            # compute_loss divides our loss over the accumulated batch; Trainer must not do it again.
            self.loss_is_scaled_for_ga = True
        else:
            vars(self).pop("loss_is_scaled_for_ga", None)
        return student

    def _open_teacher(self, name: str, model: PreTrainedModel) -> PreTrainedModel:
        if name != "self":
            if name not in self._loaded_teachers:
                self._loaded_teachers[name] = load_teacher(name, model)
            return self._loaded_teachers[name]
        if isinstance(self.data_collator, TeacherCollator):
            raise ValueError(
                "The teacher 'self' is a copy of the model and reads the model's tokens, but TeacherCollator gives "
                "teachers the tokens of another tokenizer: name the model as it was before its tokenizer changed, or "
                "leave TeacherCollator out."
            )
        if not hasattr(model, "pruning"):
            return copy.deepcopy(model)
        if sparsity := masks.current_sparsity(model):
            raise InputError(
                f"The teacher 'self' is a copy of the model, but the model is already pruned (sparsity {sparsity:.3g}) "
                "and the dense weights are not in its checkpoint: set distill_teacher=FOLDER_OR_HUB_ID to the dense "
                "model that the pruning started from."
            )
        return masks.merge(copy.deepcopy(model))  # every mask is open: this is the dense model

    @finite.trial_may_fail
    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train as `Trainer` does; with pruning, `self.model` is then the shrunk model.

        Args:
            resume_from_checkpoint: as in `Trainer`; True takes the newest complete checkpoint.
            trial: as in `Trainer`.
            ignore_keys_for_eval: as in `Trainer`.
        """
        if self.compression is not None and resume_from_checkpoint and self.model_init is None:
            raise ValueError(
                "This trainer's model is already shrunk; build a new trainer to resume from a checkpoint."
            )
        self._terms, self._diverged = LossTerms(), False  # drops terms that an earlier run did not log
        if self._compresses:
            resume_from_checkpoint = checkpoint_to_resume(str(self.args.output_dir), resume_from_checkpoint)
        checkpoint = Path(resume_from_checkpoint) if isinstance(resume_from_checkpoint, str) else None
        at_end = checkpoint is not None and is_finished(checkpoint)
        if self._spec is not None and trial is None and self.args.should_save and not at_end:
            # The run that starts now ends with another small model.
            forget_checkpoints(Path(str(self.args.output_dir)) / RECOVERY)
        output = self._train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        if hasattr(self.model, "pruning"):
            self.shrink()
            if self._options.prune_recovery_epochs:
                recovery_folder = Path(self._get_output_dir(trial)) / RECOVERY
                last = recovery_checkpoint(recovery_folder, checkpoint, output.global_step)
                if last is None and self.args.should_save:
                    forget_checkpoints(recovery_folder)
                self._terms = LossTerms()
                with recovery_arguments(self, recovery_folder):
                    recovery = self._train(last, None, ignore_keys_for_eval)
                finite.check_trained(self.model, "The recovery")
                if trial is not None:
                    self.objective = None  # that of the model before recovery; Trainer now evaluates again
                metrics = {f"recovery_{name}": value for name, value in recovery.metrics.items()}
                output = output._replace(metrics=output.metrics | metrics)
        self._made = utc_now()
        return output

    def _train(self, resume_from_checkpoint: str | bool | None, trial: Any, ignore: list[str] | None) -> TrainOutput:
        """Call `Trainer.train` with the parameters that distillation adds to the model for the time of the training."""
        if self.distillation and self.model_init is None:  # with it, Trainer makes the model later
            self.distillation.attach(self.model, self._options)
        with writing_to(Path(str(self.args.output_dir))) if self._compresses else contextlib.nullcontext():
            output = super().train(resume_from_checkpoint, trial, ignore)
        if self.distillation:
            self.distillation.detach(self.model)
        return output

    def create_optimizer(self, model: torch.nn.Module | None = None) -> Optimizer:
        """Move the scores into a group with their own learning rate and no weight decay."""
        made_here = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if self._spec is not None:
            scores = score_parameters(model or self.model)
            if made_here:  # Trainer put the scores into the groups of the weights
                for group in optimizer.param_groups:
                    group["params"] = [p for p in group["params"] if id(p) not in scores]
            lr = self._options.prune_score_lr
            add_parameters(optimizer, scores, scheduler=self.lr_scheduler, lr=lr, weight_decay=0.0)
        if self.distillation:
            add_parameters(optimizer, self.distillation.parameters, scheduler=self.lr_scheduler)
        return optimizer

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, torch.Tensor | int | None]:
        """Count the rows of question answering too, since `Trainer` counts `labels` only; return no batch at the end.

        At the end of a run that was resumed, `Trainer` would make one step more.
        """
        if self._compresses and is_past_the_end(self):
            return [], None
        samples, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if count is None and self._compresses and samples and "start_positions" in samples[0]:
            count = self._get_num_items_in_batch([{"labels": batch["start_positions"]} for batch in samples], device)
        return samples, count

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Compute the task loss of `Trainer`, and in training add the terms of the teachers and of the masks.

        Args:
            model: the student, possibly wrapped.
            inputs: a batch, with the columns of the teacher if `data_collator` is a `TeacherCollator`.
            return_outputs: whether to return the outputs of the student too.
            num_items_in_batch: number of labels in the accumulated batch.
        """
        batch = dict(inputs)
        if isinstance(self.data_collator, TeacherCollator):
            inputs, _ = split_inputs(inputs)
        if not self._compresses or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels: Any = inputs.get("labels")
        # The model gets no count of items, so that the task loss is the mean over this micro-batch. Only the user's own
        # compute_loss_func gets one, the count of this micro-batch, because Trainer always passes it one.
        count = labels.ne(IGNORED).sum() if self.compute_loss_func and num_items_in_batch is not None else None
        requests: dict[str, Any] = {}
        watch: contextlib.AbstractContextManager = contextlib.nullcontext()
        if self.distillation:
            requests = self.distillation.inputs(self._options)
            watch = self.distillation.watch(self.accelerator.unwrap_model(model))
        with watch as projections:
            loss, outputs = super().compute_loss(model, {**inputs, **requests}, True, count)
        if count is not None and self.args.average_tokens_across_devices:
            loss = loss / self.accelerator.num_processes  # by which Trainer has just multiplied it
        if labels is not None:
            loss = torch.where(labels.ne(IGNORED).any(), loss, 0.0)  # the mean over no label at all is NaN
        share = self._share_of_batch(batch, num_items_in_batch)
        terms, weights = {"loss_task": loss}, {"loss_task": 1.0}
        if self.distillation:
            terms |= self.distillation.terms(outputs, batch, self._options, self.accelerator.autocast, projections)
            weights = self.distillation.weights(self._options)
        pruning = getattr(self.accelerator.unwrap_model(self.model), "pruning", None)
        if pruning is not None and (penalty := pruning.penalty) is not None:
            terms, weights = terms | {"loss_penalty": penalty}, weights | {"loss_penalty": 1.0}
        if len(terms) > 1:
            self._terms.add(terms, share)
            loss = sum(weights[name] * term for name, term in terms.items())
        loss = loss * share
        return (loss, outputs) if return_outputs else loss

    def _share_of_batch(
        self, batch: Mapping[str, Any], num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor | float:
        """Return the share of this micro-batch in the accumulated batch, so that splitting a batch changes nothing.

        Trainer counts labels over all micro-batches, and over the processes, whose gradients DDP then averages.
        """
        labels = batch.get("labels", batch.get("start_positions"))
        if num_items_in_batch is None or labels is None:
            return 1.0 / self.current_gradient_accumulation_steps
        share = labels.ne(IGNORED).sum() / cast(torch.Tensor, num_items_in_batch).clamp(min=1)
        return share * self.accelerator.num_processes if self.args.average_tokens_across_devices else share

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each loss term and the current sparsity to the training log.

        Args:
            logs: values by name; changed in place.
            start_time: as in `Trainer`.
        """
        if "loss" in logs:
            if self._terms:  # in every process: Trainer logs a loss in each of them
                logs |= self._terms.means(self.accelerator.reduce)
            if hasattr(self.model, "pruning"):
                logs["sparsity"] = masks.current_sparsity(self.model)
            if self._compresses and not self._diverged:  # warn once
                self._diverged = finite.warn(logs, self.state.global_step, scaler=self.accelerator.scaler)
        super().log(logs, start_time)

    def shrink(self) -> CompressionResult:
        """Replace `self.model` by the smaller model that computes the same, and verify that it does.

        Raises:
            Diverged: If the training left NaN or infinite numbers.
            RuntimeError: If the outputs differ by more than rounding explains.
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
    def _options(self) -> DistillPruneTrainingArguments:
        """The arguments; for plain `TrainingArguments` the class of ours, whose attributes are the defaults."""
        known = isinstance(self.args, DistillPruneTrainingArguments)
        return cast(DistillPruneTrainingArguments, self.args if known else DistillPruneTrainingArguments)

    @property
    def _spec(self) -> PruningSpec | None:
        return self.args.pruning_spec if isinstance(self.args, DistillPruneTrainingArguments) else None

    @property
    def _teacher_names(self) -> list[str]:
        return self.args.teacher_names if isinstance(self.args, DistillPruneTrainingArguments) else []

    @property
    def _compression_asked(self) -> bool:
        return self._spec is not None or bool(self._given_teachers or self._teacher_names)

    @property
    def _compresses(self) -> bool:
        return self._spec is not None or self.distillation is not None


class DistillPruneTrainer(DistillPruneMixin, Trainer):
    """A `Trainer` that prunes and distils. With plain `TrainingArguments` and no teacher it is `Trainer`, bit for bit.

    Its arguments are those of `Trainer` and `teacher`: see `DistillPruneMixin`.

    Example:
        >>> args = DistillPruneTrainingArguments("out", prune_method="movement", distill_teacher="self")
        >>> trainer = DistillPruneTrainer(model, args, train_dataset=train, processing_class=tokenizer)
        >>> trainer.train()
        >>> trainer.save_model("small")
    """


# Optimizer groups: parameters that are learned beside the model, in an optimizer of the user's too.


def score_parameters(model: torch.nn.Module) -> dict[int, torch.nn.Parameter]:
    """Return the learned scores of a model with masks, by identity."""
    ends = ("pruning.attention.scores", "pruning.ffn.scores")
    return {id(p): p for name, p in model.named_parameters() if name.endswith(ends)}


def add_parameters(
    optimizer: Optimizer, parameters: Mapping[int, torch.nn.Parameter], *, scheduler: Any = None, **options: Any
) -> None:
    """Give parameters a group of their own, unless the optimizer has some of them already.

    Args:
        optimizer: changed in place.
        parameters: by identity.
        scheduler: made before for this optimizer, or None; it moves the new group like the last one that it knows.
        **options: of the group; the others are the defaults of the optimizer.

    Raises:
        ValueError: If the scheduler cannot take one more group.
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


# Recovery: a second run of `Trainer.train`, on the shrunk model, dense and with the teacher. Block movement pruning calls
# a similar run "filling" (Lagunas et al. 2021, arXiv 2109.04838, section 4).


def recovery_checkpoint(folder: Path, resumed: Path | None, step: int) -> str | None:
    """Return the newest complete checkpoint of a recovery, or None if the recovery must start anew.

    A recovery resumes only if the main training was resumed from its last checkpoint in the same output folder: only then
    does it start from the same small model. This follows from the steps in the checkpoints, not from times, which copying a folder changes.

    Args:
        folder: the folder of the recovery's checkpoints, inside that of the run before it.
        resumed: the checkpoint that the run before it was resumed from.
        step: the step at which the run before it ended.
    """
    if resumed is None or not is_finished(resumed) or resumed.resolve().parent != folder.resolve().parent:
        return None
    last = last_checkpoint(folder)
    ended_there = TrainerState.load_from_json(str(resumed / STATE)).global_step == step
    return str(last) if last and ended_there else None


def forget_checkpoints(folder: Path) -> None:
    """Mark the checkpoints in a folder, left by an earlier run, as incomplete, so that no run resumes from them."""
    for checkpoint in folder.glob("checkpoint-*"):
        begin_checkpoint(checkpoint)


@contextlib.contextmanager
def recovery_arguments(trainer: Any, folder: Path) -> Iterator[None]:
    """Give a trainer the arguments of the recovery for a while; afterwards its log follows that of the first run.

    Args:
        trainer: a Trainer whose model is shrunk and whose arguments have `prune_recovery_epochs`.
        folder: the folder of the recovery's checkpoints.
    """
    args, init, log = trainer.args, trainer.model_init, trainer.state.log_history
    trainer.args = copy.copy(args)
    trainer.args.output_dir = str(folder)
    trainer.args.num_train_epochs, trainer.args.max_steps = args.prune_recovery_epochs, -1
    trainer.model_init = None  # it would start again from the dense model
    set_seed(args.seed)  # the same random state whether or not the main training was resumed
    try:
        yield
    finally:
        trainer.args, trainer.model_init = args, init
    trainer.state.log_history = log + trainer.state.log_history
