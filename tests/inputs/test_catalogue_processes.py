"""The catalogue in processes of their own: what a shell sees is what the table says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.inputs.bad_models import MODELS
from tests.inputs.bad_recipes import RECIPES
from tests.inputs.bad_reports import REPORTS
from tests.inputs.ground import Bad, Ground, change_json
from tests.inputs.test_catalogue import refused

pytestmark = pytest.mark.slow


def _demo(ground):
    change_json(ground.run / "compression.json", schema_version=9)
    return ["demo", ground.run]


ROWS = {
    "a wrong shape": MODELS["a wrong shape"],
    "a python object": RECIPES["python object"],
    "a future schema": REPORTS["a future schema"],
    "demo: no such run": Bad(lambda g: ["demo", g.root / "nothing"], ("nothing",)),
    "demo: a future schema": Bad(_demo, ("version 9",)),
}


def shell(*words) -> tuple[int, str, str]:
    """A command as a shell calls it."""
    command = [sys.executable, "-m", "trainer_ext", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("bad", ROWS.values(), ids=ROWS)
def test_a_process_ends_as_the_table_says(bad, tmp_path, finished_run):
    refused(shell, bad, Ground(tmp_path, finished_run))
