"""Helpers for tests of publishing: a finished tiny run, and processes that load a published model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.helpers.commands import recipe_fields, write_recipe, write_task
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)
# The Hub client uploads in a way that its HTTP library has deprecated.
CLIENT_WARNS = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")


def make_run(folder: Path, **changes) -> Path:
    """Make a finished run of the tiny task."""
    fields = recipe_fields(write_task(folder / "data"), folder / "run", **changes)
    compress(read_recipe(write_recipe(folder / "recipe.yaml", fields)), console=QUIET)
    return folder / "run"


def run_python(script: str, *words, environment: dict[str, str], cwd: Path, package: bool = False):
    """Run a script in a new process; with `package` it can import this checkout.

    Returns:
        The last line of its output, parsed as JSON.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error", **environment}
    if package:
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], env=environment, cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
