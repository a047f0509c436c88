"""The exported files of a run, which is what people deploy: opened beside the two models, and timed with them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.models import DECODERS, Pair, Probabilities
from trainer_ext.benchmark.busy import Watch
from trainer_ext.benchmark.latency import processor_name, take_turns, timed
from trainer_ext.benchmark.targets import BenchmarkEntry, list_entries, open_entry, weight_files
from trainer_ext.errors import InputError
from trainer_ext.models.loading import rows_of
from trainer_ext.report.schema import CompressionReport, Export
from trainer_ext.utils.imports import no_calls_home

TOKENS, ROUNDS, WARM_UP, SECONDS = 64, 15, 3, 1.0  # of the headline's timing: a text of so many tokens
FORMATS = {"onnxruntime": "onnx", "openvino": "openvino"}
INT8 = "int8"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Deployed:
    """An exported file of the compressed model, ready to run.

    Attributes:
        name: Its format, such as "onnx-int8".
        entry: The file.
        run: Function from a batch of int64 arrays to logits [rows, labels].
        bytes: Size of the file with its weights.
        checked: What the export measured on it, if the report has it.
    """

    name: str
    entry: BenchmarkEntry
    run: Any
    bytes: int
    checked: Export | None

    def logits(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Return the logits of a batch, which may lack segment ids."""
        given = {name: np.asarray(values, dtype=np.int64) for name, values in batch.items()}
        given.setdefault("token_type_ids", np.zeros_like(given["input_ids"]))
        return np.asarray(self.run(given))

    def ask(self, texts: Sequence[str], pair: Pair, *, max_tokens: int) -> list[Probabilities]:
        """Classify texts in one batch, as `Side.ask` does."""
        side = pair.compressed
        length = min(side.max_tokens, max_tokens)
        encoded = side.tokenizer(list(texts), truncation=True, max_length=length, padding=True, return_tensors="np")
        to_probabilities, _ = DECODERS[side.problem_type]
        rows = to_probabilities(torch.from_numpy(self.logits(dict(encoded))).float()).tolist()
        return [dict(zip(side.labels, row, strict=True)) for row in rows]


def with_exports(pair: Pair) -> Pair:
    """Return the models with the exported files of the compressed one."""
    return replace(pair, exports=open_deployed(pair.compressed.name, pair.report))


def open_deployed(folder: str | Path, report: CompressionReport | None) -> tuple[Deployed, ...]:
    """Open the exported files of a compressed model: the int8 ones, or without these all.

    A file whose runtime is not installed, or that it cannot open, is left out: the page compares the models without it.

    Args:
        folder: Of the compressed model; a model on the Hub has no files here.
        report: The report of the run, for what the export measured.
    """
    if not Path(folder).is_dir():
        return ()
    found = []
    with contextlib.suppress(InputError):
        entries = [entry for entry in list_entries([str(folder)]) if entry.runtime in FORMATS]
        for entry in [one for one in entries if one.precision == INT8] or entries:
            with contextlib.suppress(InputError), no_calls_home():
                found.append(_opened(entry, Path(folder), report))
    return tuple(found)


def _opened(entry: BenchmarkEntry, folder: Path, report: CompressionReport | None) -> Deployed:
    target = open_entry(entry, threads=torch.get_num_threads())
    name = FORMATS[entry.runtime] + (f"-{INT8}" if entry.precision == INT8 else "")
    path = f"{folder.name}/{Path(entry.path).relative_to(folder)}"
    checked = next((row for row in report.exports if row.path == path), None) if report is not None else None
    return Deployed(name, entry, target.run, sum(file.stat().st_size for file in weight_files(entry)), checked)


def best_of(exports: Sequence[Deployed]) -> Deployed | None:
    """Return the file that one would deploy: the smallest."""
    return min(exports, key=lambda one: one.bytes, default=None)


@dataclass(frozen=True)
class Headline:
    """What the first card of the page says, measured when the page starts.

    Attributes:
        milliseconds: Median of a text of `tokens` tokens, by "baseline", "compressed" and the name of the export.
        tokens: Length of the text.
        processor: Its name.
        threads: Number of threads.
        load: Load average of the minute before; None where there is none.
        busy: Whether other programs disturbed the timing.
    """

    milliseconds: dict[str, float]
    tokens: int
    processor: str
    threads: int
    load: float | None
    busy: bool


def measure(pair: Pair) -> Headline:
    """Time all models on one text, for about a second: the PyTorch models in turns, then each file.

    The files do not take turns with PyTorch, because the threads of their runtimes stay awake after a call and slow it.

    Args:
        pair: The models with their exported files.
    """
    length = min(TOKENS, *(side.max_tokens for side in pair.sides.values()))
    smallest = min(rows_of(side.model) for side in pair.sides.values())
    ids = np.random.default_rng(0).integers(smallest, size=(1, length))
    batch = {"input_ids": ids.astype(np.int64), "attention_mask": np.ones_like(ids)}
    watch = Watch()
    found: dict[str, float] = {}
    tensors = {name: torch.from_numpy(values).to(pair.compressed.model.device) for name, values in batch.items()}
    groups = [
        {
            name: partial(_timed, partial(side.model, **tensors), side.model.device)
            for name, side in pair.sides.items()
        },
        *({one.name: partial(_timed, partial(one.logits, batch), CPU)} for one in pair.exports),
    ]
    with torch.inference_mode():
        for calls in groups:
            times = take_turns(calls, repeats=ROUNDS, warmup=WARM_UP, seconds_limit=SECONDS, watch=watch)
            found |= {name: float(np.median(values)) for name, values in times.items()}
    load = None if math.isnan(watch.load) else watch.load
    busy = pair.compressed.model.device.type == "cpu" and watch.is_busy
    return Headline(found, length, processor_name(), torch.get_num_threads(), load, busy)


def _timed(call: Any, device: torch.device, _: int) -> float:
    return timed(call, device)


def cores() -> int:
    """Return the number of processor cores."""
    return os.cpu_count() or 1
