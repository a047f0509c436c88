"""Import public names and optional packages only when they are needed, and keep other libraries quiet."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from ..errors import InputError


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose public names load on first use (PEP 562).

    Importing a package must not wait for torch. A module must not have the name of something that its package exports,
    because importing the module would hide it.

    Args:
        package: its `__name__`.
        homes: the public names by submodule.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{home[name]}", package), name)

    return get, lambda: sorted({*home, *vars(importlib.import_module(package))}), sorted(home)


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: the import name.
        extra: the extra of this package that installs it.

    Raises:
        InputError: The package is not installed, or cannot be imported.
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
    """Switch off the telemetry of OpenVINO and nncf while they are imported or used.

    openvino_telemetry sends nothing in continuous integration, and nncf nothing in its own tests. These two variables are
    the only switches that write nothing into the user's home folder.
    """
    switches = {"CI": "true", "NNCF_CI": "1"}
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def quiet() -> None:
    """Hide the messages of other libraries; our own and the progress of training stay."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers.utils import logging

    logging.disable_progress_bar()  # of loading and writing files
