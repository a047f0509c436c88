"""Damage: what the tests of faults look at: a small disk that can be filled, and files that must stay as they are."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import torch

from tests.helpers.training import differing

TENSORS, VALUES = ("checkpoint", "optimizer", "small"), ("log", "structure", "best")


def unequal(first: Path, second: Path) -> list[str]:
    """What two runs of training.resumable_run do not have in common, to the last bit."""
    ours, theirs = (torch.load(folder / "result.pt", weights_only=True) for folder in (first, second))
    found = [f"{part}: {name}" for part in TENSORS for name in differing(ours[part], theirs[part])]
    return found + [part for part in VALUES if ours[part] != theirs[part]]


def bytes_of(*folders: Path) -> dict[str, str]:
    """A hash of every file below folders; a folder that is not there has none."""
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def last_line(errors: str) -> str:
    """What a command said last."""
    lines = [line for line in errors.splitlines() if line.strip()]
    assert "Traceback" not in errors, errors[-3000:]
    return lines[-1] if lines else ""


class SmallDisk:
    """A disk of a few megabytes in memory.

    Args:
        folder: where it is seen; made if absent.
        mib: its size.
    """

    def __init__(self, folder: Path, mib: int = 8):
        self.folder, self._filler = folder, folder / "filler"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"no small disk here: {error}")
        if done.returncode:
            pytest.skip(f"no small disk here: {done.stderr.strip()}")

    def leave(self, kib: int | None) -> None:
        """Fill it so that so much room is left; None for all of it."""
        self._filler.unlink(missing_ok=True)
        if kib is not None:
            state = os.statvfs(self.folder)
            with self._filler.open("wb") as file:
                file.write(bytes(max(0, state.f_bavail * state.f_frsize - 1024 * kib)))

    def remount(self, mode: str) -> None:
        """`ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)

    def close(self) -> None:
        """Take it away, with everything on it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
