"""Extras: everything else works without the optional packages, and a command that needs one names the extra in one line."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.commands import recipe_fields, write_recipe, write_task
from trainer_ext import report

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
OPTIONAL = {re.match(r"\w+", name).group() for extra, names in EXTRAS.items() if extra != "dev" for name in names} - {
    "trainer"
}
# What needs an optional package: the command, the packages that are missing, the extra that it has to name. "{run}" is a
# finished run, "{recipe}" a recipe for another one.
NEEDS = [
    (("energy", "{run}"), {"codecarbon"}, "emissions"),
    (("compress", "{recipe}", "--measure_energy"), {"codecarbon"}, "emissions"),
    (("export", "{run}", "--format", "onnx"), {"onnx", "onnxruntime"}, "export"),
    (("export", "{run}", "--format", "openvino"), {"openvino"}, "export"),
    (("export", "{run}", "--format", "openvino-int8"), {"nncf"}, "export"),
    (("benchmark", "{run}", "--plot", "{run}/times.png"), {"matplotlib"}, "plot"),
]
# Started with Python, before anything else is imported: the packages are not found, as where they were never installed.
BLOCKER = """
import os, sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in os.environ["BLOCKED"].split()
        return None if missing else PathFinder.find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the blocker, a task and a recipe."""
    folder = tmp_path_factory.mktemp("extras")
    (folder / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    fields = recipe_fields(write_task(folder / "task"), folder / "run", scratch_epochs=1, num_train_epochs=1)
    write_recipe(folder / "recipe.yaml", fields)
    return folder


def python(folder, blocked, *words):
    """Another Python in which these packages cannot be imported: exit status, standard output, standard error."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "BLOCKED": " ".join(blocked)}
    environment |= {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run(folder):
    """The folder of a run that was made without any optional package."""
    words = ("-m", "trainer_ext", "compress", folder / "recipe.yaml")
    status, _, err = python(folder, OPTIONAL, *words)
    assert status == 0, err[-3000:]
    return folder / "run"


def test_the_optional_packages_are_those_of_the_extras():
    assert {"codecarbon", "gradio", "matplotlib", "nncf", "onnx", "onnxruntime", "openvino", "optuna"} <= OPTIONAL


def test_the_blocker_blocks(folder):
    """The control: what is named cannot be imported, also not below a package; what is not named can."""
    for statement in ("import codecarbon", "from codecarbon.input import DataSource"):
        status, _, err = python(folder, {"codecarbon"}, "-c", statement)
        assert (status, "No module named 'codecarbon'" in err) == (1, True)
    assert python(folder, {"codecarbon"}, "-c", "import rich, yaml")[0] == 0


def test_the_package_and_the_help_open_without_them(folder):
    names = "import trainer_ext; [getattr(trainer_ext, name) for name in trainer_ext.__all__]"
    assert python(folder, OPTIONAL, "-c", names)[::2] == (0, "")
    status, out, _ = python(folder, OPTIONAL, "-m", "trainer_ext", "--help")
    assert (status, "compress" in out) == (0, True)


def test_compress_and_check_work_without_them(folder, run):
    numbers = report.load(run)
    assert numbers.quality is not None
    assert numbers.inference is None
    status, out, err = python(folder, OPTIONAL, "-m", "trainer_ext", "check", run)
    assert (status, "yes" in out) == (0, True), err


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    NEEDS,
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_what_needs_one_names_the_extra(command, missing, extra, folder, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    places = {"run": tmp_path / "run", "recipe": folder / "recipe.yaml"}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    words = [word.format(**places) for word in command]
    if command[0] == "compress":
        words += ["--output_dir", tmp_path / "new"]
    status, _, err = python(folder, missing, "-m", "trainer_ext", *words)
    assert (status, len(err.strip().splitlines())) == (2, 1), err[-3000:]
    assert f"pip install 'trainer-ext[{extra}]'" in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, "nothing is half-written"
