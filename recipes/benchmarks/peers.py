"""Compare our models with other ways to make a model small, from one baseline on one machine in one run.

The peers are nn_pruning's hybrid, block movement pruning, dropped layers, magnitude, masks alone, int8 alone, Torch-Pruning
and a smaller BERT trained as in TextBrewer. All have the same baseline, teacher, epochs, batch size, learning rate and seed.
A finished arm is not trained again. At the end all models are timed in turns, in PyTorch fp32 and OpenVINO int8, and the
frontiers are compared at the latency of each of their points. Two rivals that are no transformers stand in a table of their
own: a linear classifier, and averaged token vectors.

Target: our frontier is on or above that of every peer. Outcomes are in recipes/benchmarks/README.md.

    python recipes/tools/prepare.py trec6 SOURCE DATA
    python -m recipes.benchmarks.peers DATA MODEL --output runs/peers
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes.benchmarks.peers_arms import ARMS, BASELINE
from recipes.benchmarks.peers_plot import plot
from recipes.benchmarks.peers_rivals import make_rivals, time_from_texts
from recipes.benchmarks.peers_table import details, summary
from recipes.benchmarks.peers_training import INT8, TORCH, judge, keep, open_setting, train_arm, train_baseline
from trainer_ext.benchmark.runner import benchmark
from trainer_ext.benchmark.tables import machine
from trainer_ext.data.records import listed
from trainer_ext.errors import InputError
from trainer_ext.hub import sanitize
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.sweep.config import recipe_scales
from trainer_ext.utils.files import write_json, write_text

HERE = Path(__file__).parent


def main(
    data: Annotated[Path, typer.Argument(help="Folder with train.csv and test.csv, columns text and label.")],
    model: Annotated[str, typer.Argument(help="Folder of a BERT to fine-tune.")],
    output: Annotated[Path, typer.Option(help="Folder for models, results, table and plot.")],
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated. Default: all.")] = None,
    seed: Annotated[
        list[int], typer.Option(help="Seed of the arms; may be repeated. The first is also that of the baseline.")
    ] = [17],  # noqa: B006
    recipe: Annotated[Path, typer.Option(help="Fields that all arms share.")] = HERE.parent / "trec6_minilm.yaml",
    scale: Annotated[str, typer.Option(help="A scale of that recipe, if it has one of that name.")] = "small",
    epochs: Annotated[float | None, typer.Option(help="Epochs of all arms; default: the recipe's.")] = None,
    training: Annotated[bool, typer.Option(help="Train missing arms; else leave them out.")] = True,
    timing: Annotated[bool, typer.Option(help="Time all models at the end and compare.")] = True,
    batch: Annotated[list[str], typer.Option(help="Texts x tokens; may be repeated.")] = ["1x32", "32x32"],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="Timed calls of each.")] = 30,
    threads: Annotated[int | None, typer.Option(help="Processor threads while timing; default: torch's.")] = None,
) -> None:
    """Train the missing arms, time all models, and print the tables."""
    console = Console(stderr=True)
    names = list(dict.fromkeys(arm or ARMS))
    if unknown := [name for name in names if name not in ARMS]:
        raise InputError(f"--arm {unknown[0]}: it must be one of {listed(ARMS)}.")
    scaled = scale if scale in recipe_scales(recipe) else None
    for number in seed:
        fields = {"data_dir": data, "model_name_or_path": model, "output_dir": output / "trainer", "seed": number}
        fields |= {} if epochs is None else {"num_train_epochs": epochs}
        asked = read_recipe(
            recipe, [word for name, value in fields.items() for word in (f"--{name}", str(value))], scaled
        )
        if training:
            train(asked, names, output, first=number == seed[0], console=console)
    if timing:
        shapes = [tuple(map(int, shape.split("x"))) for shape in batch]
        record = {"command": shlex.join(["python", "-m", "recipes.benchmarks.peers", *sanitize.command(sys.argv[1:])])}
        folders = [output / BASELINE, *(output / f"{name}@{number}" for name in names for number in seed)]
        finished = [folder for folder in folders if (folder / "result.json").exists()]
        if BASELINE not in {folder.name for folder in finished}:
            raise InputError(f"There is no finished baseline in {output}; run without --no-training.")
        record["epochs"] = asked.training.num_train_epochs
        record |= measure(finished, shapes, repeats=repeats, threads=threads, console=console)
        setting = open_setting(asked, output / BASELINE)
        record["rivals"] = make_rivals(setting, output)
        first = [folder for folder in finished if folder.name in {BASELINE, *(f"{name}@{seed[0]}" for name in names)}]
        record["from_texts"] = {folder.name.split("@")[0]: time_from_texts(setting, folder) for folder in first}
        write_json(output / "peers.json", record)
        write_text(output / "peers.md", f"{summary(record)}\n{details(record)}")
        plot(record, [output / "peers.png", output / "peers.svg"])
        print(f"{summary(record)}\n{details(record)}")


def measure(folders: list[Path], shapes: list[tuple[int, int]], *, console: Console, **options) -> dict:
    """Time all models in turns.

    Args:
        folders: The folders of the models, the baseline first.
        shapes: Texts and tokens per call.
        console: Where progress is shown.
        **options: Passed to `benchmark`.

    Returns:
        The content of the result file, without the command.
    """
    results = [json.loads((folder / "result.json").read_text(encoding="utf-8")) for folder in folders]
    timed = benchmark([str(folder) for folder in folders], shapes=shapes, memory=False, console=console, **options)
    known = {str(folder): result for folder, result in zip(folders, results, strict=True)}
    times = []
    for row in sorted(timed.rows, key=lambda row: row.entry.runtime != "torch"):  # PyTorch first
        result = known[row.entry.source]
        times.append(
            {
                "arm": result["arm"],
                "seed": result["seed"],
                "runtime": TORCH if row.entry.runtime == "torch" else INT8,
                "batch_size": row.batch_size,
                "sequence_length": row.sequence_length,
                "median_ms": row.median_ms,
                "p95_ms": row.p95_ms,
                "runs": row.runs,
                "ideal_speedup": row.ideal_speedup,
            }
        )
    return {
        "created": timed.created,
        "versions": timed.versions,
        "processor": timed.processor,
        "threads": timed.threads,
        "load": timed.load,
        "machine": machine(timed),
        "results": results,
        "times": times,
    }


def train(recipe, names: list[str], output: Path, *, first: bool, console: Console) -> None:
    """Train and evaluate the baseline and some arms with the seed of the recipe, unless they have a result.

    Args:
        recipe: The fields of the training.
        names: The arms.
        output: Folder of models and results.
        first: Whether this is the first seed, which trains the baseline too.
        console: Where progress is shown.
    """
    folder, number = output / BASELINE, recipe.training.seed
    cost = train_baseline(recipe, folder) if first else {}
    setting = open_setting(recipe, folder)
    file = folder / "result.json"
    if not file.exists():
        keep(
            file,
            {"arm": BASELINE, "method": BASELINE, "seed": number, **cost, **judge(setting, folder, console=console)},
        )
    for name in names:
        folder = output / f"{name}@{number}"
        file = folder / "result.json"
        if file.exists():
            continue
        console.rule(f"{name}, seed {number}")
        cost = train_arm(setting, ARMS[name].run, folder)
        known = {"arm": name, "method": ARMS[name].method, "seed": number, "fields": ARMS[name].fields}
        found = judge(setting, folder, console=console)
        keep(file, known | cost | found)
        right = {runtime: f"{100 * line.count('1') / len(line):.1f}" for runtime, line in found["correct"].items()}
        console.print(f"{name}: {right}, {cost['seconds']:.0f} s, {found['parameters']:,} parameters")


if __name__ == "__main__":
    typer.run(main)
