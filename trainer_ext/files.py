"""Files: written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HOST = platform.node()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; line ends stay what they are."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; of several processes that write it at once, one is the last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.name == "posix":  # elsewhere asking after a process ends it
        _remove_parts_of_the_dead(path)
    part = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()  # where something went wrong; on a full disk it would take up room


def _remove_parts_of_the_dead(path: Path) -> None:
    """What processes of this machine that were killed while they wrote this file have left."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(_HOST)}-*.part"):
        try:
            os.kill(int(part.stem.rsplit("-", 2)[1]), 0)  # asks whether it lives, and does nothing to it
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except PermissionError:
            continue  # it lives, and is somebody else's


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which appears under its name when it is complete and never before."""
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
