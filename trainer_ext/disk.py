"""Disk: that a place takes no more is said in one line, whatever library met it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from .errors import InputError

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
