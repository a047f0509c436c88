"""Extras: optional packages are imported where they are used, or one line says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import InputError


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: its import name.
        extra: the extra of this package that installs it.

    Raises:
        InputError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{module} is not installed ({error}); it comes with an extra: pip install 'trainer-ext[{extra}]'"
        ) from error
