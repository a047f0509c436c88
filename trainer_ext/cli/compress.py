"""Commands on runs: compress makes one, check proves it, energy measures its predictions."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..errors import InputError
from ..hub import sanitize
from ..utils.logging import quiet
from .app import Debug, app, err, fail, out


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def compress(
    context: typer.Context,
    recipe: Annotated[
        Path | None, typer.Argument(help="A YAML file of `field: value` lines.", show_default=False)
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="A name under `scales` in the recipe: its fields win over the others there.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in output_dir.")] = False,
    fields: Annotated[bool, typer.Option("--fields", help="List every field of a recipe, and leave.")] = False,
    debug: Debug = False,
) -> None:
    """Make a classifier smaller, check it, measure it.

    Baseline (trained or taken), pruning with distillation, equality check, quality and latency.

    Every field of the recipe can be given as --field value and wins over the file, for example

        trainer-ext compress recipe.yaml --prune_sparsity 0.75 --output_dir runs/small

    The output directory then holds baseline/, compressed/, compression.json and the proof that nothing changed.
    """
    if fields:
        _print_fields()
        return
    if recipe is None:
        raise InputError("Name a recipe: trainer-ext compress RECIPE.yaml [--field value ...]; see --help.")
    from ..pipeline.recipe import read_recipe

    quiet()
    read = read_recipe(recipe, context.args, scale)
    from ..errors import CheckFailed
    from ..pipeline.compress import compress as run_recipe
    from ..report.tables import summary

    words = [*(("--scale", scale) if scale else ()), *sanitize.command(context.args)]
    command = shlex.join(["trainer-ext", "compress", recipe.name, *words])
    try:
        report, run = run_recipe(read, resume=resume, command=command, console=err)
    except CheckFailed as error:
        fail(error, 1)
    out.print(summary(report))
    out.print(Text(f"{run.root}: baseline/, compressed/, compression.json"))


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A run, or the folder of one model.", show_default=False)],
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run a code file beside the weights that is not ours.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Prove that shrinking and saving changed nothing.

    Masked, shrunk and reloaded model must give the same logits; the last is opened in a fresh process without this
    package.
    """
    quiet()
    from ..pruning.verify import check as find_links

    with err.status("comparing logits"):
        links = find_links(path, trust_remote_code=trust_remote_code)
    table = Table(title=Text(f"{path}: largest difference of logits"), title_justify="left")
    for heading in ("", "difference", "allowed", "holds"):
        table.add_column(heading, justify="right" if heading else "left")
    for link in links:
        table.add_row(Text(link.name), f"{link.difference:.1e}", f"{link.allowed:.1e}", "yes" if link.holds else "NO")
    out.print(table)
    if not all(link.holds for link in links):
        raise typer.Exit(1)


@app.command()
def energy(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.", show_default=False)],
    country: Annotated[
        str | None, typer.Option(help="Where this machine stands, as ISO 3166 alpha-3 (IND), for grams of CO2.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of predictions per model, at least 10.")] = 60.0,
    debug: Debug = False,
) -> None:
    """Measure what predictions of a run's two models draw.

    They predict in turn on this machine; what was found goes into the run's compression.json.
    """
    quiet()
    from ..pipeline.measure_run import measure_run
    from ..report.tables import energy_table

    out.print(energy_table(measure_run(run, country=country, seconds=seconds, console=err)))


def _print_fields() -> None:
    from ..pipeline.recipe import recipe_fields

    table = Table(title=Text("Fields of a recipe"), title_justify="left")
    for heading in ("field", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, field in recipe_fields().items():
        default = field.default if field.default is not dataclasses.MISSING else None
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        help_text = " ".join(str(field.metadata.get("help", "see transformers.TrainingArguments")).split())
        table.add_row(Text(name), Text(str(default)), Text(help_text))
    out.print(table)
