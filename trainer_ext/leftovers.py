"""Leftovers: a scratch folder beside a result, and the removal of those whose process was killed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

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
