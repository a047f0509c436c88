"""Workloads: the batches that a benchmark asks for, of one length or of the lengths of real texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.arguments import DataArguments
from ..data.corpus import read_corpus
from ..data.readers import SUFFIXES as TABLES, read_texts as read_column
from ..errors import InputError, one_line
from ..models.loading import load_tokenizer, longest_text
from ..models.runtimes import Batch
from .targets import TORCH, Entry

USUAL_LENGTH = 64
UNKNOWN_VOCABULARY = 100  # of a file without a configuration beside it: every vocabulary is larger


@dataclass(frozen=True)
class Reader:
    """What a model can be asked.

    Attributes:
        folder: where its configuration and its tokenizer lie.
        vocabulary: number of its tokens.
        longest: most tokens of a text; None where nothing says so.
        pad: the token that fills up a batch.
    """

    folder: Path
    vocabulary: int = UNKNOWN_VOCABULARY
    longest: int | None = None
    pad: int = 0


def reader_of(entry: Entry) -> Reader:
    """Read what lies beside a model; for a file without a configuration, what every model can be asked."""
    from transformers import AutoConfig
    from transformers.utils import cached_file

    folder = Path(entry.path).expanduser().parent
    if entry.runtime == TORCH or entry.source != entry.path:
        folder = Path(cached_file(entry.source, "config.json")).parent
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError):
        return Reader(folder)
    return Reader(folder, config.vocab_size, longest_text(config), config.pad_token_id or 0)


@dataclass(frozen=True)
class Workload:
    """Batches for each participant, of one size; `sequence_length` is None where they hold texts of a file."""

    batch_size: int
    sequence_length: int | None
    batches: dict[Entry, list[Batch]]

    @property
    def title(self) -> str:
        """How tables call it."""
        return f"{self.batch_size} x {self.sequence_length or 'texts'}"

    def largest(self, entry: Entry) -> tuple[int, int]:
        """Rows and tokens of the batch that holds most."""
        rows, length = max((batch["input_ids"].shape for batch in self.batches[entry]), key=math.prod)
        return int(rows), int(length)


def fixed_workloads(readers: dict[Entry, Reader], shapes: Sequence[tuple[int, int | None]]) -> list[Workload]:
    """Random tokens, so many texts of so many tokens; no length stands for the usual one, or the most that all read.

    Raises:
        InputError: one of the models reads no texts of that length.
    """
    longest = min((reader.longest for reader in readers.values() if reader.longest), default=None)
    found = []
    for size, wanted in shapes:
        length = wanted or min(USUAL_LENGTH, longest or USUAL_LENGTH)
        if longest and length > longest:
            raise InputError(f"--sequence-length is {length}, but one of the models reads at most {longest} tokens.")
        batches = {entry: [random_batch(reader, size, length)] for entry, reader in readers.items()}
        found.append(Workload(size, length, batches))
    return found


def text_workloads(
    readers: dict[Entry, Reader], batch_sizes: Sequence[int], texts: Sequence[str], *, count: int
) -> list[Workload]:
    """So many batches of texts, the same texts for all, each model by its own tokenizer.

    Raises:
        InputError: a model without a tokenizer.
    """
    encoders = {entry: encoder_of(reader) for entry, reader in readers.items()}
    found = []
    for size in batch_sizes:
        chosen = sample_texts(texts, size * count)
        batches = {
            entry: padded_batches(encoders[entry](chosen), batch_size=size, pad=reader.pad)
            for entry, reader in readers.items()
        }
        found.append(Workload(size, None, batches))
    return found


def random_batch(reader: Reader, batch_size: int, sequence_length: int) -> Batch:
    """Random tokens of the model's vocabulary, all attended to, int64 `[batch, length]`."""
    ids = np.random.default_rng(0).integers(reader.vocabulary, size=(batch_size, sequence_length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def padded_batches(rows: Sequence[Sequence[int]], *, batch_size: int, pad: int) -> list[Batch]:
    """Token ids in batches as they come, each filled up to its longest text, int64 `[batch, length]`."""
    batches = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        shape = (len(part), max(map(len, part)))
        ids, attended = np.full(shape, pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for index, row in enumerate(part):
            ids[index, : len(row)], attended[index, : len(row)] = row, 1
        batches.append({"input_ids": ids, "attention_mask": attended, "token_type_ids": np.zeros_like(ids)})
    return batches


def sample_texts(texts: Sequence[str], count: int) -> list[str]:
    """So many texts in a random order, the same at every call; all of them several times where there are fewer."""
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[order[index % len(texts)]] for index in range(count)]


def encoder_of(reader: Reader) -> Callable[[list[str]], list[list[int]]]:
    """A model's own tokenizer as a function from texts to token ids, cut to what the model reads.

    Raises:
        InputError: none lies beside the model.
    """
    from tokenizers import Tokenizer

    way_out = "save one there, or leave out --texts"
    if (reader.folder / "tokenizer_config.json").is_file():
        known = reader.vocabulary if reader.longest else None
        own = load_tokenizer(reader.folder, way_out=way_out, rows=known)
        most = min(own.model_max_length, reader.longest or own.model_max_length)
        return lambda texts: own(texts, truncation=True, max_length=most)["input_ids"]
    try:
        tokenizer = Tokenizer.from_file(str(reader.folder / "tokenizer.json"))
    except Exception as error:  # the tokenizers library raises nothing more exact
        raise InputError(f"{reader.folder} holds no tokenizer for --texts ({one_line(error)}); {way_out}.") from error
    tokenizer.no_padding()
    if reader.longest:
        tokenizer.enable_truncation(reader.longest)
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def read_texts(file: Path, *, column: str) -> list[str]:
    """The texts of a file: a column of a table, or the lines of a .txt file; empty ones are left out.

    Raises:
        InputError: it cannot be read, has no such column, or holds no text.
    """
    if file.suffix.lower() not in TABLES:
        return read_corpus([file])
    try:
        return [row.text for row in read_column(file, DataArguments(text_column=column)).rows]
    except InputError as error:
        raise InputError(str(error).replace("--text_column", "--text-column")) from error
