"""The public surface: what is listed is importable, documented and sorted, and importing it waits for nothing heavy."""

import ast
import importlib
import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

import trainer_ext
from trainer_ext.models import architectures
from trainer_ext.models.compact import registration

ROOT = Path(trainer_ext.__file__).parent
PACKAGES = {
    ".".join(file.parent.relative_to(ROOT.parent).parts): file
    for file in sorted(ROOT.rglob("__init__.py"))
    if "lazy_names(" in file.read_text(encoding="utf-8")
}
NAMES = [(package, name) for package in PACKAGES for name in importlib.import_module(package).__all__]


def declared(file: Path) -> dict[str, str]:
    """What a package declares for type checkers: name -> the submodule that it comes from."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {alias.asname: node.module for node in imports for alias in node.names if alias.asname == alias.name}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_list_is_what_can_be_imported(package):
    """At run time as for type checkers."""
    module = importlib.import_module(package)
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    assert set(module.__all__) == set(declared(PACKAGES[package]))
    namespace = {}
    exec(f"from {package} import *", namespace)
    assert set(module.__all__) <= set(namespace)
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_name_comes_from_its_home(package, name):
    """And no module has the name of something public: importing the module would hide it."""
    home = declared(PACKAGES[package])[name]
    module = importlib.import_module(f"{package}.{home}")
    assert getattr(importlib.import_module(package), name) is getattr(module, name)
    assert importlib.util.find_spec(f"{package}.{name}") is None


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_name_is_documented(package, name):
    thing = getattr(importlib.import_module(package), name)
    if not isinstance(thing, type | types.FunctionType):
        return
    own = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    assert own
    assert own.strip().split("\n")[0].rstrip().endswith((".", ":"))
    assert not own.startswith(f"{name}(")  # what a dataclass says of itself when nobody says anything


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'trainer_ext' has no attribute 'Trainer'"):
        trainer_ext.Trainer  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Trainer'"):
        exec("from trainer_ext import Trainer")


def test_the_architectures_are_one_list():
    assert tuple(architectures.ARCHITECTURES) == registration.MODEL_TYPES
    assert trainer_ext.FAMILIES is architectures.ARCHITECTURES


def test_importing_waits_for_nothing_heavy():
    """Neither torch nor the Trainer; and after torch came by another way, compact models are known all the same."""
    heavy = "('torch', 'transformers.trainer', 'transformers', 'datasets', 'evaluate', 'sklearn', 'nn_pruning')"
    script = f"""
import json, sys
import trainer_ext
first = [name for name in {heavy} if name in sys.modules]
from trainer_ext import InputError, __version__
second = [name for name in {heavy} if name in sys.modules]
from transformers import AutoConfig
config = type(AutoConfig.for_model("compact-bert")).__name__
import trainer_ext.pruning.masks
third = [name for name in {heavy} if name in sys.modules]
print(json.dumps([first, second, config, third]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second, config, third = json.loads(done.stdout.splitlines()[-1])
    assert first == second == []
    assert config == "CompactBertConfig"
    assert {"torch", "transformers", "nn_pruning"} <= set(third)  # the check can fail
