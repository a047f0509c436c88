"""How many tokens, and how much time, do batches of texts of similar length save?

The texts of a CSV file are tokenized for a run's compressed model. Batches are made in the order of the file, and by length
as `classify.py`, evaluation and the page make them. Each is padded to its longest text. Tokens are counted, and whole passes
over all batches are timed in turn.

Predicted for paragraphs of news in batches of 32: half of the tokens in the order of the file are padding, and a pass by
length takes half the time; less is saved in batches of 8. Outcomes are in recipes/benchmarks/README.md.

    python -m recipes.benchmarks.lengths RUN FILE
"""

from __future__ import annotations

import csv
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from transformers import DataCollatorWithPadding
from transformers.utils import logging

from recipes.benchmarks.serving_tables import lengths as table_of
from trainer_ext import report
from trainer_ext.benchmark.busy import Watch
from trainer_ext.benchmark.latency import processor_name, take_turns, timed
from trainer_ext.errors import InputError
from trainer_ext.export.formats import FORMATS
from trainer_ext.export.source import model_folder
from trainer_ext.hub import sanitize
from trainer_ext.models import outputs
from trainer_ext.models.loading import load_model, load_tokenizer, longest_input, longest_text, rows_of
from trainer_ext.models.runtimes import open_runtime
from trainer_ext.utils.files import write_json

TORCH = "torch"
ORDERS = ("in_order", "by_length")
Batch = dict[str, np.ndarray]


def batches_of(lengths: Sequence[int], size: int, *, by_length: bool) -> list[list[int]]:
    """Return the indices of the texts of each batch.

    Args:
        lengths: Tokens of each text.
        size: Texts per batch.
        by_length: Put texts of similar length together; else keep the order.
    """
    order = np.argsort(lengths, kind="stable").tolist() if by_length else list(range(len(lengths)))
    return [order[start : start + size] for start in range(0, len(order), size)]


def computed(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> int:
    """Return the tokens that a model computes, padding included."""
    return sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)


def compare(encoded: list[dict], tokenizer, run: Callable[[Batch], Any], size: int, repeats: int) -> dict[str, Any]:
    """Count the tokens of both orders, and time passes over all texts in turn.

    Args:
        encoded: The tokenized texts.
        tokenizer: Pads them.
        run: Computes a batch.
        size: Texts per batch.
        repeats: Timed passes of each.
    """
    lengths = [len(row["input_ids"]) for row in encoded]
    collate, watch = DataCollatorWithPadding(tokenizer, return_tensors="np"), Watch()
    chosen = {name: batches_of(lengths, size, by_length=name == "by_length") for name in ORDERS}
    padded = {
        name: [dict(collate([encoded[i] for i in batch])) for batch in batches] for name, batches in chosen.items()
    }

    def whole_pass(name: str) -> Callable[[int], float]:
        return lambda _: timed(lambda: [run(batch) for batch in padded[name]], torch.device("cpu"))

    calls = {name: whole_pass(name) for name in ORDERS}
    times = take_turns(calls, repeats=repeats, warmup=1, watch=watch)
    ratios = [before / after for before, after in zip(*(times[name] for name in ORDERS), strict=True)]
    return {
        "batch_size": size,
        **{name: computed(lengths, batches) for name, batches in chosen.items()},
        "seconds": {name: [value / 1000 for value in values] for name, values in times.items()},
        "speedup": [statistics.median(ratios), min(ratios), max(ratios)],
        "busy": watch.is_busy,
    }


def opened(folder: Path, name: str, model, threads: int | None) -> Callable[[Batch], Any]:
    """Return a function that computes a batch in PyTorch, or in an exported file.

    Raises:
        InputError: There is no such file.
    """
    if name == TORCH:
        if threads:
            torch.set_num_threads(threads)
        return lambda batch: outputs.logits(model, {key: torch.from_numpy(value) for key, value in batch.items()})
    file = folder / FORMATS[name].file
    if not file.is_file():
        raise InputError(f"{file} is missing; make it with trainer-ext export RUN --format {name}.")
    return open_runtime(file, threads=threads).run


def main(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    file: Annotated[Path, typer.Argument(help="CSV file with a column text.")],
    format: Annotated[str, typer.Option(help=f"{TORCH}, or an exported format.")] = "openvino-int8",
    batch: Annotated[list[int], typer.Option(help="Texts per batch; may be repeated.")] = [8, 32],  # noqa: B006
    every: Annotated[int, typer.Option(help="Take every n-th text.")] = 1,
    max_length: Annotated[
        int | None, typer.Option(help="Longest text in tokens; default: what the model reads.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Timed passes of each order, at least 3.")] = 5,
    threads: Annotated[int | None, typer.Option(help="Processor threads; default: of the runtime.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the results to this JSON file.")] = None,
) -> None:
    """Count and time both orders, and print the table."""
    logging.disable_progress_bar()
    load, folder = os.getloadavg()[0], model_folder(run)
    if format not in (TORCH, *FORMATS):
        raise InputError(f"--format is {format}; it must be {TORCH} or one of {', '.join(FORMATS)}.")
    model = load_model(folder, option="RUN", way_out="give a finished run").eval()
    tokenizer = load_tokenizer(folder, way_out="give a finished run", rows=rows_of(model))
    with file.open(encoding="utf-8", newline="") as opened_file:
        texts = [row["text"] for row in csv.DictReader(opened_file)][::every]
    longest = max_length or longest_input(tokenizer, longest_text(model.config))
    encoded = [dict(tokenizer(text, truncation=True, max_length=longest)) for text in texts]
    counts = [len(row["input_ids"]) for row in encoded]
    compute = opened(folder, format, model, threads)
    record = {
        "command": shlex.join(["python", "-m", "recipes.benchmarks.lengths", *sanitize.command(sys.argv[1:])]),
        "file": file.name,
        "texts": len(texts),
        "tokens": sum(counts),
        "lengths": {"median": np.median(counts), "p95": np.percentile(counts, 95), "most": max(counts)},
        "runtime": format,
        "repeats": repeats,
        "processor": processor_name(),
        "threads": threads or os.cpu_count(),
        "load": load,
        "created": report.utc_now(),
        "rows": [compare(encoded, tokenizer, compute, size, repeats) for size in batch],
    }
    if output:
        write_json(output, record)
    print(table_of(record))


if __name__ == "__main__":
    typer.run(main)
