"""Guarding: the guard for a whole test run, and the fixture that fails a test in which the network was asked."""

import os
import tempfile
from pathlib import Path

import network_guard
import pytest

_folder = tempfile.TemporaryDirectory(prefix="network-")  # goes with this process
os.environ[network_guard.LOG] = str(Path(_folder.name, "asked.txt"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
network_guard.install()


@pytest.fixture(autouse=True)
def no_network():
    """Fail after a test in which this process, or a Python that it started, asked the network, refused or not."""
    log = Path(_folder.name, "asked.txt")
    yield
    if log.exists():
        asked = log.read_text(encoding="utf-8").splitlines()
        log.unlink()
        pytest.fail(f"asked the network: {', '.join(asked)}")
