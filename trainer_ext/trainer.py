"""`DistillPruneTrainer`: a Hugging Face `Trainer` that prunes and distils, and ends with the small model.

The training loop is that of `Trainer`. Each method of `DistillPruneMixin` overrides one of its hooks and calls `super()`;
the methods stand in the order in which a training runs them:

    __init__, call_model_init   open the teachers, drop layers, attach masks
    train                       train dense (`dense_epochs`), train, shrink, and train further (`prune_recovery_epochs`)
    create_optimizer            give the scores of the masks a learning rate of their own
    log                         add the mean of each loss term, and the sparsity

`PruningCallback` raises the sparsity, `ShrinkMixin` (pruning/) makes the model small, `LossMixin` (distillation/) adds the
loss terms, and `HubMixin` (hub/) publishes.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.optim import Optimizer
from transformers import PreTrainedModel, Trainer, TrainerState, TrainingArguments, set_seed
from transformers.trainer_utils import TrainOutput

from .callbacks import PruningCallback
from .distillation.collator import TeacherCollator, check_rows
from .distillation.distillation import Distillation
from .distillation.losses import LossTerms
from .distillation.teachers import load_teacher
from .distillation.trainer_mixin import LossMixin
from .errors import InputError
from .hub.trainer_mixin import HubMixin
from .hub.trainer_report import Before, before
from .models.architectures import is_stock
from .models.custom import check_publishable
from .models.loading import check_padding, new_head, save_under_own_names, use_trainable_dtype
from .pruning import masks, preflight
from .pruning.calibration import check_training_set
from .pruning.config import PruningSpec
from .pruning.prepare import prepare_model
from .pruning.scores import METHODS
from .pruning.trainer_mixin import ShrinkMixin
from .pruning.verify import CompressionResult
from .report.io import utc_now
from .training_args import DistillPruneTrainingArguments
from .utils import finite
from .utils.checkpoints import STATE, check_fits, checkpoint_to_resume, is_finished
from .utils.distributed import check_one_device, check_whole_model, check_whole_parameters
from .utils.files import writing_to
from .utils.training import (
    DENSE,
    RECOVERY,
    DenseRun,
    add_parameters,
    call_as_known,
    changed_arguments,
    check_epochs,
    dense_run_for,
    dense_to_resume,
    forget_checkpoints,
    moved_optimizer,
    plain_model,
    recovery_arguments,
    recovery_checkpoint,
    score_parameters,
    without_model_init,
)

logger = logging.getLogger(__name__)

# At run time the mixin has no Trainer among its bases: the class that it is mixed into brings its own.
if TYPE_CHECKING:
    _Base = Trainer
else:
    _Base = object


class DistillPruneMixin(ShrinkMixin, LossMixin, HubMixin, _Base):
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
        # How long to train dense and compressed, None without a dense training; whether it is still to be done; its result.
        self._dense_run: DenseRun | None = None
        self._dense_pending, self._dense_state = False, TrainerState()
        self._pruned = False  # the model that is trained was shrunk in this call of train()
        optimizers = kwargs.get("optimizers", positional[8] if len(positional) > 8 else ())
        self._given_optimizers = tuple(optimizers) if any(each is not None for each in optimizers) else None
        # Of the parameters that it has, by identity: what is trained may be a smaller model.
        named = model.named_parameters() if model is not None and self._given_optimizers else ()
        self._optimizer_names = {id(parameter): name for name, parameter in named}
        self._trained_at: str | None = None  # UTC time at which the training ended
        self._terms, self._terms_due, self._diverged = LossTerms(), False, False
        self._last_inputs: dict[str, Any] | None = None  # of the model, in training
        self._loaded_teachers: dict[str, PreTrainedModel] = {}  # by name, so that each is read once
        given = teacher if isinstance(teacher, list | tuple) else [teacher]
        self._given_teachers = [one for one in given if one is not None]
        if self._given_teachers and self._teacher_names:
            names = ", ".join(map(repr, self._teacher_names))
            raise ValueError(f"Got both teacher=... and distill_teacher={names}. Choose one.")
        if any(one is model for one in self._given_teachers):
            raise ValueError("teacher is the model itself, which would freeze it; use distill_teacher='self' instead.")
        self._check_sharding()
        whole = model
        if model is not None:
            if self._given_optimizers and self._trains_smaller:  # what cannot be made again is refused now
                moved_optimizer(self._given_optimizers, self._optimizer_names, model)
            model = self._prepare_student(model)
        super().__init__(model, args, *positional, **kwargs)
        if model is not whole:
            self._move_optimizer()
        self._wrap_loss()
        if self._compresses or self._dense_pending:
            check_one_device(self.args)
        if self.distillation or self._dense_pending:
            check_rows(self.train_dataset, self.data_collator, remove_unused_columns=self.args.remove_unused_columns)
        if self._spec is not None and METHODS[self._spec.method].second_order and self.train_dataset is not None:
            check_training_set(self.train_dataset)
        self._check_epochs()
        self._add_pruning_callback()

    def call_model_init(self, trial: Any = None) -> PreTrainedModel:
        """Attach masks to the model that `model_init` makes, at the start and again at every `train()`."""
        self.compression = None  # the new model is dense again, and so are its checkpoints
        if trial is not None and self.hp_search_backend and isinstance(self.args, DistillPruneTrainingArguments):
            # Trainer writes the trial into the arguments only after this, and does not check them.
            self.args.set_compression(trial if isinstance(trial, Mapping) else self.hp_space(trial))
            self._check_epochs()
            self._add_pruning_callback()
        self._check_sharding()
        model = cast(PreTrainedModel, super().call_model_init(trial))
        return self._prepare_student(model, searching=trial is not None)

    def _add_pruning_callback(self) -> None:
        """Add `PruningCallback` if something is pruned, once: a search may turn pruning on later."""
        pruned = self._spec is not None or hasattr(getattr(self, "model", None), "pruning")
        if pruned and not any(isinstance(each, PruningCallback) for each in self.callback_handler.callbacks):
            self.add_callback(PruningCallback)

    def _store_in_checkpoints(self, **attributes: Any) -> None:
        """Set attributes of `PruningCallback`, which checkpoints keep."""
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, PruningCallback):
                vars(callback).update(attributes)

    def _move_optimizer(self) -> None:
        """Let an optimizer and a schedule of the script train the model that there is now, which is smaller."""
        if self._given_optimizers:
            model = self.accelerator.unwrap_model(self.model)
            self.optimizer, self.lr_scheduler = moved_optimizer(self._given_optimizers, self._optimizer_names, model)

    @property
    def _trains_smaller(self) -> bool:
        """Whether another model is trained than the one that was given."""
        options, spec = self._options, self._spec
        before = spec is not None and METHODS[spec.method].second_order
        return bool(before or options.prune_recovery_epochs or options.prune_layers or options.prune_layer_ids)

    def _check_epochs(self) -> None:
        check_epochs(self, trains_dense=self._dense_run is not None, prunes=self._spec is not None)

    def _check_sharding(self) -> None:
        if self._compression_asked:
            check_whole_parameters(self.args)

    def _prepare_student(self, model: PreTrainedModel, *, searching: bool = False) -> PreTrainedModel:
        """Return the model to train first: as it is if it is trained dense, else with masks and teachers."""
        if self._compression_asked:
            use_trainable_dtype(model, scaled=self.args.fp16)
            save_under_own_names(model)
            check_padding(model, self.processing_class)
        # With model_init this runs again inside the dense training, whose arguments are other ones: keep the first decision.
        run = (
            self._dense_run if self._dense_run is not None and not searching else self._dense_run_of(model, searching)
        )
        self._dense_pending = run is not None
        if run is None:
            return self._attach(model)
        self._dense_run = run
        with self._attached_to_copy(model):
            return model

    @contextlib.contextmanager
    def _attached_to_copy(self, model: PreTrainedModel) -> Iterator[PreTrainedModel]:
        """Prepare a copy of a model for the block: what cannot be compressed is refused before the dense training."""
        self._dense_pending = False
        try:
            yield self._attach(copy.deepcopy(model))
        finally:
            self._dense_pending, self.distillation = True, None
            self._mark_loss_as_scaled(False)

    def _dense_run_of(self, model: PreTrainedModel, searching: bool) -> DenseRun | None:
        """Return how long to train dense first, and compressed after it; None if there is to be no dense training."""
        asked = self._options.dense_epochs
        if not (asked or self._spec is not None or "self" in self._teacher_names) or hasattr(model, "pruning"):
            return None
        new = new_head(model)
        without_teacher = (
            not self._given_teachers and self._options.distill_teacher is None and not self._teacher_names
        )
        why_not = (
            "in a hyperparameter search" if searching else "with optimizers=..." if self._given_optimizers else None
        )
        run = dense_run_for(
            self.args,
            new,
            why_not=why_not,
            becomes_teacher=not self._given_teachers,
            answers_at_random="self" in self._teacher_names,
        )
        if run is not None and not asked and without_teacher:
            self._choose_hidden(model)
        return run

    def _choose_hidden(self, model: PreTrainedModel) -> None:
        """Let the student learn the hidden states too if nothing was said: the logits alone cost about one point more."""
        args = cast(DistillPruneTrainingArguments, self.args)
        if args.chooses_hidden and args.distill_cache_dir is None and is_stock(model):
            args.distill_hidden = 1.0

    def _attach(self, model: PreTrainedModel) -> PreTrainedModel:
        """Set up the teachers, then drop layers and attach masks: 'self' is copied while the model is still dense."""
        options = self._options
        if self._compression_asked:
            check_whole_model(model)
            finite.check_given(model, "The model")
            self._before = before(model)  # for the card
        if self._spec is not None and not hasattr(model, "pruning"):
            preflight.check_class(model)
            if self.args.push_to_hub:
                check_publishable(model)
        teachers = self._given_teachers or [self._open_teacher(name, model) for name in self._teacher_names]
        vars(model).pop("save_pretrained", None)  # of an earlier trainer
        student = prepare_model(model, options) if options is self.args else model
        if hasattr(student, "pruning"):
            masks.save_as_plain(student)
        if student is not model:
            masks.save_as_plain(model)  # it stays as it is, and whoever saves it is told so
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
        self._mark_loss_as_scaled(self._compresses)
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
        self._terms_due = False
        self._dense_state = TrainerState()
        with contextlib.ExitStack() as stack:
            if trial is not None:
                self._dense_pending = False
            elif self._dense_run is not None and (self._dense_pending or self.model_init is not None):
                resume_from_checkpoint = self._train_dense(resume_from_checkpoint, ignore_keys_for_eval)
                stack.enter_context(without_model_init(self))
                stack.enter_context(changed_arguments(self, **self._dense_run.compressed))
            return self._train_compressed(resume_from_checkpoint, trial, ignore_keys_for_eval)

    def _train_dense(self, resume_from_checkpoint: str | bool | None, ignore: list[str] | None) -> str | bool | None:
        """Train the whole model, then attach teachers and masks; return what the compression resumes from."""
        folder = Path(str(self.args.output_dir)) / DENSE
        last, finished, rest = dense_to_resume(folder, resume_from_checkpoint)
        self._dense_pending, self.compression = True, None
        if self.model is not None and not is_stock(dense := self.accelerator.unwrap_model(self.model)):
            with self._attached_to_copy(dense) as student:
                self._try_before_training(student)
        saves = self.args.save_strategy != "no"
        if finished is None:
            if last is None and saves and self.args.should_save:
                (folder / STATE).unlink(missing_ok=True)
                forget_checkpoints(folder)
            changes = {"output_dir": str(folder), "push_to_hub": False, **cast(DenseRun, self._dense_run).dense}
            with changed_arguments(self, **changes):
                self._train(last, None, ignore)
                if saves:
                    self.save_model(str(folder), _internal_call=True)
                    self.save_state()
            self._dense_state = self.state
        else:
            self._load_from_checkpoint(str(finished))
            self._dense_state = TrainerState.load_from_json(str(finished / STATE))
        finite.check_trained(self.model, "The dense training")
        set_seed(self.args.seed)  # the same random state whether or not it was resumed
        model = plain_model(self)
        self._dense_pending = False
        self._replace_model(self._attach(model))
        return rest

    def _train_compressed(
        self, resume_from_checkpoint: str | bool | None, trial: Any, ignore_keys_for_eval: list[str] | None
    ) -> TrainOutput:
        """Train with masks and teachers, shrink, and train the small model further."""
        if self._compresses:
            resume_from_checkpoint = checkpoint_to_resume(str(self.args.output_dir), resume_from_checkpoint)
        checkpoint = Path(resume_from_checkpoint) if isinstance(resume_from_checkpoint, str) else None
        self._try_before_training(self.model)
        before_training = self._prune_before_training(checkpoint) if self.model is not None else None
        self._store_in_checkpoints(before_training=before_training)
        if self._compresses and checkpoint is not None and self.model_init is None:
            spec = self._spec if before_training is None else None
            check_fits(checkpoint, self.accelerator.unwrap_model(self.model), spec)
        at_end = checkpoint is not None and is_finished(checkpoint)
        if self._spec is not None and trial is None and self.args.should_save and not at_end:
            # The run that starts now ends with another small model.
            forget_checkpoints(Path(str(self.args.output_dir)) / RECOVERY)
        self._pruned = before_training is not None
        output = self._train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        if hasattr(self.model, "pruning"):
            self.shrink()
            self._pruned = True
        if self._pruned:
            if self._options.prune_recovery_epochs:
                recovery_folder = Path(self._get_output_dir(trial)) / RECOVERY
                last = recovery_checkpoint(recovery_folder, checkpoint, output.global_step)
                if last is None and self.args.should_save:
                    forget_checkpoints(recovery_folder)
                self._terms = LossTerms()
                self._move_optimizer()
                with recovery_arguments(self, recovery_folder):
                    recovery = self._train(last, None, ignore_keys_for_eval)
                finite.check_trained(self.model, "The recovery")
                if trial is not None:
                    self.objective = None  # that of the model before recovery; Trainer now evaluates again
                metrics = {f"recovery_{name}": value for name, value in recovery.metrics.items()}
                output = output._replace(metrics=output.metrics | metrics)
        self.state.log_history = self._dense_state.log_history + self.state.log_history
        self._trained_at = utc_now()
        return output

    def _train(self, resume_from_checkpoint: str | bool | None, trial: Any, ignore: list[str] | None) -> TrainOutput:
        """Call `Trainer.train` with the parameters that distillation adds to the model for the time of the training."""
        if self.distillation and self.model_init is None:  # with it, Trainer makes the model later
            self.distillation.attach(self.model, self._options)
        with writing_to(Path(str(self.args.output_dir))) if self._compresses else contextlib.nullcontext():
            named = {"resume_from_checkpoint": resume_from_checkpoint, "trial": trial, "ignore_keys_for_eval": ignore}
            output = call_as_known(super().train, **named)
        if self.distillation:
            self.distillation.detach(self.model)
        return output

    def create_optimizer(self, model: torch.nn.Module | None = None) -> Optimizer:
        """Move the scores into a group with their own learning rate and no weight decay."""
        made_here = self.optimizer is None
        optimizer = call_as_known(super().create_optimizer, model=model)
        if self._spec is not None:
            scores = score_parameters(self.model if model is None else model)
            if made_here:  # Trainer put the scores into the groups of the weights
                for group in optimizer.param_groups:
                    group["params"] = [p for p in group["params"] if id(p) not in scores]
            lr = self._options.prune_score_lr
            add_parameters(optimizer, scores, scheduler=self.lr_scheduler, lr=lr, weight_decay=0.0)
        if self.distillation:
            add_parameters(optimizer, self.distillation.parameters, scheduler=self.lr_scheduler)
        return optimizer

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
            elif self._pruned and self.compression is not None:
                logs["sparsity"] = self.compression.sparsity
            if self._compresses and not self._diverged:  # warn once
                self._diverged = finite.warn(logs, self.state.global_step, scaler=self.accelerator.scaler)
        call_as_known(super().log, logs, start_time=start_time)

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
        if not isinstance(self.args, DistillPruneTrainingArguments):
            return []
        default = self._dense_run is not None and self.args.distill_teacher is None and not self._given_teachers
        return self.args.teacher_names or (["self"] if default else [])

    @property
    def _compression_asked(self) -> bool:
        return self._spec is not None or bool(self._given_teachers or self._teacher_names)

    @property
    def _compresses(self) -> bool:
        return not self._dense_pending and (self._spec is not None or self.distillation is not None)


class DistillPruneTrainer(DistillPruneMixin, Trainer):
    """A `Trainer` that prunes and distils. With plain `TrainingArguments` and no teacher it is `Trainer`, bit for bit.

    Its arguments are those of `Trainer` and `teacher`: see `DistillPruneMixin`.

    Example:
        >>> args = DistillPruneTrainingArguments("out", prune_method="movement", distill_teacher="self")
        >>> trainer = DistillPruneTrainer(model, args, train_dataset=train, processing_class=tokenizer)
        >>> trainer.train()
        >>> trainer.save_model("small")
    """
