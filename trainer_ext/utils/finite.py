"""Finite: what is said of NaN and infinite numbers, which no ranking and no proof can use; stock Trainer goes on with them."""

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
    """Names of the parameters that hold NaN or infinite numbers; an outline without data has none."""
    return [name for name, p in model.named_parameters() if not p.is_meta and not p.isfinite().all()]


def check_given(model: torch.nn.Module, what: str) -> None:
    """Refuse a model that is broken before anything is learned from it.

    Args:
        model: with its weights.
        what: it is called in the message.

    Raises:
        InputError: a weight is NaN or infinite.
    """
    if bad := bad_tensors(model):
        raise InputError(
            f"{what} has NaN or infinite weights ({_listed(bad)}): its file is damaged or its training diverged; "
            "give another model."
        )


def check_trained(model: torch.nn.Module, what: str) -> None:
    """Refuse the result of a training that diverged.

    Args:
        model: after training.
        what: was trained, in the message.

    Raises:
        Diverged: a weight is NaN or infinite.
    """
    if bad := bad_tensors(model):
        raise Diverged(f"{what} diverged: NaN or infinite weights in {_listed(bad)}; {DIVERGED_HINT}.")


def warn(logs: Mapping[str, Any], step: int, *, scaler: object) -> bool:
    """Say that a step was lost, which Trainer's own `loss` leaves out (`logging_nan_inf_filter`).

    Args:
        logs: what a training is about to log.
        step: of the training.
        scaler: of gradients in fp16, or None; it skips a step whose gradients overflow, as it should.

    Returns:
        Whether anything was said.
    """
    names = [name for name in logs if name.startswith("loss") or (name == "grad_norm" and scaler is None)]
    odd = [
        f"{name} {logs[name]:.3g}" for name in names if isinstance(logs[name], float) and not math.isfinite(logs[name])
    ]
    if odd:
        about = "; a teacher that answers such numbers does it too" if "loss_distill" in " ".join(odd) else ""
        logger.warning("Step %d: %s. The training diverged: %s%s.", step, ", ".join(odd), DIVERGED_HINT, about)
    return bool(odd)


def trial_may_fail(train: Callable) -> Callable:
    """`Trainer.train`, whose divergence in a trial of a hyperparameter search is no error: the search goes on.

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
            from transformers.trainer_utils import TrainOutput  # heavier than all else here

            trainer.objective = math.nan  # which a search takes for a trial that failed
            return TrainOutput(trainer.state.global_step, math.nan, {})

    return guarded


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
