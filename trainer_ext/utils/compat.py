"""Compatibility: what differs between the versions of torch and transformers that `pyproject.toml` allows.

Everything that depends on a version is here, with the lowest version that does without it: when the lower bound reaches that
version, the part can go. `make lowest` and `make newest` test both ends.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from importlib import metadata
from operator import attrgetter
from typing import Any

import torch
from packaging.version import Version

TORCH = Version(metadata.version("torch")).release
TRANSFORMERS = Version(metadata.version("transformers")).release
TELLS_CAPABILITIES = TORCH >= (2, 11)  # torch.cpu.get_capabilities


class ScaledLossMixin:
    """Keeps a Trainer from dividing a loss once more that is divided over the accumulated batch already.

    `Trainer.loss_is_scaled_for_ga` says so from transformers 5.19 on. Before, `training_step` divides by
    `current_gradient_accumulation_steps` in any case, so that is 1 here while the loss is scaled. Nothing else reads it.
    With transformers >= 5.19, `loss_is_scaled_for_ga` alone is enough.
    """

    loss_is_scaled_for_ga: bool | None
    _loss_is_scaled = False
    _micro_batches = 1

    def _mark_loss_as_scaled(self, scaled: bool) -> None:
        """Say whether `compute_loss` divides the loss over the accumulated batch; if not, Trainer decides as it always does."""
        self._loss_is_scaled = scaled
        if scaled:
            self.loss_is_scaled_for_ga = True
        else:
            vars(self).pop("loss_is_scaled_for_ga", None)

    @property
    def current_gradient_accumulation_steps(self) -> int:
        """By how much `Trainer` divides the loss of a micro-batch, if it divides; Trainer sets it at every step."""
        return 1 if self._loss_is_scaled else self._micro_batches

    @current_gradient_accumulation_steps.setter
    def current_gradient_accumulation_steps(self, count: int) -> None:
        self._micro_batches = count


@contextlib.contextmanager
def private_repository(trainer: Any, private: bool | None) -> Iterator[dict[str, bool | None]]:
    """Let a trainer create its repository as private as asked, whatever its class.

    `push_to_hub` and `init_hf_repo` of `Trainer` take `private` from transformers 5.23 on; those of a script's class may
    not. All of them read `hub_private_repo`, so a wish is there during the call. With transformers >= 5.23 the arguments
    to pass need no version.

    Args:
        trainer: a Trainer.
        private: whether a new repository is private; None for what the arguments say.

    Yields:
        The arguments to pass: `private`, if Trainer knows it.
    """
    args = trainer.args
    if private is not None:
        trainer.args = copy.copy(args)
        trainer.args.hub_private_repo = private
    try:
        yield {"private": private} if TRANSFORMERS >= (5, 23) else {}
    finally:
        trainer.args = args


def cpu_has_bf16() -> bool:
    """Return whether this processor multiplies bf16 in hardware (AVX512-BF16, AMX-BF16, or Arm's BF16).

    `torch.cpu.get_capabilities` is there from torch 2.11 on. Before, torch does not tell for Arm: then it is False.
    """
    if not TELLS_CAPABILITIES:
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def precision_settings() -> list[Any]:
    """Return the parts of torch with a setting `fp32_precision`, general ones before those that inherit from them.

    They are there from torch 2.9 on. Before, `torch.set_float32_matmul_precision` and `allow_tf32` say everything.
    """
    if TORCH < (2, 9):
        return []
    parts = ("cudnn", "cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
    return [torch.backends, *attrgetter(*parts)(torch.backends)]
