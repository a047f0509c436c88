"""How much accuracy does `prune_method="obs"` cost, without a training and with a short one, over several seeds?

For each seed a baseline is fine-tuned by the recipe, then pruned to each sparsity with unlabelled training texts, and
saved. With `--epochs` the pruned models are also trained that long, with the baseline as teacher. All are judged on the
first test set, in PyTorch and in OpenVINO int8. A finished model is not made again.

Targets: 25 % of the encoder gone within noise of the baseline, 50 % within 3 points, in under five minutes, without a
training; with one, 50 % at the accuracy of the baseline and 75 % within a point. Outcomes are in
recipes/benchmarks/README.md, whose tables `make results` writes from the files in results/.

    python recipes/tools/prepare.py trec6 SOURCE DATA
    python -m recipes.benchmarks.one_shot DATA MODEL --output runs/one_shot_trec6
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from recipes.benchmarks.one_shot_tables import accuracies
from recipes.benchmarks.peers_training import (
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
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.sweep.config import recipe_scales
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
    made = accuracies(results)
    write_text(output / "one_shot.md", f"{made}\n")
    print(made)


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


if __name__ == "__main__":
    typer.run(main)
