"""Answer store: rows of tensors on disk by key, safe for many processes at once and for one that is killed.

SQLite does what is hard here: a transaction is there whole or not at all, readers and writers of any number of
processes do not disturb each other (write-ahead log), and the file is read through a memory map.

Teacher cache: what a teacher answered once is read from disk from then on.

A row is found by what the teacher read of it, without the padding behind it. The file it lies in is named after
everything else that an answer depends on: weights and architecture of the teacher, tokenizer, maximum length and
precision. A change of any of them is another file, so a stale answer is never found.

Answers are kept in fp32, as the live teacher gives them, and computed by the batches as they come. So training with the
cache is training with the live teacher to the last bit where every batch has the same shape: padding to one length, and
no smaller last batch. In batches of another shape matrix products sum in another order, and the live teacher itself
answers a row with another last bit.
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
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from transformers import PreTrainedTokenizerBase

from ..errors import InputError, one_line
from ..utils.files import refused
from .teachers import LOGITS, LiveTeacher, Precision

_LARGEST_MAP = 1 << 40  # bytes; SQLite lowers it to what it was built for
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)  # another process is at work
_PATIENCE = 60.0  # seconds that one process waits for another


class LogitCache:
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


_FORMAT = "1"
# Of the config: where a model came from and what its labels are called, none of which moves an answer.
_SILENT = ("_name_or_path", "transformers_version", "problem_type", "id2label", "label2id")


class CachedTeacher(LiveTeacher):
    """A teacher that is asked once per row: a batch of which all rows are known costs no forward pass.

    Args:
        model: as in `LiveTeacher`.
        folder: where the answers lie; several runs and processes may share it.
        tokenizer: what makes the token ids that the teacher reads, or None.
        own_tokens: as in `LiveTeacher`.

    Raises:
        InputError: if nothing can be written there.
    """

    def __init__(self, model, folder: str | Path, tokenizer=None, *, own_tokens: bool = False):
        super().__init__(model, own_tokens=own_tokens)
        self._folder, self._tokenizer = Path(folder), tokenizer
        check_folder(self._folder)
        self._store: LogitCache | None = None  # opened at the first batch, which tells the precision

    def answer(self, inputs: Mapping[str, Any], precision: Precision, **asked: bool) -> dict[str, Any]:
        """The teacher's logits by name in fp32, 0 at padding; always what the cache holds, so that resuming changes none."""
        if asked:  # inner states are not kept
            return super().answer(inputs, precision, **asked)
        known = self.known(inputs)
        keys, lengths = row_keys(known)
        if self._store is None:
            with precision():
                name = fingerprint(self.model, self._tokenizer, known["input_ids"].device.type)
            self._store = LogitCache(self._folder / f"{name}.sqlite")
        rows = self._store.get(keys)
        if rows is None:
            answer = super().answer(inputs, precision)
            logits = {name: value for name, value in answer.items() if name in LOGITS}
            self._store.put(
                {
                    key: {name: _row(name, value[i], length) for name, value in logits.items()}
                    for i, (key, length) in enumerate(zip(keys, lengths, strict=True))
                }
            )
            rows = self._store.get(keys)  # of a text that an earlier batch held, that batch's answer
        return _batch_of(rows, known["input_ids"])


def row_keys(inputs: Mapping[str, Any]) -> tuple[list[bytes], list[int]]:
    """A key of every row's content, and its length in tokens without the padding behind it.

    Args:
        inputs: what the teacher reads: `input_ids` and other tensors `[batch, tokens]`, `attention_mask` if there is one.
    """
    arrays = {name: value.cpu().numpy() for name, value in sorted(inputs.items()) if isinstance(value, torch.Tensor)}
    rows, tokens = arrays["input_ids"].shape
    lengths = [tokens] * rows
    if "attention_mask" in arrays:  # up to the last token that is read
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


def fingerprint(model, tokenizer, device_type: str) -> str:
    """A name for everything but the row that an answer depends on; call it inside the autocast of the run.

    Args:
        model: the teacher.
        tokenizer: what makes the token ids that the teacher reads, or None.
        device_type: `cpu`, `cuda`, ..., for the autocast that is on there.
    """
    precision = [torch.get_float32_matmul_precision()]
    if torch.is_autocast_enabled(device_type):
        precision.append(str(torch.get_autocast_dtype(device_type)))
    config = {name: value for name, value in model.config.to_dict().items() if name not in _SILENT}
    about = [_FORMAT, type(model).__name__, model.config._attn_implementation, config, precision]
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        about += [tokenizer.model_max_length, sorted(tokenizer.get_vocab().items()), tokenizer.special_tokens_map]
    name = hashlib.blake2b(json.dumps(about, sort_keys=True, default=str).encode(), digest_size=16)
    for key, value in sorted(model.state_dict().items()):
        name.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        name.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return name.hexdigest()


def _per_token(name: str, row: torch.Tensor) -> bool:
    """Whether a row of logits has one entry per token: spans always, others where they are `[tokens, classes]`."""
    return name != "logits" or row.dim() == 2


def _row(name: str, row: torch.Tensor, length: int) -> torch.Tensor:
    return (row[:length] if _per_token(name, row) else row).contiguous()


def _batch_of(rows: list[dict[str, torch.Tensor]], input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    batch = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if _per_token(name, first):
            logits = first.new_zeros(len(values), input_ids.shape[1], *first.shape[1:])
            for place, value in zip(logits, values, strict=True):
                place[: len(value)] = value
        else:
            logits = torch.stack(values)
        batch[name] = logits.to(input_ids.device, non_blocking=True)
    return batch
