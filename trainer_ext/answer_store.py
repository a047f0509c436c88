"""Answer store: rows of tensors on disk by key, safe for many processes at once and for one that is killed.

SQLite does what is hard here: a transaction is there whole or not at all, readers and writers of any number of
processes do not disturb each other (write-ahead log), and the file is read through a memory map.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .disk import refused
from .errors import InputError, one_line

_LARGEST_MAP = 1 << 40  # bytes; SQLite lowers it to what it was built for
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)  # another process is at work
_PATIENCE = 60.0  # seconds that one process waits for another


class AnswerStore:
    """One file of rows `key -> named tensors`. Rows are added and never changed; `close()`, or dropping it, closes it.

    Args:
        path: the file, on a local disk: processes on several machines need one each.

    Raises:
        InputError: if it cannot be opened or is something else.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            _prepare(self._rows)
            self.close = weakref.finalize(self, self._rows.close)
            self.close.atexit = False  # a fork of this process must leave the file alone when it exits
        except (OSError, sqlite3.Error) as error:
            raise _refusal(path, error) from error

    def get(self, keys: Sequence[bytes]) -> list[dict[str, torch.Tensor]] | None:
        """The rows of these keys in their order, or None if any is missing.

        Raises:
            InputError: if the file was damaged.
        """
        marks = ",".join("?" * len(keys))
        try:
            found = dict(self._rows.execute(f"SELECT key, value FROM answers WHERE key IN ({marks})", keys))
            return [load(found[key]) for key in keys] if found.keys() >= set(keys) else None
        except (sqlite3.Error, SafetensorError) as error:
            raise _refusal(self._path, error) from error

    def put(self, rows: Mapping[bytes, Mapping[str, torch.Tensor]]) -> None:
        """Add rows, all or none; a key that is there keeps what it has.

        Args:
            rows: key -> named tensors, on any device.

        Raises:
            InputError: if they cannot be written, on a full disk for instance; the rows before stay.
        """
        values = [(key, save({name: tensor.cpu() for name, tensor in row.items()})) for key, row in rows.items()]
        try:
            self._rows.execute("BEGIN IMMEDIATE")
            self._rows.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", values)
            self._rows.execute("COMMIT")
        except sqlite3.Error as error:
            if self._rows.in_transaction:
                self._rows.rollback()
            raise _refusal(self._path, error) from error

    def __len__(self) -> int:
        return self._rows.execute("SELECT COUNT(*) FROM answers").fetchone()[0]


def check_folder(folder: Path) -> None:
    """Refuse a folder for answers that cannot be written, before there are any; nothing is made.

    Raises:
        InputError: naming it.
    """
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"The teacher's answers cannot be kept in {folder} ({error.strerror}); name another folder as distill_cache_dir."
        ) from error


def _refusal(path: Path, error: Exception) -> InputError:
    """In one line; that the disk is full SQLite calls an I/O error, which also stands for a damaged file."""
    words, way_out = one_line(error), "remove that file"
    if path.parent.is_dir() and (number := refused(path.parent)):
        words, way_out = os.strerror(number), "make room there"
    return InputError(
        f"The teacher's answers cannot be kept in {path} ({words}); {way_out} or name another folder as distill_cache_dir."
    )


def _prepare(rows: sqlite3.Connection) -> None:
    """Make a new file what is needed. Another process may do so at this moment: SQLite does not wait for that by itself."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            for name, value in (("journal_mode", "WAL"), ("synchronous", "NORMAL"), ("mmap_size", _LARGEST_MAP)):
                rows.execute(f"PRAGMA {name}={value}")
            rows.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _PASSING or time.monotonic() > end:
                raise
            time.sleep(0.02)
