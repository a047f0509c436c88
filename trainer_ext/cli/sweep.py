"""Command: sweep runs what a sweep file varies, or looks for the smallest, fastest or best model by itself."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ..errors import InputError
from ..hub import sanitize
from ..utils.logging import quiet
from .app import Debug, app, err, out


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sweep(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="A sweep file, or with one of the three goals a recipe.", show_default=False)
    ],
    scale: Annotated[str | None, typer.Option(help="One of the file's scales, such as small.")] = None,
    workers: Annotated[
        int, typer.Option(help="Runs at once; the same command, started again elsewhere, joins in too.")
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(help="Optuna's storage as the URL of a database; default: a file in output_dir."),
    ] = None,
    smallest_within: Annotated[
        float | None,
        typer.Option(
            help="Search the smallest model on disk that loses at most POINTS, hundredths of the main metric, on rows held out "
            "of the train texts.",
            metavar="POINTS",
        ),
    ] = None,
    fastest_within: Annotated[
        float | None,
        typer.Option(
            help="Search the model with the largest measured speed-up that loses at most POINTS on those rows.",
            metavar="POINTS",
        ),
    ] = None,
    best_at: Annotated[
        float | None,
        typer.Option(
            help="Search the model that loses least among those measured at SPEEDUP times the baseline's speed in PyTorch.",
            metavar="SPEEDUP",
        ),
    ] = None,
    max_runs: Annotated[int, typer.Option(help="Runs that a search may take, at most.")] = 12,
    sure: Annotated[
        bool, typer.Option("--sure", help="Accept only what the 95 % interval shows to be within POINTS.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train and compare many compressions of one model.

    The baseline is trained once, a teacher answers once, and at the end all models are timed in one go. An interrupted
    sweep continues with the same command; runs that are finished are not repeated. Out come sweep.csv, sweep.md,
    sweep.json, pareto.png, pareto.svg and best/. For example

        trainer-ext sweep recipes/paper_grid.yaml --scale small --data_dir DATA --workers 2

        trainer-ext sweep recipes/trec6_minilm.yaml --smallest-within 0.5 --data_dir DATA --model_name_or_path MODEL

    A sweep file names a recipe as `base`, and `axes` (a grid) or `ranges` and `trials` (a search by Optuna); every field
    of the recipe can be given as --field value. A search for a goal takes a recipe, varies method, sparsity, depth,
    vocabulary and int8, judges by rows held out of the train texts, and says why it stopped.
    """
    quiet()
    goals = {"smallest": smallest_within, "fastest": fastest_within, "best": best_at}
    given = {name: value for name, value in goals.items() if value is not None}
    if len(given) > 1:
        raise InputError("--smallest-within, --fastest-within and --best-at are three searches; give one of them.")
    if given and workers != 1:
        raise InputError("--workers: a search decides by each result what to run next; leave it out.")
    if sure and not given:
        raise InputError("--sure is about --smallest-within and --fastest-within; give one of them.")
    from ..sweep.config import is_sweep_file, read_sweep_file
    from ..sweep.tables import summary

    shown = [file.name if word == str(file) else word for word in sys.argv[2:]]
    words = shlex.join(["trainer-ext", "sweep", *sanitize.command(shown)])
    if given:
        from ..sweep.search.runner import search

        if is_sweep_file(file):
            raise InputError(f"{file.name} is a sweep file; a search for a goal takes a recipe, such as its base.")
        name, value = next(iter(given.items()))
        results = [
            search(
                file,
                name,
                value,
                sure=sure,
                most_runs=max_runs,
                words=context.args,
                scale=scale,
                storage=storage,
                command=words,
                console=err,
            )
        ]
    else:
        from ..sweep.runner import sweep as run_sweep

        if not is_sweep_file(file):
            raise InputError(
                f"{file.name} is a recipe; give a sweep file (with base and axes), or a goal such as --smallest-within."
            )
        options = {"words": context.args, "scale": scale, "workers": workers, "storage": storage}
        results = run_sweep(read_sweep_file(file), command=words, console=err, **options)
    for folder, result in results:
        out.print(summary(result))
        out.print(Text(f"{folder}: sweep.csv, sweep.md, sweep.json, pareto.png, pareto.svg, best/"))
    if any(result.failed for _, result in results):
        raise typer.Exit(1)
