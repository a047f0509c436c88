"""What the tests of publishing share: a finished tiny run, and clients that speak with a Hub on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from commands import recipe_fields, write_recipe, write_task
from rich.console import Console

from trainer_ext.compress import compress
from trainer_ext.loopback_hub import LoopbackHub
from trainer_ext.recipe import read_recipe

ROOT = Path(__file__).parents[1]
QUIET = Console(quiet=True)
# The Hub's client hands its HTTP library an upload in a way that this one has deprecated.
CLIENT_WARNS = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")


def make_run(folder: Path, **changes) -> Path:
    """A finished run of the tiny task."""
    fields = recipe_fields(write_task(folder / "data"), folder / "run", **changes)
    compress(read_recipe(write_recipe(folder / "recipe.yaml", fields)), console=QUIET)
    return folder / "run"


@pytest.fixture
def hub(monkeypatch):
    """A Hub on this machine that the clients of this process speak with."""
    with LoopbackHub() as loopback:
        constants = huggingface_hub.constants
        values = {
            "ENDPOINT": loopback.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": loopback.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        }
        for name, value in values.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # the client that transformers made before
        monkeypatch.setenv("HF_TOKEN", loopback.token)
        yield loopback
        assert not loopback.unhandled


def run_python(script: str, *words, environment: dict[str, str], cwd: Path, package: bool = False):
    """Run a script in a process of its own; `package` lets it import this checkout.

    Returns:
        What it printed last, read as JSON.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error", **environment}
    if package:
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], env=environment, cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
