"""The reference of the Python names: every public name of every package, with its docstring."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
from collections.abc import Iterator

import trainer_ext

# The packages in the order of the page, and what each is for.
PACKAGES = {
    "trainer_ext": "What a script needs.",
    "trainer_ext.pruning": "Masks, shrinking and their proof, piece by piece.",
    "trainer_ext.distillation": "The losses of the teacher.",
    "trainer_ext.vocabulary": "Trimming a vocabulary.",
    "trainer_ext.models": "Architectures and loading.",
    "trainer_ext.tasks": "Metrics and their intervals.",
    "trainer_ext.benchmark": "Timing.",
    "trainer_ext.export": "ONNX and OpenVINO.",
    "trainer_ext.report": "`compression.json`; its fields are on a page of their own, [the report](report.md).",
    "trainer_ext.sweep": "Many runs.",
    "trainer_ext.sweep.search": "The search for one model.",
    "trainer_ext.hub": "Publishing.",
}
FIRST = ("DistillPruneTrainer", "DistillPruneTrainingArguments", "DistillPruneMixin", "prune")  # of a package's names
OF_THE_REPORT = "trainer_ext.report.schema"  # on the page of the report


def page() -> str:
    """Return the page: directives that mkdocstrings replaces by the docstrings."""
    lines = [
        "# Python",
        "",
        "Everything here can be imported from the package that heads its part; it is loaded on first use.",
        "",
    ]
    shown: set[str] = set()
    for package, purpose in PACKAGES.items():
        lines += [f"## {package}", "", purpose, ""]
        for name, thing in public(package):
            if not _has_docstring(thing):
                lines += [f"- `{name}`: {_value(package, name, thing)}", ""]
                continue
            home = f"{thing.__module__}.{thing.__qualname__}"
            if thing.__qualname__ != name:
                lines += [f"- `{name}`: another name of `{thing.__qualname__}`.", ""]
            elif not home.startswith(OF_THE_REPORT) and home not in shown:
                lines += [f"::: {home}", ""]
                shown.add(home)
    return "\n".join(lines)


def public(package: str) -> Iterator[tuple[str, object]]:
    """The public names of a package and what they are."""
    module = importlib.import_module(package)
    for name in sorted(module.__all__, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        yield name, getattr(module, name)


def undocumented() -> list[str]:
    """Return the public names, and public methods of public classes, without a docstring, and arguments left out of one."""
    missing = [f"package {name}" for name in _packages() if name not in PACKAGES]
    for package in PACKAGES:
        for name, thing in public(package):
            if _has_docstring(thing):
                missing += [f"{package}.{name}{part}" for part in _gaps(thing)]
    return sorted(set(missing))


def _packages() -> Iterator[str]:
    """Packages with public names."""
    yield "trainer_ext"
    for module in pkgutil.walk_packages(trainer_ext.__path__, "trainer_ext."):
        if module.ispkg and getattr(importlib.import_module(module.name), "__all__", None):
            yield module.name


def _gaps(thing: object) -> Iterator[str]:
    if not inspect.getdoc(thing):
        yield ""
    if isinstance(thing, types.FunctionType):
        text = inspect.getdoc(thing) or ""
        names = [name for name in inspect.signature(thing).parameters if not name.startswith("_")]
        yield from (f"({name})" for name in names if len(names) > 1 and f"{name}:" not in text)
    elif isinstance(thing, type):
        fields = getattr(thing, "__dataclass_fields__", {})  # their text is in that of the class
        for name, member in vars(thing).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            own = isinstance(function, types.FunctionType) and function.__module__.startswith("trainer_ext")
            if (
                own
                and not name.startswith("_")
                and name not in fields
                and not inspect.getdoc(getattr(thing, name, function))
            ):
                yield f".{name}"


def _has_docstring(thing: object) -> bool:
    return isinstance(thing, type | types.FunctionType)


def _value(package: str, name: str, thing: object) -> str:
    """Say what a constant is: its value, or what a table lists."""
    if isinstance(thing, str):
        return f"`{thing!r}`"
    keys = ", ".join(f"`{key}`" for key in thing) if isinstance(thing, dict) else ""
    return f"a table of {keys}." if keys else f"a constant of `{package}`."
