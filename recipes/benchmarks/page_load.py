"""Measure waiting times, errors and memory while many programs use the page at the same time for a minute.

Each client calls `/compare` again and again, in its own thread. The page runs one request at a time, so a client waits for
all requests before its own. Waiting is measured, and also the time of the models, which must be the same as on an idle
page. A client that is rejected because the queue is full tries again after a second; other errors are counted.

Targets: no error with 50 clients, none turned away (the queue holds 64), memory no more than 100 MB over that after
the first call. Prediction: 8 answers a second, so a median wait of 6 s. Outcomes are in recipes/benchmarks/README.md.
"""

import os
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from gradio_client import Client
from gradio_client.utils import QueueError
from rich.console import Console
from rich.table import Table

from recipes.benchmarks.page import TEXT
from recipes.benchmarks.page_process import page_of
from trainer_ext.benchmark.latency import processor_name

AGAIN_S = 1.0
ROWS = ("answers", "waited, median s", "p95 s", "longest s", "model's own, median ms", "turned away", "errors")
ROWS += ("memory before, MB", "most", "after")


@dataclass
class Pressure:
    """Results of clients: milliseconds waited, milliseconds of the compressed model, and errors by name."""

    waited: list[float] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)
    turned_away: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    memory_mb: list[float] = field(default_factory=list)  # before, maximum, after


def megabytes(process: int) -> float:
    """Return the resident memory in units of 10^6 bytes."""
    return psutil.Process(process).memory_info().rss / 1e6


def ask(client: Client, end: float, seen: Pressure) -> None:
    """Call `/compare` until the time is over; appending to a list is safe between threads."""
    while (start := time.perf_counter()) < end:
        try:
            answer = client.predict(TEXT, api_name="/compare")
        except QueueError:
            seen.turned_away += 1
            time.sleep(AGAIN_S)
        except Exception as error:  # errors of any kind are counted
            seen.errors[f"{type(error).__name__}: {error}"] += 1
        else:
            seen.waited.append(1000 * (time.perf_counter() - start))
            seen.measured.append(answer["compressed"]["milliseconds"])


def press(address: str, process: int, *, clients: int, seconds: float) -> Pressure:
    """Connect clients, then let all of them call `/compare` for some time."""
    seen = Pressure(memory_mb=[megabytes(process)])
    most, done = [seen.memory_mb[0]], threading.Event()

    def sample() -> None:
        while not done.wait(0.5):
            most[0] = max(most[0], megabytes(process))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        with ThreadPoolExecutor(clients) as pool:
            connected = list(
                pool.map(lambda _: Client(address, verbose=False, analytics_enabled=False), range(clients))
            )
            end = time.perf_counter() + seconds
            list(pool.map(lambda client: ask(client, end, seen), connected))
    finally:
        done.set()
        sampler.join()
    seen.memory_mb += [max(most[0], after := megabytes(process)), after]
    return seen


def table(pressures: dict[str, Pressure]) -> Table:
    """Return a table with a column for each number of clients."""
    shown = Table("", *pressures, title="clients")
    columns = []
    for seen in pressures.values():
        waited = np.array(seen.waited or [np.nan]) / 1000
        columns.append(
            [
                str(len(seen.waited)),
                *(f"{value:.2f}" for value in (np.median(waited), np.percentile(waited, 95), waited.max())),
                f"{statistics.median(seen.measured or [np.nan]):.1f}",
                str(seen.turned_away),
                str(seen.errors.total()),
                *(f"{value:,.0f}" for value in seen.memory_mb),
            ]
        )
    for name, *values in zip(ROWS, *columns, strict=True):
        shown.add_row(name, *values)
    return shown


def main(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    clients: Annotated[int, typer.Option(help="Number of clients.")] = 50,
    seconds: Annotated[float, typer.Option(help="Duration in seconds.")] = 60.0,
) -> None:
    """Measure with one client for a sixth of the time, then with all, and print a table."""
    load, pressures = os.getloadavg()[0], {}
    with page_of(run, os.environ) as (address, process):
        for many, long in ((1, seconds / 6), (clients, seconds)):
            pressures[str(many)] = press(address, process, clients=many, seconds=long)
    console = Console()
    console.print(table(pressures))
    for seen in pressures.values():
        for error, times in seen.errors.items():
            console.print(f"{times} x {error}", highlight=False)
    console.print(f"{processor_name()}, {os.cpu_count()} cores, load {load:.1f} before the start.", highlight=False)
    if pressures[str(clients)].errors:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
