"""GPU: a function that has the GPU of a ZeroGPU Space while it runs, and is the same function everywhere else.

Such a Space lends its GPU for seconds, to functions that say so; the Hub stops one on that hardware that has none. The
page compares on the CPU, where compression shows and no visitor's quota is used: this is for a second look.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

SECONDS = 20  # reserved for a call


def import_spaces() -> None:
    """Import the Hub's package where there is one: it must come before torch starts CUDA and before gradio."""
    if importlib.util.find_spec("spaces") is not None:
        importlib.import_module("spaces")


def with_gpu(function: Callable[[str], str]) -> Callable[[str], str]:
    """The function, lent a GPU where it has to be lent."""
    if importlib.util.find_spec("spaces") is None:
        return function
    return importlib.import_module("spaces").GPU(duration=SECONDS)(function)
