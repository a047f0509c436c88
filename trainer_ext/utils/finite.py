"""Report NaN and infinite numbers, which cannot be ranked or compared; the stock Trainer continues with them."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..errors import Diverged, InputError

logger = logging.getLogger(__name__)

DIVERGED_HINT = (
    "lower learning_rate (or prune_score_lr), warm up longer (warmup_steps), or use bf16 instead of fp16, and start "
    "again or from a checkpoint before it"
)


def bad_tensors(model: torch.nn.Module) -> list[str]:
    """Return the names of parameters with NaN or infinite values; parameters on the meta device have none."""
    return [name for name, p in model.named_parameters() if not p.is_meta and not p.isfinite().all()]


def check_given(model: torch.nn.Module, what: str) -> None:
    """Refuse a model with NaN or infinite weights before training.

    Args:
        model: the model.
        what: its name in the message.

    Raises:
        InputError: A weight is NaN or infinite.
    """
    if bad := bad_tensors(model):
        raise InputError(
            f"{what} has NaN or infinite weights ({_listed(bad)}): its file is damaged or its training diverged; "
            "give another model."
        )


def check_trained(model: torch.nn.Module, what: str) -> None:
    """Refuse a model whose training diverged.

    Args:
        model: the trained model.
        what: the name of the training in the message.

    Raises:
        Diverged: A weight is NaN or infinite.
    """
    if bad := bad_tensors(model):
        raise Diverged(f"{what} diverged: NaN or infinite weights in {_listed(bad)}; {DIVERGED_HINT}.")


def warn(logs: Mapping[str, Any], step: int, *, scaler: object) -> bool:
    """Log a warning about losses that are NaN or infinite; Trainer's `loss` hides them (`logging_nan_inf_filter`).

    Args:
        logs: the values that are about to be logged.
        step: of the training.
        scaler: the gradient scaler of fp16, or None; with it, an infinite gradient norm is normal and the step skipped.

    Returns:
        Whether there was a warning.
    """
    names = [name for name in logs if name.startswith("loss") or (name == "grad_norm" and scaler is None)]
    bad = [
        f"{name} {logs[name]:.3g}" for name in names if isinstance(logs[name], float) and not math.isfinite(logs[name])
    ]
    if bad:
        about = "; NaN logits of a teacher have the same effect" if "loss_distill" in " ".join(bad) else ""
        logger.warning("Step %d: %s. The training diverged: %s%s.", step, ", ".join(bad), DIVERGED_HINT, about)
    return bool(bad)


def trial_may_fail(train: Callable) -> Callable:
    """Wrap `Trainer.train` so that a trial of a hyperparameter search that diverges counts as failed and the search goes on.

    Args:
        train: the method.
    """

    @functools.wraps(train)
    def guarded(trainer, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        try:
            return train(trainer, resume_from_checkpoint, trial, ignore_keys_for_eval)
        except Diverged as error:
            if trial is None:
                raise
            logger.warning("This trial counts as failed: %s", error)
            from transformers.trainer_utils import TrainOutput  # slow to import

            trainer.objective = math.nan  # a failed trial
            return TrainOutput(trainer.state.global_step, math.nan, {})

    return guarded


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
