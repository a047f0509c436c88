"""The loss of a Trainer that compresses: the task loss of `compute_loss`, and the terms of the teachers and of the masks."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from ..utils.checkpoints import is_past_the_end
from ..utils.compat import ScaledLossMixin
from ..utils.training import call_as_known, is_overridden
from .collator import TeacherCollator, split_inputs
from .losses import LossTerms, labelled

if TYPE_CHECKING:
    from transformers import Trainer

    from .distillation import Distillation

    _Base = Trainer
else:
    _Base = object


class LossMixin(ScaledLossMixin, _Base):
    """Adds the loss terms of a Trainer that has `distillation`, `_options` and `_compresses`."""

    if TYPE_CHECKING:
        distillation: Distillation | None
        data_collator: Any
        _terms: LossTerms
        _terms_due: bool
        _last_inputs: dict[str, Any] | None

        @property
        def _compresses(self) -> bool: ...

        @property
        def _options(self) -> Any: ...

    def _wrap_loss(self) -> None:
        """Add the terms to `compute_loss`: on the instance, since that of a script may stand above or below this mixin."""
        self.compute_loss = functools.partial(self._loss_with_terms, self.compute_loss)  # type: ignore[method-assign]

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
        if self._terms_due and self._compresses:
            raise ValueError(
                f"{type(self).__name__} made a training step without self.compute_loss(model, inputs), to which the terms "
                "of the teacher are added: call it in training_step, and define a loss of your own as compute_loss in "
                "the class."
            )
        self._terms_due = bool(self.distillation and samples)
        return samples, count

    def _loss_with_terms(
        self, task_loss: Callable, model: torch.nn.Module, inputs: dict[str, Any], *given: Any, **named: Any
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Compute the task loss, and in training add the terms of the teachers and of the masks, once.

        It is called in place of `compute_loss`, and not as an override: a script's own `compute_loss` rarely calls `super()`.

        Args:
            task_loss: `compute_loss` of the class of this trainer: the mean over a micro-batch.
            model: the student, possibly wrapped.
            inputs: a batch, with the columns of the teacher if `data_collator` is a `TeacherCollator`.
            *given: further arguments of `compute_loss`: `return_outputs`, `num_items_in_batch`.
            **named: the same, by name.
        """
        batch = dict(inputs)  # a compute_loss may take the labels out of the inputs
        if isinstance(self.data_collator, TeacherCollator):
            inputs, _ = split_inputs(inputs)
        if not self._compresses or not model.training:
            return call_as_known(task_loss, model, inputs, *given, **named)
        self._last_inputs, self._terms_due = dict(inputs), False  # also if the step is out of memory, and tried again
        named |= zip(("return_outputs", "num_items_in_batch"), given, strict=False)
        in_batch, has_label = named.get("num_items_in_batch"), labelled(batch)
        # The model gets no count of items, so that the task loss is the mean over this micro-batch. The user's own
        # functions get the count of this micro-batch: by it a sum becomes that mean.
        own = self.compute_loss_func is not None or is_overridden(self, "compute_loss")
        unlabelled = (
            self.distillation is not None
            and self._options.distill_alpha == 1
            and not own
            and not any(name in batch for name in self.label_names)
        )
        if unlabelled:
            task_loss = _no_loss
        counted = own and in_batch is not None and has_label is not None
        named["num_items_in_batch"] = cast(torch.Tensor, has_label).sum() if counted else None
        watched: contextlib.AbstractContextManager = contextlib.nullcontext()
        if self.distillation:
            watched = self.distillation.watch(model, self.accelerator.unwrap_model(model), self._options)
        accepts, self.model_accepts_loss_kwargs = self.model_accepts_loss_kwargs, False
        try:
            with watched as seen:
                result = call_as_known(task_loss, model, inputs, **named)
        finally:
            self.model_accepts_loss_kwargs = accepts
        loss, *outputs = result if isinstance(result, tuple) else (result,)
        if counted and self.compute_loss_func and self.args.average_tokens_across_devices:
            loss = loss / self.accelerator.num_processes  # by which Trainer has just multiplied it
        if has_label is not None:  # the mean over no label at all is NaN, unless a loss of the user's own needs none
            loss = torch.where(has_label.any() | loss.isfinite() if own else has_label.any(), loss, 0.0)
        share = self._share_of_batch(batch, in_batch, own)
        terms, weights = {} if unlabelled else {"loss_task": loss}, {"loss_task": 1.0}
        if self.distillation:
            terms |= self.distillation.terms(seen, batch, self._options, self.accelerator.autocast)
            weights = self.distillation.weights(self._options)
        pruning = getattr(self.accelerator.unwrap_model(self.model), "pruning", None)
        if pruning is not None and (penalty := pruning.penalty) is not None:
            terms, weights = terms | {"loss_penalty": penalty}, weights | {"loss_penalty": 1.0}
        if terms.keys() != {"loss_task"}:
            self._terms.add(terms, share)
            loss = sum(weights[name] * term for name, term in terms.items())
        loss = loss * share
        return (loss, *outputs) if outputs else loss

    def _share_of_batch(
        self, batch: Mapping[str, Any], num_items_in_batch: torch.Tensor | int | None, own_loss: bool
    ) -> torch.Tensor | float:
        """Return the share of this micro-batch in the accumulated batch, so that splitting a batch changes nothing.

        Trainer counts labels over all micro-batches, and over the processes, whose gradients DDP then averages. Without any
        label there, a loss of the user's own counts as the mean over the micro-batches.
        """
        equal = 1.0 / self._micro_batches
        has_label = labelled({"labels": batch.get("labels", batch.get("start_positions"))})
        if num_items_in_batch is None or has_label is None:
            return equal
        count = cast(torch.Tensor, num_items_in_batch)
        share = has_label.sum() / count.clamp(min=1)
        if self.args.average_tokens_across_devices:
            share = share * self.accelerator.num_processes
        return torch.where(count > 0, share, equal) if own_loss else share


def _no_loss(
    model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False
) -> torch.Tensor | tuple[torch.Tensor, Any]:
    """Run the model on rows without labels, in place of `compute_loss`; the teacher's terms are the loss."""
    outputs = model(**inputs)
    loss = inputs["input_ids"].new_zeros((), dtype=torch.float32)
    return (loss, outputs) if return_outputs else loss
