"""Write files and folders atomically, work in scratch folders, and report a full or read-only disk in one line."""

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

_HOST = platform.node()
_LOCK = "lock"  # in a scratch folder; the operating system releases it when the process ends, however it ends
_NO_LOCK = (Timeout, OSError, NotImplementedError)
# Why a disk accepts no more data although it did before.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_PROBE_BYTES = 1 << 20  # after a file did not fit, less than this is left


def exists(path: Path) -> bool:
    """Return whether a file or folder exists.

    Raises:
        OSError: The name is too long, or a folder above it may not be read; from Python 3.14 on `Path.exists` is silent.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, with its line ends unchanged."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; if several processes write it at once, the last one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.name == "posix":  # elsewhere os.kill would end the process that is asked about
        _remove_parts_of_dead_processes(path)
    part = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()  # after an error; it would take up space on a full disk


def _remove_parts_of_dead_processes(path: Path) -> None:
    """Remove what processes of this machine left when they were killed while they wrote this file."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(_HOST)}-*.part"):
        try:
            os.kill(int(part.stem.rsplit("-", 2)[1]), 0)  # signal 0 only asks whether the process exists
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except PermissionError:
            continue  # it exists, and belongs to another user


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill, which gets its name only when it is complete."""
    path = path.absolute()  # the working folder, `.`, has a name too
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def scratch_in(folder: Path, prefix: str) -> Iterator[Path]:
    """Yield an empty folder inside another one, and remove it afterwards; also remove those that killed processes left.

    Args:
        folder: on the disk to which the results will be moved.
        prefix: of the name; no other file may start with it.
    """
    for left in folder.glob(f"{prefix}*"):
        if (left / _LOCK).is_file():
            with contextlib.suppress(*_NO_LOCK), FileLock(left / _LOCK, timeout=0):
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder, prefix=prefix) as name, contextlib.ExitStack() as held:
        with contextlib.suppress(*_NO_LOCK):  # a file system without locks: such folders are never removed
            held.enter_context(FileLock(Path(name) / _LOCK, timeout=0))
        yield Path(name)


@contextlib.contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an `InputError` while the results of a run are written.

    Raises:
        InputError: The disk accepts no more data.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise InputError(
            f"Cannot write to {folder} any more ({error.strerror}); finished results are kept. Free some space or make "
            "the disk writable, then run the command again with --resume."
        ) from error


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn what libraries raise on a full disk into an `OSError`.

    For example, torch reports a wrong position in the file, and OpenVINO a bad stream.

    Raises:
        OSError: The disk accepts no more data; `strerror` says why.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        printed = re.search(r"\(os error (\d+)\)", str(error))  # by libraries in Rust
        number = int(printed[1]) if printed else refused(folder)
        if number is None or number not in _DISK_ERRORS:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error


def refused(folder: Path) -> int | None:
    """Return the `errno` with which the disk refuses a file of one megabyte, or None."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        return error.errno if error.errno in _DISK_ERRORS else None
    return None
