"""Precision: what fp16 becomes where the processor has no fp16 arithmetic."""

from __future__ import annotations

import functools
import logging

import torch

logger = logging.getLogger(__name__)


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware (AVX512-BF16, AMX-BF16, or Arm's BF16)."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def resolve_fp16(args) -> None:
    """Honour `fp16=True` on an accelerator; on a processor use bf16 autocast, or fp32, and say so once.

    Stock `TrainingArguments(fp16=True)` on a processor trains in fp32 without a word: accelerate has no fp16 autocast
    there. A user who asked for half precision should get it where it exists, and be told where it does not.

    Args:
        args: a `TrainingArguments` before its own `__post_init__`; changed in place.
    """
    on_accelerator = torch.accelerator.is_available() and not args.use_cpu
    if not args.fp16 or on_accelerator:
        return
    args.fp16 = False
    if cpu_has_bf16():
        args.bf16 = args.use_cpu = True
        instead = "bf16 autocast, which this processor has"
    else:
        instead = "fp32: this processor has no bf16 either"
    _warn_once(instead)


@functools.cache  # a command builds its arguments once per stage; the user should read it once
def _warn_once(instead: str) -> None:
    logger.warning("fp16=True needs an accelerator and none is in use; training in %s.", instead)
