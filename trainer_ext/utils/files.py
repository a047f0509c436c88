"""Disk: that a place takes no more is said in one line, whatever library met it.

Leftovers: a scratch folder beside a result, and the removal of those whose process was killed.

Files: written whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import platform
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from ..errors import InputError

# Why a place that could be written takes no more.
_NO_MORE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_PROBE = 1 << 20  # bytes: a file that did not fit leaves less room than this


@contextlib.contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """While the results of a run are written there.

    Raises:
        InputError: the folder takes no more.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_MORE:
            raise
        raise InputError(
            f"{folder} takes no more ({error.strerror}); what is finished there stays. Mend that, and resume."
        ) from error


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """While libraries write to a folder: torch tells of a full disk by a wrong position, OpenVINO by a bad stream.

    Raises:
        OSError: the folder takes no more; its `strerror` says why.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        number = _number_in(str(error)) or refused(folder)
        if number not in _NO_MORE:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error


def _number_in(words: str) -> int | None:
    """The system's number of an error, as libraries in Rust print it."""
    found = re.search(r"\(os error (\d+)\)", words)
    return int(found[1]) if found else None


def refused(folder: Path) -> int | None:
    """The system's number of the error with which a folder refuses a file of a megabyte, if it does."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
            file.flush()
    except OSError as error:
        return error.errno if error.errno in _NO_MORE else None
    return None


_LOCK = "lock"  # in a scratch folder; the operating system lets it go when its process ends, however it ends
_NO_LOCK = (Timeout, OSError, NotImplementedError)


@contextlib.contextmanager
def scratch_in(folder: Path, prefix: str) -> Iterator[Path]:
    """An empty folder inside another one, for the time of the block; those that nobody works in any more are removed.

    Args:
        folder: on the disk to which what is made there will be moved.
        prefix: of its name; nothing else may begin like that.
    """
    for left in folder.glob(f"{prefix}*"):
        if (left / _LOCK).is_file():
            with contextlib.suppress(*_NO_LOCK), FileLock(left / _LOCK, timeout=0):
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder, prefix=prefix) as name, contextlib.ExitStack() as held:
        with contextlib.suppress(*_NO_LOCK):  # where the file system has none, nothing is removed either
            held.enter_context(FileLock(Path(name) / _LOCK, timeout=0))
        yield Path(name)


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
