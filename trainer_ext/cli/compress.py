"""Commands on runs: compress makes one, check verifies it, energy measures its predictions, demo shows it."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..errors import CheckFailed, InputError
from ..hub.space import space_folder
from ..utils.imports import quiet
from .app import Debug, app, command_line, err, fail, out
from .outcome import outcome
from .positional import fields_for, is_recipe, refuse_data_first
from .tools import run_exports, time_exports

if TYPE_CHECKING:
    from ..tasks.evaluate import Answers


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def compress(
    context: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A YAML file of `field: value` lines; or a fine-tuned model (folder or Hub id) and its data: a .csv, .tsv or "
            ".jsonl file with labels, or a .txt file with a text per line.",
            metavar="[RECIPE | MODEL DATA]",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="A name under `scales` in the recipe, whose fields override the recipe.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in output_dir.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Build prune_speedup on times that other programs disturbed.")
    ] = False,
    fields: Annotated[bool, typer.Option("--fields", help="List every field of a recipe and exit.")] = False,
    debug: Debug = False,
) -> None:
    """Make a classifier smaller, check it and measure it.

    A fine-tuned model takes minutes, and no training, with a table of labelled texts:

        trainer-ext compress MODEL data.csv

    Half of the encoder is removed, and a fifth of the rows is kept to test both models on. The columns are guessed from
    their names. Without labels, a file of texts such as the model will read is enough, one per line; the report then says
    how often both models give the same answer:

        trainer-ext compress MODEL texts.txt --prune_speedup 2

    A run trains the baseline (or takes a given model), prunes it with distillation, checks that the small model computes
    the same as the pruned one, and measures quality and latency. A recipe says how:

        trainer-ext compress recipe.yaml --prune_sparsity 0.75 --output_dir runs/small

    Every field of a recipe can be given as --field value, which overrides the file. Those that are given most:

        \b
        --prune_sparsity 0.75               how much of the encoder goes
        --prune_speedup 2                   instead, how much faster
        --num_train_epochs 2                0 trains nothing
        --baseline_epochs 3                 of a base model without classes
        --text_column, --label_column NAME  if their names do not tell
        --test_file FILE, --test_share 0.2  what both are tested on
        --export_formats openvino-int8      a file without torch
        --vocab_size auto                   of a multilingual model
        --output_dir FOLDER                 where everything goes

    All of them: --fields. A run needs no file:

        trainer-ext compress --model_name_or_path MODEL --texts texts.txt --prune_method obs --prune_speedup 2 --num_train_epochs 0

    The output directory then holds baseline/, compressed/ and all numbers in compression.json.
    """
    if fields:
        _print_fields()
        return
    words = [*([] if recipe is None else [recipe]), *context.args]
    count = next((number for number, word in enumerate(words) if word.startswith("--")), len(words))
    names, words = words[:count], words[count:]
    if not names and not words:
        raise InputError(
            "Name a model and its data: trainer-ext compress MODEL DATA.csv; or a recipe: trainer-ext compress RECIPE.yaml "
            "[--field value ...]; see --help."
        )
    quiet()
    from ..pipeline.recipe import read_recipe

    recipe, given = _from_names(names, words)
    if recipe is None and scale is not None:
        raise InputError(f"--scale {scale} names a part of a recipe; name the recipe too, or leave it out.")
    read = read_recipe(recipe, [*given, *words], scale)
    from ..pipeline.compress import compress as run_recipe
    from ..pipeline.text_length import as_started
    from ..report import load
    from ..report.schema import EXPORT_RUNTIMES
    from ..report.tables import summary

    formats = read.model.export_formats
    if formats:
        from ..export.formats import usable_formats

        usable_formats(formats, "export_formats")  # before the hours

    shown = names if recipe is None else [Path(recipe).name]
    command = command_line("compress", [*shown, *(("--scale", scale) if scale else ()), *words])
    answers: Answers = {}
    try:
        report, run = run_recipe(read, resume=resume, command=command, force=force, console=err, answers=answers)
    except CheckFailed as error:
        fail(error, 1)
    out.print(summary(report))
    if missing := [name for name in formats if name not in {row.format for row in report.exports}]:
        run_exports(run.root, missing, answers=answers)
        report = load(run.root)
    timed = {(row.runtime, row.precision) for row in report.latency}
    if any(EXPORT_RUNTIMES[name] not in timed for name in formats):
        time_exports(run.root, as_started(read, run).model)
        report = load(run.root)
    out.print(Text(f"{run.root}: baseline/, compressed/, compression.json"))
    for sentence in outcome(report, run.root):
        out.print(Text(sentence), soft_wrap=True)  # a command that is broken over lines cannot be copied


def _from_names(names: list[str], words: list[str]) -> tuple[str | None, list[str]]:
    """Return the recipe of the words before the first option; or the fields for MODEL and DATA, and say what is assumed."""
    from ..pipeline.recipe import recipe_fields
    from ..pipeline.recipe_file import read_words

    if len(names) > 2:
        raise InputError(f"{' '.join(names)}: too many names; give one recipe, or MODEL and DATA, then --field value.")
    if not names:
        return None, []
    refuse_data_first(names)
    if is_recipe(names[0]):
        if names[1:]:
            raise InputError(f"{names[1]!r} is not a field; write --field value.")
        return names[0], []
    given = read_words(words, recipe_fields())
    if not names[1:] and not {"data_dir", "texts"} & given.keys():
        raise InputError(
            f"{names[0]} is no recipe, which is a .yaml file; if it is a model, name its data too: trainer-ext compress "
            f"{shlex.quote(names[0])} DATA.csv (or TEXTS.txt)."
        )
    fields, lines = fields_for(names[0], names[1] if names[1:] else None, given)
    for line in lines:
        err.print(Text(line))
    return None, fields


def _print_fields() -> None:
    from ..pipeline.recipe import meaning_of, recipe_fields

    table = Table(title=Text("Fields of a recipe"), title_justify="left")
    for heading in ("field", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, field in recipe_fields().items():
        default = field.default if field.default is not dataclasses.MISSING else None
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        table.add_row(Text(name), Text(str(default)), Text(meaning_of(field)))
    out.print(table)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A run, or the folder of one model.", show_default=False)],
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the model's own code file, even if it is not ours.")
    ] = False,
    transformers: Annotated[
        str | None,
        typer.Option(help="Load the model with this release of transformers too: 4.51 or newer, such as 4.57.6."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Check the small model of a run again.

    The masked, the shrunk and the reloaded model must give the same logits. The last one is loaded in a new process
    without this package. For example

        trainer-ext check runs/small

        trainer-ext check runs/small --transformers 4.57.6

    With --transformers, the first call installs that release in an environment of its own, which is kept in
    ~/.cache/trainer_ext and takes torch from this one.
    """
    quiet()
    from ..pruning.verify import check as find_links

    with err.status("comparing logits") as status:
        links = find_links(
            path,
            trust_remote_code=trust_remote_code,
            transformers=transformers,
            say=lambda step: status.update(Text(step)),
        )
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
        str | None, typer.Option(help="Country of this machine as ISO 3166 alpha-3 (IND), to compute grams of CO2.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of predictions per model, at least 10.")] = 60.0,
    debug: Debug = False,
) -> None:
    """Measure the energy of the predictions of a run.

    Both models take turns on this machine, and the numbers are stored in the run's compression.json. For example

        trainer-ext energy runs/small --country IND
    """
    quiet()
    from ..pipeline.measure_run import measure_run
    from ..report.tables import energy_table

    out.print(energy_table(measure_run(run, country=country, seconds=seconds, console=err)))


@app.command()
def demo(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A finished run; default: that of the quickstart, which is made first if it is missing.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the page; default: 7860, or the next free one.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Serve a page that compares both models of a run.

    The page is reachable from this machine only, sends nothing elsewhere, and stops with Ctrl-C. For example

        trainer-ext demo runs/small --port 8000
    """
    variables = os.environ if port is None else {**os.environ, "GRADIO_SERVER_PORT": str(port)}
    words = [sys.executable, str(space_folder() / "app.py"), *([] if run is None else [str(run)])]
    os.execve(words[0], words, variables)  # the page replaces this process, so stopping it stops the page
