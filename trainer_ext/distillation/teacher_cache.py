"""A teacher whose logits are kept on disk: a row is computed once and read from then on.

A row is found by what the teacher reads of it, without the padding at its end. Its file is named after everything else
that the logits depend on: weights and architecture of the teacher, tokenizer, maximum length and precision. If any of
them changes, another file is used, so stale logits are never found.

Logits are kept in fp32, as the live teacher gives them, and computed in the batches as they come. So training with the
cache is the same to the last bit if every batch has the same shape: padding to one length, and no smaller last batch. In
batches of another shape matrix products sum in another order, and the live teacher too gives other last bits.

The files are SQLite databases. A transaction is written completely or not at all, many processes can read and write at
once (write-ahead log), and files are read through a memory map.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from transformers import PreTrainedTokenizerBase

from ..errors import InputError, one_line
from ..models.architectures import is_stock
from ..utils.files import refused
from .teachers import LOGITS, LiveTeacher, Precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MAP_SIZE = 1 << 40  # bytes; SQLite lowers it to its own limit
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)  # another process is at work
_TIMEOUT = 60.0  # seconds that one process waits for another
_FORMAT = "1"
# Fields of a config that say where a model came from and how its labels are called; the logits do not depend on them.
_IRRELEVANT = ("_name_or_path", "transformers_version", "problem_type", "id2label", "label2id")


class CachedTeacher(LiveTeacher):
    """A teacher that computes each row once: a batch whose rows are all known costs no forward pass.

    Args:
        model: as in `LiveTeacher`.
        folder: the folder of the logits; several runs and processes may share it.
        tokenizer: the tokenizer that makes the token ids of the teacher, or None.
        own_tokens: as in `LiveTeacher`.

    Raises:
        InputError: If the folder cannot be written, or the model is of the user's own class.
    """

    def __init__(self, model: PreTrainedModel, folder: str | Path, tokenizer: Any = None, *, own_tokens: bool = False):
        super().__init__(model, own_tokens=own_tokens)
        if not is_stock(model):
            raise InputError(
                f"distill_cache_dir keeps the logits of models of transformers, which their config describes, and "
                f"{type(model).__name__} is a class of its own: leave distill_cache_dir out."
            )
        self._folder, self._tokenizer = Path(folder), tokenizer
        check_folder(self._folder)
        self._store: LogitCache | None = None  # opened at the first batch, whose precision is part of its name

    def answer(self, inputs: Mapping[str, Any], precision: Precision, **asked: bool) -> dict[str, Any]:
        """Return the teacher's logits by name in fp32, 0 at padding. They are those of the cache, also in a resumed run.

        Args:
            inputs: the batch.
            precision: function that returns the autocast context of the student.
            **asked: as in `LiveTeacher`; what it asks for is not kept, so the teacher computes the batch.
        """
        if asked:
            return super().answer(inputs, precision, **asked)
        known = self.known(inputs)
        keys, lengths = row_keys(known)
        if self._store is None:
            with precision():
                name = fingerprint(self.model, self._tokenizer, known["input_ids"].device.type)
            self._store = LogitCache(self._folder / f"{name}.sqlite")
        rows = self._store.get(keys)
        if rows is None:
            outputs = super().answer(inputs, precision)
            logits = {name: value for name, value in outputs.items() if name in LOGITS}
            new = [
                {name: _row(name, value[i], length) for name, value in logits.items()}
                for i, length in enumerate(lengths)
            ]
            self._store.put(dict(zip(keys, new, strict=True)))
            rows = self._store.get(keys) or new  # a text of an earlier batch keeps the logits of that batch
        return _batch_of(rows, known["input_ids"])


def _per_token(name: str, row: torch.Tensor) -> bool:
    """Return whether a row of logits has one entry per token: that of a span, or of shape `[tokens, classes]`."""
    return name != "logits" or row.dim() == 2


def _row(name: str, row: torch.Tensor, length: int) -> torch.Tensor:
    return (row[:length] if _per_token(name, row) else row).contiguous()


def _batch_of(rows: list[dict[str, torch.Tensor]], input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    batch = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if _per_token(name, first):
            logits = first.new_zeros(len(values), input_ids.shape[1], *first.shape[1:])
            for padded, value in zip(logits, values, strict=True):
                padded[: len(value)] = value
        else:
            logits = torch.stack(values)
        batch[name] = logits.to(input_ids.device, non_blocking=True)
    return batch


def row_keys(inputs: Mapping[str, Any]) -> tuple[list[bytes], list[int]]:
    """Return a key of every row's content, and its length in tokens without the padding at its end.

    Args:
        inputs: the inputs of the teacher: `input_ids` and other tensors `[batch, tokens]`, maybe `attention_mask`.
    """
    arrays = {name: value.cpu().numpy() for name, value in sorted(inputs.items()) if isinstance(value, torch.Tensor)}
    rows, tokens = arrays["input_ids"].shape
    lengths = [tokens] * rows
    if "attention_mask" in arrays:  # up to the last token that is attended to
        read = arrays["attention_mask"] != 0
        lengths = (tokens - read[:, ::-1].argmax(1)).tolist()
    keys = []
    for i, length in enumerate(lengths):
        key = hashlib.blake2b(digest_size=16)
        for name, values in arrays.items():
            row = values[i, :length] if values.shape[:2] == (rows, tokens) else values[i]
            key.update(f"{name} {row.dtype} {row.shape} ".encode())
            key.update(row.tobytes())
        keys.append(key.digest())
    return keys, lengths


def fingerprint(model: PreTrainedModel, tokenizer: Any, device_type: str) -> str:
    """Return a digest of everything but the row that logits depend on; call it inside the autocast of the run.

    Args:
        model: the teacher.
        tokenizer: the tokenizer that makes the token ids of the teacher, or None.
        device_type: `cpu`, `cuda`, ..., for the autocast that is on there.
    """
    precision = [torch.get_float32_matmul_precision()]
    if torch.is_autocast_enabled(device_type):
        precision.append(str(torch.get_autocast_dtype(device_type)))
    config = {name: value for name, value in model.config.to_dict().items() if name not in _IRRELEVANT}
    about = [_FORMAT, type(model).__name__, model.config._attn_implementation, config, precision]
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        about += [tokenizer.model_max_length, sorted(tokenizer.get_vocab().items()), tokenizer.special_tokens_map]
    name = hashlib.blake2b(json.dumps(about, sort_keys=True, default=str).encode(), digest_size=16)
    for key, value in sorted(model.state_dict().items()):
        name.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        name.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return name.hexdigest()


class LogitCache:
    """A file of rows `key -> named tensors`. Rows are added and never changed. `close()` or garbage collection closes it.

    Args:
        path: the file, on a local disk; several machines need one file each.

    Raises:
        InputError: If the file cannot be opened or is not such a file.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None)
            self.close = weakref.finalize(self, self._rows.close)
            self.close.atexit = False  # a fork of this process must leave the file alone when it exits
            _set_up(self._rows)
        except (OSError, sqlite3.Error) as error:
            if hasattr(self, "close"):
                self.close()
            raise _cannot_keep(path, error) from error

    def get(self, keys: Sequence[bytes]) -> list[dict[str, torch.Tensor]] | None:
        """Return the rows of these keys in their order, or None if any is missing.

        Args:
            keys: as `row_keys` makes them.

        Raises:
            InputError: If the file is damaged.
        """
        marks = ",".join("?" * len(keys))
        try:
            found = dict(self._rows.execute(f"SELECT key, value FROM answers WHERE key IN ({marks})", keys))
            return [load(found[key]) for key in keys] if found.keys() >= set(keys) else None
        except (sqlite3.Error, SafetensorError) as error:
            raise _cannot_keep(self._path, error) from error

    def put(self, rows: Mapping[bytes, Mapping[str, torch.Tensor]]) -> None:
        """Add rows, all or none. A key that is there keeps its row.

        Args:
            rows: key -> named tensors, on any device.

        Raises:
            InputError: If they cannot be written, for instance on a full disk; earlier rows stay.
        """
        values = [(key, save({name: tensor.cpu() for name, tensor in row.items()})) for key, row in rows.items()]
        try:
            self._rows.execute("BEGIN IMMEDIATE")
            self._rows.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", values)
            self._rows.execute("COMMIT")
        except sqlite3.Error as error:
            if self._rows.in_transaction:
                self._rows.rollback()
            raise _cannot_keep(self._path, error) from error

    def __len__(self) -> int:
        return self._rows.execute("SELECT COUNT(*) FROM answers").fetchone()[0]


def check_folder(folder: Path) -> None:
    """Check that a folder for logits can be written, without making it.

    Args:
        folder: the value of `distill_cache_dir`.

    Raises:
        InputError: If it cannot be written.
    """
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"The teacher's logits cannot be kept in {folder} ({error.strerror}); name another folder as distill_cache_dir."
        ) from error


def _cannot_keep(path: Path, error: Exception) -> InputError:
    """Return the error to raise. SQLite reports both a full disk and a damaged file as an I/O error."""
    reason, advice = one_line(error), "remove that file"
    if path.parent.is_dir() and (number := refused(path.parent)):
        reason, advice = os.strerror(number), "free some space there"
    return InputError(
        f"The teacher's logits cannot be kept in {path} ({reason}); {advice} or name another folder as distill_cache_dir."
    )


def _set_up(rows: sqlite3.Connection) -> None:
    """Set up a new file. Another process may be doing the same, which SQLite does not wait for by itself."""
    end = time.monotonic() + _TIMEOUT
    while True:
        try:
            for name, value in (("journal_mode", "WAL"), ("synchronous", "NORMAL"), ("mmap_size", _MAP_SIZE)):
                rows.execute(f"PRAGMA {name}={value}")
            rows.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)
