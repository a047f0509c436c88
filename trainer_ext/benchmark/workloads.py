"""Build the batches of a benchmark: random tokens of a fixed length, or the texts of a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.arguments import DataArguments
from ..data.readers import read_unlabelled
from ..errors import InputError, one_line
from ..models.loading import load_tokenizer, longest_input, longest_text
from ..models.runtimes import Batch
from .targets import TORCH, BenchmarkEntry, random_batch

DEFAULT_LENGTH = 64
UNKNOWN_VOCABULARY = 100  # for a file without a configuration; every vocabulary is larger


@dataclass(frozen=True)
class InputLimits:
    """The inputs that a model accepts.

    Attributes:
        folder: folder of its configuration and its tokenizer.
        vocabulary: number of tokens.
        longest: most tokens of a text; None if unknown.
        pad: id of the padding token.
    """

    folder: Path
    vocabulary: int = UNKNOWN_VOCABULARY
    longest: int | None = None
    pad: int = 0


def input_limits(entry: BenchmarkEntry) -> InputLimits:
    """Read the limits of a model from its configuration; without one, return limits that every model accepts."""
    from transformers import AutoConfig
    from transformers.utils import cached_file

    folder = Path(entry.path).expanduser().parent
    if entry.runtime == TORCH or entry.source != entry.path:
        config_file = cached_file(entry.source, "config.json")
        if config_file is not None:
            folder = Path(config_file).parent
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError):
        return InputLimits(folder)
    return InputLimits(folder, config.vocab_size, longest_text(config), config.pad_token_id or 0)


@dataclass(frozen=True)
class Workload:
    """The batches of one batch size and length.

    Attributes:
        batch_size: texts per batch.
        sequence_length: tokens per text; None for texts of a file.
        batches: for each entry.
    """

    batch_size: int
    sequence_length: int | None
    batches: Mapping[BenchmarkEntry, list[Batch]]

    @property
    def title(self) -> str:
        """Batch size and length."""
        return f"{self.batch_size} x {self.sequence_length or 'texts'}"

    def largest(self, entry: BenchmarkEntry) -> tuple[int, int]:
        """Return the shape `(rows, tokens)` of the largest batch."""
        rows, length = max((batch["input_ids"].shape for batch in self.batches[entry]), key=math.prod)
        return int(rows), int(length)


def fixed_workloads(
    limits: Mapping[BenchmarkEntry, InputLimits], shapes: Sequence[tuple[int, int | None]]
) -> list[Workload]:
    """Return batches of random tokens.

    Args:
        limits: by entry.
        shapes: batch size and tokens per text; None for 64 tokens, or for fewer if a model reads fewer.

    Raises:
        InputError: A length is more than one of the models reads.
    """
    longest = min((limit.longest for limit in limits.values() if limit.longest), default=None)
    found = []
    for size, wanted in shapes:
        length = wanted or min(DEFAULT_LENGTH, longest or DEFAULT_LENGTH)
        if longest and length > longest:
            raise InputError(f"--sequence-length is {length}, but one of the models reads at most {longest} tokens.")
        batches = {entry: [random_batch(limit.vocabulary, size, length)] for entry, limit in limits.items()}
        found.append(Workload(size, length, batches))
    return found


def text_workloads(
    limits: Mapping[BenchmarkEntry, InputLimits], batch_sizes: Sequence[int], texts: Sequence[str], *, count: int
) -> list[Workload]:
    """Return batches of texts; all models read the same texts, each with its own tokenizer.

    Args:
        limits: by entry.
        batch_sizes: one workload for each.
        texts: to choose from, at random.
        count: batches per workload.

    Raises:
        InputError: A model has no tokenizer.
    """
    encoders = {entry: text_encoder(limit) for entry, limit in limits.items()}
    found = []
    for size in batch_sizes:
        chosen = sample_texts(texts, size * count)
        batches = {
            entry: padded_batches(encoders[entry](chosen), batch_size=size, pad=limit.pad)
            for entry, limit in limits.items()
        }
        found.append(Workload(size, None, batches))
    return found


def padded_batches(rows: Sequence[Sequence[int]], *, batch_size: int, pad: int) -> list[Batch]:
    """Return token ids in batches, in order, each padded to its longest text, int64 `[batch, length]`."""
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
    """Return `count` texts in a random order that is always the same; texts repeat if there are fewer."""
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[order[index % len(texts)]] for index in range(count)]


def text_encoder(limits: InputLimits) -> Callable[[list[str]], list[list[int]]]:
    """Return the tokenizer of a model as a function from texts to token ids, truncated to what the model reads.

    Raises:
        InputError: The model has no tokenizer.
    """
    from tokenizers import Tokenizer

    hint = "save one there, or leave out --texts"
    if (limits.folder / "tokenizer_config.json").is_file():
        known = limits.vocabulary if limits.longest else None
        own = load_tokenizer(limits.folder, way_out=hint, rows=known, pads=False)
        most = longest_input(own, limits.longest)
        return lambda texts: own(texts, truncation=True, max_length=most)["input_ids"]
    try:
        tokenizer = Tokenizer.from_file(str(limits.folder / "tokenizer.json"))
    except Exception as error:  # the tokenizers library has no error class of its own
        raise InputError(f"{limits.folder} has no tokenizer for --texts ({one_line(error)}); {hint}.") from error
    tokenizer.no_padding()
    if limits.longest:
        tokenizer.enable_truncation(limits.longest)
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def read_texts(file: Path, *, column: str) -> list[str]:
    """Return the non-empty texts of a file: a column of a table, or the lines of a .txt file.

    Raises:
        InputError: The file cannot be read, has no such column, or contains no text.
    """
    try:
        return [row.text for row in read_unlabelled(file, DataArguments(text_column=column)).rows]
    except InputError as error:
        raise InputError(str(error).replace("--text_column", "--text-column")) from error
