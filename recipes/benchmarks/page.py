"""Measure how long a visitor of the page waits for the first answer, and a program for `/compare`.

Each visit is a new window of a real Chromium (Playwright, `make browser`) with an empty cache; the first visit after the
start is reported separately, because it reads everything from the disk. Nothing else runs between two calls of `/compare`.
Export the run first (`trainer-ext export RUN --format onnx-int8`): the file is then the third contender of every answer.

Targets, with the quickstart's models on two cores: the first answer 3 s after the address is opened, `/compare` 150 ms,
both medians. Prediction: 1.5 s and 110 ms (0.06 s of it the burst that times the models). Outcomes are in
recipes/benchmarks/README.md.
"""

import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from gradio_client import Client
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

from recipes.benchmarks.page_process import page_of
from trainer_ext.benchmark.latency import processor_name

TEXT = "नव्या फोनची बॅटरी दोन दिवस टिकते असा कंपनीचा दावा"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ANSWER = "#result .verdict"
TARGETS_MS = {"first answer": 3000, "/compare": 150}


def visit(browser: Browser, address: str) -> float:
    """Return the milliseconds from opening the address until an answer is visible."""
    window = browser.new_context(viewport={"width": 1200, "height": 900})
    page = window.new_page()
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator(ANSWER).wait_for()
    seconds = time.perf_counter() - start
    window.close()
    return 1000 * seconds


def call(client: Client) -> tuple[float, list[str]]:
    """Return the milliseconds that a client waits for `/compare`, and the exported files that answered too."""
    start = time.perf_counter()
    answer = client.predict(TEXT, api_name="/compare")
    return 1000 * (time.perf_counter() - start), list(answer["exports"])


def main(
    run: Annotated[Path, typer.Argument(help="A finished run; the targets are for that of `make quickstart`.")],
    visits: Annotated[int, typer.Option(help="Visits after the first one.")] = 10,
    calls: Annotated[int, typer.Option(help="Calls of /compare after a warm-up call.")] = 50,
) -> None:
    """Measure both, and print a table."""
    load = os.getloadavg()[0]
    with page_of(run, os.environ) as (address, _), sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)), None)
        browser = playwright.chromium.launch(executable_path=path)
        first, *later = [visit(browser, address) for _ in range(visits + 1)]
        browser.close()
        client = Client(address, verbose=False, analytics_enabled=False)
        (_, files), *later_calls = [call(client) for _ in range(calls + 1)]
    called = [milliseconds for milliseconds, _ in later_calls]
    table = Table("what", "n", "median ms", "p95 ms", "longest ms", "target ms", "")
    for name, times in {"first answer": later, "/compare": called}.items():
        median, target = statistics.median(times), TARGETS_MS[name]
        numbers = [f"{value:,.0f}" for value in (median, np.percentile(times, 95), max(times), target)]
        table.add_row(name, str(len(times)), *numbers, "met" if median <= target else "MISSED")
    console = Console()
    console.print(table)
    console.print(
        f"Beside both models: {', '.join(files) or 'no exported file (trainer-ext export RUN --format onnx-int8)'}."
    )
    console.print(f"The first visit after the start: {first:,.0f} ms.")
    console.print(f"{processor_name()}, {os.cpu_count()} cores, load {load:.1f} before the start.", highlight=False)


if __name__ == "__main__":
    typer.run(main)
