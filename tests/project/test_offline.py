"""Offline: the guard against the network refuses and tells, and nothing is asked of the network at import."""

import os
import pkgutil
import socket
import subprocess
import sys

import network_guard
import pytest

import trainer_ext
from tests.helpers.own_pytest import own_pytest

OUTSIDE = "192.0.2.1"  # reserved for documentation: no machine has it
ASK = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"


@pytest.fixture
def log(tmp_path, monkeypatch):
    """What the guard writes in this test goes to a file of its own, so that the test passes."""
    file = tmp_path / "network.log"
    monkeypatch.setenv(network_guard.LOG, str(file))
    return file


def python(code, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("address", [(OUTSIDE, 80), ("example.org", 80), ("2001:db8::1", 80)])
def test_the_guard_refuses_and_tells(address, log):
    with pytest.raises(ConnectionRefusedError, match="reach no machine but this one"):
        socket.create_connection(address, timeout=1)
    assert address[0] in log.read_text()


def test_a_datagram_is_refused(log):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        with pytest.raises(ConnectionRefusedError):
            sender.sendto(b"1", (OUTSIDE, 53))
        with pytest.raises(ConnectionRefusedError):
            sender.connect((OUTSIDE, 53))
    assert log.read_text() == f"socket.sendto {OUTSIDE}\nsocket.connect {OUTSIDE}\n"


def test_this_machine_is_reached(log):
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in ("127.0.0.1", "localhost"):
            socket.create_connection((name, server.getsockname()[1]), timeout=5).close()
    first, second = socket.socketpair()
    first.close(), second.close()
    assert not log.exists()


def test_a_process_that_a_test_starts_is_guarded(log):
    refused = python(ASK)
    assert refused.returncode == 1
    assert "reach no machine but this one" in refused.stderr
    assert log.read_text() == f"socket.getaddrinfo {OUTSIDE}\n"


def test_a_refusal_that_is_passed_over_fails_the_test(tmp_path):
    told = own_pytest(tmp_path, "guarding", [f"try:\n        {ASK}\n    except OSError: pass"])
    untold = own_pytest(tmp_path, "guarding", ["pass"])
    assert told.returncode == 1
    assert f"asked the network: socket.getaddrinfo {OUTSIDE}" in told.stdout
    assert untold.returncode == 0


@pytest.mark.slow
def test_no_module_asks_the_network_at_import(log):
    """All of them, in one guarded process; `__main__` would start the command line."""
    found = pkgutil.walk_packages(trainer_ext.__path__, "trainer_ext.", onerror=None)
    names = [module.name for module in found if module.name != "trainer_ext.__main__"]
    assert "trainer_ext.pruning.masks" in names
    done = python(f"import importlib\nfor name in {names}: importlib.import_module(name)\nprint('all')")
    assert done.stdout.endswith("all\n"), done.stderr[-2000:]
    assert not log.exists()
