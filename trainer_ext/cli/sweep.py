"""The command `sweep`: train what a sweep file varies, or search for the smallest, fastest or best model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..errors import InputError
from ..utils.imports import quiet
from .app import Debug, app, command_line, err, out

if TYPE_CHECKING:
    from ..sweep.search.goal import Kind


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sweep(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="A sweep file; for a search with a goal, a recipe.", show_default=False)
    ],
    scale: Annotated[str | None, typer.Option(help="One of the file's scales, such as small.")] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Only this one of the file's groups; may be repeated.", metavar="NAME")
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Number of runs at once. The same command, started elsewhere, joins in too.")
    ] = 1,
    storage: Annotated[
        str | None, typer.Option(help="URL of a database for Optuna; default: a file in output_dir.")
    ] = None,
    smallest_within: Annotated[
        float | None,
        typer.Option(
            help="Search for the smallest model on disk that loses at most POINTS (hundredths) of the main metric, on "
            "held-out training texts.",
            metavar="POINTS",
        ),
    ] = None,
    fastest_within: Annotated[
        float | None,
        typer.Option(
            help="Search for the model with the largest measured speed-up that loses at most POINTS on these texts.",
            metavar="POINTS",
        ),
    ] = None,
    best_at: Annotated[
        float | None,
        typer.Option(
            help="Search for the model that loses least, among those that are SPEEDUP times as fast as the baseline.",
            metavar="SPEEDUP",
        ),
    ] = None,
    max_runs: Annotated[int, typer.Option(help="Limit of the runs of a search.")] = 12,
    sure: Annotated[
        bool, typer.Option("--sure", help="Accept a model only if its whole 95 % interval is within POINTS.")
    ] = False,
    rivals: Annotated[
        bool,
        typer.Option(
            "--rivals",
            help="Compare the baseline with a linear classifier and with averaged token vectors: who only sorts texts by "
            "topic may need no transformer.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Accepted, as by compress; a sweep always continues where it was stopped.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train and compare many compressions of one model.

    A sweep file names a recipe as `base`, and either `axes` (a grid) or `ranges` and `trials` (a search by Optuna). For
    example

        trainer-ext sweep recipes/paper_grid.yaml --scale small --data_dir DATA --workers 2

    With a goal, give a recipe instead. The search varies method, sparsity, depth, vocabulary and int8, judges by training
    texts that were held out, and explains why it stopped. For example

        trainer-ext sweep recipes/trec6_minilm.yaml --smallest-within 0.5 --data_dir DATA --model_name_or_path MODEL

    The baseline is trained once, the teacher runs once per text, and all models are timed together at the end. Every
    field of the recipe can be given as --field value. After an interruption, the same command continues; finished runs
    are not repeated. The results are sweep.csv, sweep.md, sweep.json, pareto.png, pareto.svg and best/.
    """
    quiet()
    goals: dict[Kind, float | None] = {"smallest": smallest_within, "fastest": fastest_within, "best": best_at}
    given = [(kind, value) for kind, value in goals.items() if value is not None]
    if len(given) > 1:
        raise InputError("--smallest-within, --fastest-within and --best-at exclude each other; give one of them.")
    if given and workers != 1:
        raise InputError("--workers: a search needs the result of each run to choose the next one; leave it out.")
    if sure and not given:
        raise InputError("--sure needs --smallest-within or --fastest-within; give one of them.")
    if given and group:
        raise InputError(
            "--group chooses groups of a sweep file, and a search with a goal takes a recipe; leave it out."
        )
    from ..sweep.config import is_sweep_file, only_groups, read_sweep_file
    from ..sweep.tables import Summary

    shown = [file.name if word == str(file) else word for word in sys.argv[2:] if word != "--resume"]
    command = command_line("sweep", shown)
    if given:
        from ..sweep.search.runner import search

        if is_sweep_file(file):
            raise InputError(f"{file.name} is a sweep file; a search with a goal takes a recipe, such as its base.")
        kind, value = given[0]
        results = [
            search(
                file,
                kind,
                value,
                sure=sure,
                most_runs=max_runs,
                words=context.args,
                scale=scale,
                storage=storage,
                command=command,
                rivals=rivals,
                console=err,
            )
        ]
    else:
        from ..sweep.runner import sweep as run_sweep

        if not is_sweep_file(file):
            raise InputError(
                f"{file.name} is a recipe; give a sweep file (with base and axes), or a goal such as --smallest-within."
            )
        results = run_sweep(
            only_groups(read_sweep_file(file), group or ()),
            words=context.args,
            scale=scale,
            workers=workers,
            storage=storage,
            command=command,
            rivals=rivals,
            console=err,
        )
    for folder, result in results:
        out.print(Summary(result))
        out.print(Text(f"{folder}: sweep.csv, sweep.md, sweep.json, pareto.png, pareto.svg, best/"))
    if any(result.failed for _, result in results):
        raise typer.Exit(1)
