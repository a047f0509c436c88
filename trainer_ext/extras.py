"""Extras: optional packages are imported where they are used, or one line says what to install."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
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
        with no_calls_home():
            return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{module} is not installed ({error}); it comes with an extra: pip install 'trainer-ext[{extra}]'"
        ) from error


@contextlib.contextmanager
def no_calls_home() -> Iterator[None]:
    """While OpenVINO and nncf are imported or at work, without their calls home.

    They report usage to their makers unless they see that they run in continuous integration (openvino_telemetry) or in
    a test of their own (nncf): the two variables are the only switches that leave the user's home folder alone.
    """
    switches = {"CI": "true", "NNCF_CI": "1"}
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
