"""Callbacks: the sparsity of every step, computed from the step alone."""

from __future__ import annotations

from transformers import TrainerCallback

from . import masks, schedules
from .units import PruningSpec


class PruningCallback(TrainerCallback):
    """Moves the masks of a model along its schedule. Works with any Trainer whose model has masks (`attach`).

    It remembers nothing: the target follows from `state.global_step` and `state.max_steps`, and what it did is in the
    buffers of `model.pruning`, so a resumed run goes on exactly where it was.
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
            _close(model, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Fix the final structure of a run that ends with its ramp, before its last evaluation and checkpoint.

        Without it load_best_model_at_end finds only checkpoints of the ramp and takes the densest.
        """
        if state.global_step >= state.max_steps and hasattr(model, "pruning") and not model.pruning.is_frozen:
            _close(model, state)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """Fix the final structure of a run that was stopped in its ramp."""
        if hasattr(model, "pruning") and not model.pruning.is_frozen:
            _close(model, state)


def _close(model, state) -> None:
    masks.close(model)
    # Checkpoints of the ramp are denser than what was asked for and would win every comparison: without this,
    # load_best_model_at_end returns an unpruned model.
    state.best_metric = state.best_global_step = state.best_model_checkpoint = None
