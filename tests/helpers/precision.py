"""What the tests of `full_precision` share: the settings of a process, and a process whose matrix products are rounded."""

import contextlib
from unittest import mock

import torch
from torch.nn import functional as F

from trainer_ext.utils.compat import TORCH

NEWER = (
    "generic.all",
    "cuda.all",
    "cuda.matmul",
    "cuda.conv",
    "cuda.rnn",
    "mkldnn.matmul",
    "mkldnn.conv",
    "mkldnn.rnn",
)
SETTINGS = NEWER if TORCH >= (2, 9) else ()


def precision_settings():
    """Every setting as the process has it; the older switches raise where the newer settings contradict them."""

    def older(read):
        try:
            return read()
        except RuntimeError:
            return "contradicted"

    newer = {name: torch._C._get_fp32_precision_getter(*name.split(".")) for name in SETTINGS}
    return newer | {
        "matmul": older(torch.get_float32_matmul_precision),
        "cuda tf32": older(lambda: torch.backends.cuda.matmul.allow_tf32),
        "cudnn tf32": older(lambda: torch.backends.cudnn.allow_tf32),
        "autocast": torch.is_autocast_enabled("cpu"),
    }


@contextlib.contextmanager
def default_precision_afterwards():
    """At the end, set what a new process has, whatever was changed."""
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        for name in SETTINGS:
            if name not in ("cuda.conv", "cuda.rnn"):
                torch._C._set_fp32_precision_setter(*name.split("."), "none")


@contextlib.contextmanager
def bf16_products():
    """A process that set the precision "medium", on a processor that then rounds the inputs of large products to bf16.

    oneDNN decides by processor and shape where it does so; here a Linear of 2,048 weights does, as the feed-forward
    matrices of the tiny models before they are shrunk.
    """
    exact = F.linear

    def linear(inputs, weight, bias=None):
        if torch.get_float32_matmul_precision() == "medium" and weight.numel() >= 2048:
            inputs, weight = inputs.bfloat16().float(), weight.bfloat16().float()
        return exact(inputs, weight, bias)

    with default_precision_afterwards(), mock.patch.object(F, "linear", linear):
        torch.set_float32_matmul_precision("medium")
        yield
