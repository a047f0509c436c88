"""How much accuracy does `prune_method="obs"` cost, without a training and with a short one, over several seeds?

For each seed a baseline is fine-tuned by the recipe, then pruned to each sparsity with unlabelled training texts, and
saved. With `--epochs` the pruned models are also trained that long, with the baseline as teacher. All are judged on the
first test set, in PyTorch and in OpenVINO int8. A finished model is not made again.

Targets: 25 % of the encoder gone within noise of the baseline, 50 % within 3 points, in under five minutes, without a
training; with one, 50 % at the accuracy of the baseline and 75 % within a point. Outcomes are in
recipes/benchmarks/README.md.

    python recipes/tools/prepare.py trec6 SOURCE DATA
    python -m recipes.benchmarks.one_shot DATA MODEL --output runs/one_shot_trec6
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console

from recipes.benchmarks.peers_training import (
    INT8,
    TORCH,
    Setting,
    judge,
    keep,
    open_setting,
    taught,
    train_arm,
    train_baseline,
    untrained,
)
from trainer_ext.benchmark.latency import processor_name
from trainer_ext.hub import sanitize
from trainer_ext.hub.markdown import table
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.sweep.config import recipe_scales
from trainer_ext.tasks.intervals import bootstrap_interval
from trainer_ext.utils.files import write_json, write_text

HERE = Path(__file__).parent
RESULT = "result.json"


def main(
    data: Annotated[Path, typer.Argument(help="Folder with the files that the recipe names.")],
    model: Annotated[str, typer.Argument(help="Folder of the model to fine-tune.")],
    output: Annotated[Path, typer.Option(help="Folder for models, results and table.")],
    recipe: Annotated[Path, typer.Option(help="Fields of data and training.")] = HERE.parent / "trec6_minilm.yaml",
    scale: Annotated[str, typer.Option(help="A scale of that recipe, if it has one of that name.")] = "small",
    seed: Annotated[list[int], typer.Option(help="Seed of a baseline; may be repeated.")] = [17],  # noqa: B006
    sparsity: Annotated[list[float], typer.Option(help="Fraction of the encoder to remove; may be repeated.")] = [  # noqa: B006
        *(0.25, 0.4, 0.5, 0.6, 0.75, 0.85)
    ],
    epochs: Annotated[list[float], typer.Option(help="Epochs after pruning; may be repeated.")] = [0.0],  # noqa: B006
    training: Annotated[bool, typer.Option(help="Make missing models; else leave them out.")] = True,
) -> None:
    """Make the missing models, judge them, and print the table."""
    console = Console(stderr=True)
    scaled = scale if scale in recipe_scales(recipe) else None
    for number in seed if training else ():
        fields = {"data_dir": data, "model_name_or_path": model, "output_dir": output / "trainer", "seed": number}
        words = [word for name, value in fields.items() for word in (f"--{name}", str(value))]
        make(read_recipe(recipe, words, scaled), output / str(number), sparsity, epochs, console)
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(output.glob(f"*/*/{RESULT}"))]
    record = {
        "command": shlex.join(["python", "-m", "recipes.benchmarks.one_shot", *sanitize.command(sys.argv[1:])]),
        "processor": processor_name(),
        "torch": str(torch.__version__),
        "results": results,
    }
    write_json(output / "one_shot.json", record)
    write_text(output / "one_shot.md", summary(results))
    print(summary(results))


def make(recipe, folder: Path, sparsities: list[float], epochs: list[float], console: Console) -> None:
    """Train the baseline of a seed and make its pruned models, unless they have a result.

    Args:
        recipe: The fields of data and training, with the seed.
        folder: The folder of the seed.
        sparsities: Fractions of the encoder to remove.
        epochs: Lengths of the training after pruning.
        console: Where progress is shown.
    """
    baseline = folder / "baseline"
    cost = train_baseline(recipe, baseline)
    setting = open_setting(recipe, baseline)
    about = {"seed": recipe.training.seed}
    if not (baseline / RESULT).exists():
        keep(
            baseline / RESULT,
            {"sparsity": 0.0, "epochs": 0.0, **about, **cost, **judge(setting, baseline, console=console)},
        )
    for sparsity in sparsities:
        for length in epochs:
            target = folder / f"{sparsity:g}-{length:g}"
            if (target / RESULT).exists():
                continue
            console.print(f"seed {recipe.training.seed}: {sparsity:.0%} gone, {length:g} epochs")
            cost = train_arm(setting, lambda setting, s=sparsity, e=length: small_model(setting, s, e), target)
            found = judge(setting, target, console=console)
            keep(target / RESULT, {"sparsity": sparsity, "epochs": length, **about, **cost, **found})


def small_model(setting: Setting, sparsity: float, epochs: float):
    """Return the pruned baseline, trained further for some epochs.

    Args:
        setting: The baseline and the data.
        sparsity: Fraction of the encoder to remove.
        epochs: Length of the training after it.
    """
    if epochs:
        return taught(setting, setting.dense(), prune_method="obs", prune_sparsity=sparsity, num_train_epochs=epochs)
    return untrained(setting, sparsity=sparsity)


def summary(results: list[dict]) -> str:
    """Return a table: per sparsity and length, the accuracy lost in points with its interval over rows and seeds.

    Rows of the test set are drawn anew for the interval, each with its answers in all seeds, so it is paired.
    """
    dense = {one["seed"]: one for one in results if not one["sparsity"]}
    kinds = sorted({(one["sparsity"], one["epochs"]) for one in results if one["sparsity"]})
    rows = []
    for sparsity, epochs in kinds:
        found = [one for one in results if (one["sparsity"], one["epochs"]) == (sparsity, epochs)]
        cells = [f"{sparsity:.0%}", f"{epochs:g}", str(len(found))]
        for runtime in (TORCH, INT8):
            lost = np.mean([_right(one, runtime) - _right(dense[one["seed"]], TORCH) for one in found], axis=0)
            # One row more and one less: the interval has a width even if no answer changed.
            low, high = bootstrap_interval(np.mean, np.append(lost, [1.0, -1.0]))
            accuracy = 100 * np.mean([_right(one, runtime).mean() for one in found])
            cells.append(f"{accuracy:.1f}, {100 * lost.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
        cells += [
            f"{np.median([one['processor_seconds'] for one in found]):.0f} s",
            f"{found[0]['bytes'][INT8] / 1e6:.1f} MB",
        ]
        rows.append(cells)
    accuracies = [100 * _right(one, TORCH).mean() for one in dense.values()]
    first = next(iter(dense.values()))
    head = ["encoder gone", "epochs", "seeds", "torch fp32", "OpenVINO int8", "processor time", "int8 file"]
    title = (
        f"Baselines {', '.join(f'{value:.1f}' for value in accuracies)}, {first['bytes'][INT8] / 1e6:.1f} MB in int8; "
        f"{first['rows']:,} test rows; accuracy, and points lost with a 95 % interval."
    )
    return f"{title}\n\n{table(head, rows)}\n"


def _right(result: dict, runtime: str) -> np.ndarray:
    return np.array([letter == "1" for letter in result["correct"][runtime]], dtype=float)


if __name__ == "__main__":
    typer.run(main)
