"""Measure whether memory, file handles or threads grow in an hour of training, or of the page under load.

Both run at the same time, each in its own process, on a small model made from the quickstart's texts. Training is one long
run with masks, a live teacher, and an evaluation and a checkpoint every minute. Visitors of the page call `/compare` for a
few seconds, upload a file to `/compare_batch` and leave; others follow, all over real HTTP.

The bounds are in `growth.py`; the exit status is 1 if something grows or fails.
Prediction: nothing grows; the trainer's log adds less than 1 MiB an hour. Outcomes are in recipes/benchmarks/README.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import typer
from gradio_client import Client, handle_file
from rich.console import Console
from rich.table import Table

from recipes.benchmarks import page_load
from recipes.benchmarks.growth import QUANTITIES, UNITS, Growth, Sample, growth, watch
from recipes.benchmarks.page_process import page_of
from trainer_ext.benchmark.latency import processor_name

STAY_S = 5.0
ROOT = Path(__file__).parents[2]
SMALL = {
    "scratch_hidden_size": 64,
    "scratch_heads": 4,
    "scratch_intermediate_size": 128,
    "scratch_epochs": 1,
    "num_train_epochs": 1,
    "prune_block_size": 16,
}


def make_run(folder: Path) -> tuple[Path, Path]:
    """Make a small finished run and its data, unless they exist."""
    run, data = folder / "run", folder / "data"
    if not (run / "compression.json").exists():
        quickstart = ROOT / "recipes/quickstart"
        words = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
        compress = ["-m", "trainer_ext", "compress", str(quickstart / "quickstart.yaml")]
        places = ["--data_dir", str(data), "--output_dir", str(run), "--resume"]
        for command in ([str(quickstart / "corpus.py"), str(data)], [*compress, *places, *words]):
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return run, data


def visit(address: str, end: float, file: Path, seen: page_load.Pressure) -> int:
    """Visit the page again and again until the time is over, and return the number of visits."""
    visitors = 0
    while (now := time.perf_counter()) < end:
        visitors += 1
        client = Client(address, verbose=False, analytics_enabled=False)
        page_load.ask(client, min(end, now + STAY_S), seen)
        try:
            client.predict(file=handle_file(str(file)), api_name="/compare_batch")
        except Exception as error:  # errors of any kind are counted
            seen.errors[f"{type(error).__name__}: {error}"] += 1
        client.close()
    return visitors


def serve(run: Path, data: Path, seconds: float, clients: int, follow: Callable[[int], None]) -> dict:
    """Serve the page of a run under load while it is sampled, and return what its visitors got."""
    seen = page_load.Pressure()
    with (
        tempfile.TemporaryDirectory() as uploads,
        page_of(run, {**os.environ, "GRADIO_TEMP_DIR": uploads}) as (address, process),
        ThreadPoolExecutor(clients) as pool,
    ):
        end = time.perf_counter() + seconds
        visits = [pool.submit(visit, address, end, data / "written.csv", seen) for _ in range(clients)]
        follow(process)
        visitors = sum(each.result() for each in visits)
        files = sum(file.is_file() for file in Path(uploads).rglob("*"))
    return {
        "visitors": visitors,
        "answers": len(seen.waited),
        "turned_away": seen.turned_away,
        "errors": seen.errors.total(),
        "which": dict(seen.errors),
        "files_of_visitors": files,
    }


def train(run: Path, data: Path, output: Path, seconds: float, follow: Callable[[int], None]) -> dict:
    """Train while the process is sampled, and return its exit status and the last line of its log."""
    output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "recipes.benchmarks.endurance_training", run, data, output, str(seconds)]
    with (output / "training.log").open("w+") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=log, stderr=log)
        follow(process.pid)
        status = process.wait()
        log.seek(0)
        return {"errors": status, "last_words": log.read().splitlines()[-1:]}


def measure(arms: dict[str, Callable], seconds: float, every: float, folder: Path) -> dict[str, dict]:
    """Run the arms at the same time, and return the samples and the result of each; samples are also written at once."""
    found: dict[str, dict] = {}

    def one(name: str) -> None:
        with (folder / f"{name}.jsonl").open("w", buffering=1) as lines:

            def follow(process: int) -> None:
                def write(sample: Sample) -> None:
                    lines.write(json.dumps(asdict(sample)) + "\n")

                found[name] = {"samples": watch(process, seconds=seconds, every=every, each=write)}

            did = arms[name](follow)
        found[name]["did"] = did

    with ThreadPoolExecutor(len(arms)) as pool:
        list(pool.map(one, arms))  # raises the errors of the arms
    return found


def table(grown: dict[str, dict[str, Growth]]) -> Table:
    """Return a table with a row for each arm and quantity."""
    shown = Table("", "held", "start", "end", "most", "gained per hour", "95 % interval", "bound", "")
    for arm, quantities in grown.items():
        for name, seen in quantities.items():
            values = [f"{value:,.1f}" for value in (seen.start, seen.end, seen.most)]
            interval = f"{seen.low:+,.1f} to {seen.high:+,.1f}"
            shown.add_row(
                arm, UNITS[name], *values, f"{seen.per_hour:+,.1f}", interval, f"{seen.bound:g}", seen.verdict
            )
    return shown


def draw(found: dict[str, dict], file: Path) -> None:
    """Draw a small chart over time for each arm and quantity; the fitted half is shaded."""
    figure, axes = plt.subplots(len(QUANTITIES), len(found), figsize=(5 * len(found), 6), sharex="col", squeeze=False)
    for column, (arm, what) in enumerate(found.items()):
        minutes = [sample.seconds / 60 for sample in what["samples"]]
        for row, name in enumerate(QUANTITIES):
            place = axes[row][column]
            place.plot(minutes, [getattr(sample, name) for sample in what["samples"]], linewidth=1)
            place.axvspan(minutes[len(minutes) // 2], minutes[-1], alpha=0.1)
            place.set_ylabel(UNITS[name])
            place.set_ylim(bottom=0)
        axes[0][column].set_title(arm)
        axes[-1][column].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(
    minutes: Annotated[float, typer.Option(help="Duration in minutes.")] = 60.0,
    every: Annotated[float, typer.Option(help="Seconds between two samples.")] = 5.0,
    clients: Annotated[int, typer.Option(help="Visitors of the page at the same time.")] = 4,
    arm: Annotated[list[str] | None, typer.Option(help="training or serving. Default: both.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/endurance"),
) -> None:
    """Run both, and write endurance.json and endurance.png; exit with status 1 if something grows or fails."""
    output.mkdir(parents=True, exist_ok=True)
    run, data = make_run(output)
    seconds, load = 60 * minutes, os.getloadavg()[0]
    arms: dict[str, Callable] = {
        "training": lambda follow: train(run, data, output / "training", seconds, follow),
        "serving": lambda follow: serve(run, data, seconds, clients, follow),
    }
    if unknown := set(arm or ()) - arms.keys():
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; known: {', '.join(arms)}", param_hint="--arm")
    found = measure({name: arms[name] for name in arm or arms}, seconds, every, output)
    grown = {name: growth(what["samples"]) for name, what in found.items()}
    machine = f"{processor_name()}, {os.cpu_count()} cores, load {load:.1f} before the start, {minutes:g} minutes"
    written = {
        name: {
            "did": what["did"],
            "growth": {quantity: {**asdict(seen), "verdict": seen.verdict} for quantity, seen in grown[name].items()},
            "samples": [asdict(sample) for sample in what["samples"]],
        }
        for name, what in found.items()
    }
    (output / "endurance.json").write_text(json.dumps({"machine": machine, **written}, indent=1), encoding="utf-8")
    draw(found, output / "endurance.png")
    console = Console(width=140)
    console.print(table(grown))
    for name, what in found.items():
        console.print(f"{name}: {what['did']}", highlight=False)
    console.print(machine, highlight=False)
    failed = any(what["did"]["errors"] for what in found.values())
    if failed or any(seen.verdict == "GROWS" for quantities in grown.values() for seen in quantities.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
