"""The public surface: what is listed is importable, documented and sorted, and importing it waits for nothing heavy."""

import importlib
import json
import subprocess
import sys
import types

import pytest

import trainer_ext
from trainer_ext import families, family_names


def test_the_list_is_sorted_and_has_no_doubles():
    """Constants, classes, the rest, each in alphabetical order."""
    names = trainer_ext.__all__
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def test_the_list_is_what_can_be_imported():
    lazy = set(trainer_ext._HOMES)
    eager = {name for name in trainer_ext.__all__ if name in vars(trainer_ext)}
    assert lazy <= set(trainer_ext.__all__)
    assert set(trainer_ext.__all__) == lazy | eager
    namespace = {}
    exec("from trainer_ext import *", namespace)
    assert set(trainer_ext.__all__) <= set(namespace)
    assert set(trainer_ext.__all__) <= set(dir(trainer_ext))
    others = {
        name
        for name, value in vars(trainer_ext).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name not in trainer_ext.__all__
    }
    assert others == {"register_on_import"}


@pytest.mark.parametrize("name", sorted(trainer_ext._HOMES))
def test_every_name_comes_from_its_home(name):
    home = importlib.import_module(f"trainer_ext.{trainer_ext._HOMES[name]}")
    assert getattr(trainer_ext, name) is getattr(home, name)
    if isinstance(getattr(home, name), type | types.FunctionType):
        assert getattr(home, name).__module__ == home.__name__


@pytest.mark.parametrize("name", sorted(set(trainer_ext.__all__) - {"__version__", "FAMILIES"}))
def test_every_name_is_documented(name):
    thing = getattr(trainer_ext, name)
    own = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    assert own
    assert own.strip().split("\n")[0].rstrip().endswith((".", ":"))
    assert not own.startswith(f"{name}(")  # what a dataclass says of itself when nobody says anything


def test_no_public_name_is_that_of_a_module():
    """Importing the module would put it in the place of what has its name."""
    assert not set(trainer_ext._HOMES) & set(trainer_ext._HOMES.values())


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'trainer_ext' has no attribute 'Trainer'"):
        trainer_ext.Trainer  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Trainer'"):
        exec("from trainer_ext import Trainer")


def test_the_architectures_are_one_list():
    assert tuple(families.FAMILIES) == family_names.MODEL_TYPES
    assert trainer_ext.FAMILIES is families.FAMILIES


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
import trainer_ext.masks
third = [name for name in {heavy} if name in sys.modules]
print(json.dumps([first, second, config, third]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second, config, third = json.loads(done.stdout.splitlines()[-1])
    assert first == second == []
    assert config == "CompactBertConfig"
    assert {"torch", "transformers", "nn_pruning"} <= set(third)  # the check can fail
