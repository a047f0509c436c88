"""Limits of the page: sizes, the queue, visitors, and the GPU of a ZeroGPU Space.

A ZeroGPU Space gives its GPU to decorated functions for some seconds, and does not start without such a function. The
page itself compares on the CPU, where compression matters and no visitor's quota is used; the GPU is optional.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

MOST_CHARACTERS = 10_000  # of one text
# All events that run the models share one slot: models that run at the same time slow each other down.
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "models"}
WAITING = 64  # requests in the queue; further ones are rejected with a message
# Visitors whose state is kept, about 1 MB each. Gradio would keep 10,000, however long ago they left.
VISITORS = 100
GPU_SECONDS = 20  # reserved for each call on a ZeroGPU Space


def import_spaces() -> None:
    """Import the package `spaces` on a ZeroGPU Space; this must happen before torch starts CUDA and before gradio."""
    if importlib.util.find_spec("spaces") is not None:
        importlib.import_module("spaces")


def with_gpu(function: Callable[[str], T]) -> Callable[[str], T]:
    """Decorate a function so that a ZeroGPU Space gives it the GPU while it runs.

    Args:
        function: A function of a text.

    Returns:
        The decorated function; on any other machine the function itself.
    """
    if importlib.util.find_spec("spaces") is None:
        return function
    return importlib.import_module("spaces").GPU(duration=GPU_SECONDS)(function)
