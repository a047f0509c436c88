"""Isolation: the fixture that fails a test after which this process is not as before, for the tests that follow."""

import os

import pytest
import torch


def state() -> dict[str, object]:
    """What PyTorch and the system keep for a whole process, by name."""
    return {
        "global hooks of modules": bool(torch.nn.modules.module._has_any_global_hook()),
        "gradients": torch.is_grad_enabled(),
        "default dtype": torch.get_default_dtype(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "working directory": os.getcwd(),
    }


@pytest.fixture(autouse=True)
def leaves_no_trace():
    """Fail after a test that changed the state of the process and did not change it back."""
    before = state()
    yield
    changed = {name: f"{before[name]} -> {now}" for name, now in state().items() if now != before[name]}
    assert not changed, f"left behind: {changed}"
