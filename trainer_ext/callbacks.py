"""Callbacks: the sparsity of every step, computed from the step alone."""

from __future__ import annotations

import logging

from transformers import TrainerCallback

from . import masks, schedules, speed_closing
from .units import PruningSpec

logger = logging.getLogger(__name__)


class PruningCallback(TrainerCallback):
    """Moves the masks of a model along its schedule. Works with any Trainer whose model has masks (`attach`).

    It remembers nothing: the target follows from `state.global_step` and `state.max_steps`, and what it did is in the
    buffers of `model.pruning`, so a resumed run goes on exactly where it was.

    While the sparsity rises every evaluation is one of another network, so no metric counts as the best one until the
    structure is fixed: `load_best_model_at_end` would take the densest checkpoint, and `EarlyStoppingCallback` would
    stop a ramp that loses accuracy, which leaves no steps to win it back. Its patience starts after the ramp.
    """

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        """Set the sparsity of this step; at the end of the ramp, fix the final structure."""
        if not hasattr(model, "pruning") or model.pruning.is_frozen:
            return
        spec = PruningSpec(**model.config.pruning)
        first, last = schedules.phase_steps(state.max_steps, start=spec.start, end=spec.end)
        if state.global_step < last:
            sparsity = schedules.cubic_ramp(state.global_step, first=first, last=last, final=spec.sparsity)
            masks.set_sparsity(model, sparsity)
        else:
            _close(model, args, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Compare no evaluation of the ramp; fix the structure of a run that ends with it, before its last evaluation."""
        if not hasattr(model, "pruning") or model.pruning.is_frozen:
            return
        if state.global_step >= state.max_steps:
            _close(model, args, state)
        else:
            # Without a best metric EarlyStoppingCallback counts no failure, whichever callback comes first.
            _forget_best(state)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """Fix the final structure of a run that was stopped in its ramp."""
        if hasattr(model, "pruning") and not model.pruning.is_frozen:
            logger.warning(
                "Training stopped at step %d of %d, before the end of the ramp: the model is cut to its final size now, "
                "and no step is left to recover from that.",
                state.global_step,
                state.max_steps,
            )
            _close(model, args, state)


def _close(model, args, state) -> None:
    speed_closing.close(model, args)
    _forget_best(state)


def _forget_best(state) -> None:
    state.best_metric = state.best_global_step = state.best_model_checkpoint = None
