"""Imports that wait: public names load on first use, and optional packages where they are needed."""

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
    """Make the `__getattr__`, `__dir__` and `__all__` of a package whose public names load on first use (PEP 562).

    Importing a package must not wait for torch. No module may bear the name of something that its package exports: the
    import of the module would hide it.

    Args:
        package: its `__name__`.
        homes: submodule -> the names that it defines.
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
