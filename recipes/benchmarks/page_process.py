"""Start `space/app.py` in a process of its own, wait until it answers, and stop it."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from trainer_ext.hub.space import space_folder

START_S = 300  # imports are slow on a busy machine


def answers(address: str) -> bool:
    """Return whether a page is served at an address."""
    try:
        with urllib.request.urlopen(f"{address}/config") as answer:
            return answer.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def started(command: list[str], *, cwd: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Run a page, and yield its address and process id; its output is in `page.log`.

    Args:
        command: The command to start it.
        cwd: Its working folder.
        environment: Its environment variables.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, log = f"http://127.0.0.1:{port}", cwd / "page.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            command, cwd=cwd, env={**environment, "GRADIO_SERVER_PORT": str(port)}, stdout=written, stderr=written
        )
    try:
        deadline = time.monotonic() + START_S
        while not answers(address):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def page_of(run: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Run the page of a run from this checkout, and yield its address and process id.

    Args:
        run: The folder of the run.
        environment: The environment variables.
    """
    folder = space_folder()
    command = [sys.executable, str(folder / "app.py"), str(run.resolve())]
    with tempfile.TemporaryDirectory() as cwd:
        variables = {**environment, "PYTHONPATH": str(folder.parent), "HF_HUB_OFFLINE": "1"}
        with started(command, cwd=Path(cwd), environment=variables) as page:
            yield page
