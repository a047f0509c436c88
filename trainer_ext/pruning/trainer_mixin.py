"""`ShrinkMixin`: how a Trainer gets its small model, after the training with masks or, with `obs`, before it.

With learned scores the structure is known at the end, so the masked model is trained and then shrunk. With
`prune_method="obs"` it is known before the first step: the model is pruned and shrunk there, and the steps train the small
model, which is faster. Its checkpoints hold no masks; the structure is part of `trainer_state.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from ..benchmark.size import evaluating
from ..distillation.collator import TeacherCollator, split_inputs
from ..errors import InputError
from ..models.architectures import is_stock
from ..utils.checkpoints import STATE
from ..utils.training import is_overridden, plain_model
from . import masks, one_shot, preflight
from .config import PruningSpec, spec_of
from .scores import METHODS
from .selection import Structure
from .verify import CompressionResult, shrink_and_verify

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer

    _Base = Trainer
else:
    _Base = object

STATE_KEY = "PruningCallback"  # in `stateful_callbacks` of trainer_state.json
SAME = ("method", "sparsity", "speedup", "structure", "attention", "ffn")  # of the spec, in a run that is resumed


class ShrinkMixin(_Base):
    """The methods of a trainer that replace its model by the small one."""

    compression: CompressionResult | None
    distillation: Any
    data_collator: Any
    _last_inputs: dict[str, Any] | None

    if TYPE_CHECKING:

        @property
        def _compresses(self) -> bool: ...

        @property
        def _options(self) -> Any: ...

        def _move_optimizer(self) -> None: ...

    def shrink(self) -> CompressionResult:
        """Replace `self.model` by the smaller model that computes the same, and verify that it does.

        Raises:
            Diverged: If the training left NaN or infinite numbers.
            CheckFailed: If the outputs differ by more than rounding explains.
        """
        masked = plain_model(self)
        if self.distillation:
            self.distillation.detach(masked)
        smaller, self.compression = shrink_and_verify(masked, preflight.batch_for(self, masked))
        self._replace_model(smaller)
        return self.compression

    def _prune_before_training(self, checkpoint: Path | None) -> dict[str, Any] | None:
        """Prune and shrink the model of a run whose method needs no training, or that of its checkpoint.

        Args:
            checkpoint: what the run is resumed from, or None.

        Returns:
            What the checkpoints of the run must hold; None if the model is to be trained with its masks.

        Raises:
            InputError: The checkpoint was written with another target.
        """
        model = self.accelerator.unwrap_model(self.model)
        if not hasattr(model, "pruning") or model.pruning.is_frozen or self.model_init is not None:
            return None
        spec = spec_of(model)
        if not METHODS[spec.method].second_order:
            return None
        if checkpoint is not None:
            stored = _stored(checkpoint)
            if stored is not None:
                self._shrink_as(stored, spec, checkpoint)
            return stored
        with preflight.same_random_state():  # as for a run that is resumed
            self._check_labels()
            one_shot.prune_for_training(model, self.get_train_dataloader(), self.args)
            found = {"spec": asdict(spec), "result": asdict(self.shrink())}
        self._move_optimizer()
        found["spec"].pop("latency")
        return found

    def _check_labels(self) -> None:
        """Let `Trainer` refuse rows without labels, of which the model gives no loss, before the pruning."""
        trains = self.args.max_steps > 0 or self.args.num_train_epochs > 0 or self._options.prune_recovery_epochs
        has_own = self.compute_loss_func is not None or is_overridden(self, "compute_loss")
        learns_alone = self.distillation is not None and self._options.distill_alpha == 1
        if not trains or has_own or learns_alone:
            return
        batch = preflight.first_batch(self)
        if batch is None or any(name in batch for name in self.label_names):
            return
        model = cast(torch.nn.Module, self.model)
        with evaluating(model), torch.no_grad():
            self.compute_loss(model, batch)

    def _shrink_as(self, stored: dict[str, Any], spec: PruningSpec, checkpoint: Path) -> None:
        """Shrink the model to the structure of a checkpoint, whose weights Trainer then loads."""
        for name in SAME:
            if stored["spec"][name] != (ours := getattr(spec, name)):
                raise InputError(
                    f"{checkpoint} was written with prune_{name}={stored['spec'][name]}, and this run has {ours}: give that, "
                    "or start without resume_from_checkpoint, in another output_dir."
                )
        result = CompressionResult(**stored["result"])
        masked = self.accelerator.unwrap_model(self.model)
        if self.distillation:
            self.distillation.detach(masked)
        masks.freeze(masked, Structure(result.heads, result.neurons))
        with preflight.same_random_state():
            smaller, _ = shrink_and_verify(masked, preflight.batch_for(self, masked))
        self._replace_model(smaller)
        self._move_optimizer()
        self.compression = result

    def _replace_model(self, model: PreTrainedModel) -> None:
        self.accelerator.free_memory()
        self.model = self.model_wrapped = self.callback_handler.model = model
        self.optimizer = self.lr_scheduler = None
        self.callback_handler.optimizer = self.callback_handler.lr_scheduler = None

    def _try_before_training(self, student: PreTrainedModel | None) -> None:
        """Try on a batch what could fail after the training of a model of the user's own class."""
        if not self._compresses or student is None:  # a search has no model yet
            return
        model = self.accelerator.unwrap_model(student)
        if is_stock(model):
            return
        batch = preflight.first_batch(self)
        if batch is None:
            return
        inputs = split_inputs(batch)[0] if isinstance(self.data_collator, TeacherCollator) else batch
        if hasattr(model, "pruning") and not model.pruning.is_frozen:
            preflight.try_shrink(model, inputs)
        if self.distillation:
            with preflight.same_random_state():
                self.distillation.try_terms(model, inputs, batch, self._options)


def _stored(checkpoint: Path) -> dict[str, Any] | None:
    """Return what `PruningCallback` left in a checkpoint of a model that was shrunk before the training, or None."""
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        return cast(dict, state["stateful_callbacks"][STATE_KEY]["attributes"]["before_training"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
