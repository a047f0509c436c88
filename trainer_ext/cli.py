"""The command line: thin commands over the library, one table each, exit status 0, 1 (check failed) or 2 (bad input)."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import InputError, one_line

# Typer would show its own tracebacks and wrap errors in boxes; ours are one line.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make a text classifier smaller and faster, prove that it still computes the same, and measure what it lost.",
)
out, err = Console(), Console(stderr=True, soft_wrap=True)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def compress(
    context: typer.Context,
    recipe: Annotated[
        Path | None, typer.Argument(help="A YAML file of `field: value` lines.", show_default=False)
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
    from .recipe import read_recipe

    _quiet()
    read = read_recipe(recipe, context.args)
    from .compress import compress as run_recipe
    from .run_report import CheckFailed
    from .tables import summary

    command = shlex.join(["trainer-ext", "compress", recipe.name, *_without_paths(context.args)])
    try:
        report, run = run_recipe(read, resume=resume, command=command, console=err)
    except CheckFailed as error:
        _fail(error, 1)
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
    _quiet()
    from .check import check as find_links

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
def benchmark(
    paths: Annotated[
        list[str], typer.Argument(help="A run (its two models), or models by folder or Hub id.", show_default=False)
    ],
    batch_size: Annotated[list[int], typer.Option(help="Texts per call; may be repeated.")] = [1, 32],  # noqa: B006
    sequence_length: Annotated[
        int | None, typer.Option(help="Tokens per text; default: 64, or the most that all models read.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of each model, at least 3.")] = 30,
    threads: Annotated[int | None, typer.Option(help="Processor threads; default: what torch takes.")] = None,
    debug: Debug = False,
) -> None:
    """Time models side by side.

    One call of each in turn, so that all meet the same machine. PyTorch only.
    """
    _quiet()
    from .benchmark import benchmark as run_benchmark
    from .benchmark import table

    results = run_benchmark(
        paths,
        batch_sizes=batch_size,
        sequence_length=sequence_length,
        repeats=repeats,
        threads=threads,
        console=err,
    )
    out.print(table(results))


@app.command()
def import_nn_pruning(
    source: Annotated[str, typer.Argument(help="A model that nn_pruning made: a folder or a Hub id.")],
    target: Annotated[Path, typer.Argument(help="The folder to write; must not exist, or be empty.")],
    debug: Debug = False,
) -> None:
    """Open a model that nn_pruning published, and write it as a compact model with the same answers.

    transformers 5 cannot open such a model once heads were removed. Dead heads and neurons are cut, and the result is
    compared with the full-size original before it is kept.
    """
    _quiet()
    from .import_nn_pruning import import_nn_pruning as run_import

    with err.status("importing"):
        found = run_import(source, target)
    table = Table(title=Text(f"{source} -> {target}"), title_justify="left", show_header=False)
    before, after = found.parameters
    table.add_row("heads left, per layer", " ".join(str(len(ids)) for ids in found.heads))
    table.add_row("feed-forward width, per layer", " ".join(str(len(ids)) for ids in found.neurons))
    table.add_row("parameters", f"{before:,} -> {after:,} ({100 * (after / before - 1):+.1f} %)")
    table.add_row("largest difference of logits", f"{found.difference:.1e}")
    out.print(table)


@app.command()
def trim(
    model: Annotated[
        str, typer.Argument(help="A model with its tokenizer: a folder or a Hub id.", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(help="The folder to write; must not exist, or be empty.", metavar="OUT")],
    size: Annotated[int, typer.Option(help="Tokens of the new vocabulary.", show_default=False)],
    corpus: Annotated[
        list[Path],
        typer.Option(help="Texts, one per line: a .txt or .txt.gz file or a folder of them; may be repeated."),
    ],
    held_out: Annotated[
        Path | None, typer.Option(help="Texts to measure by; default: every tenth of the corpus, held out of it.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Cut the vocabulary of a model to the pieces that a corpus uses.

    Special tokens, single characters and what is needed to reach a piece stay, then the most frequent pieces up to
    --size. For a multilingual model this is most of its file; it is no faster. Texts whose pieces all stay are
    answered as before, which is checked before anything is written. For example

        trainer-ext trim google/muril-base-cased muril-mr --size 20000 --corpus marathi.txt.gz
    """
    _quiet()
    from .trim import table
    from .trim import trim as run_trim

    trimming = run_trim(model, target, size=size, corpus=corpus, held_out=held_out, console=err)
    out.print(table(trimming, f"{model} -> {target}"))


def main() -> None:
    """Run a command; bad input becomes one line and exit status 2."""
    debug = "--debug" in sys.argv
    try:
        app()
    except InputError as error:
        if debug:
            raise
        _fail(error, 2)
    except KeyboardInterrupt:
        _fail("interrupted; continue with --resume", 130)
    except Exception as error:
        if debug:
            raise
        _fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _fail(error: object, status: int) -> None:
    err.print(Text(f"trainer-ext: {one_line(error, most=1000)}", style="red"))
    sys.exit(status)


def _quiet() -> None:
    """Leave progress and our own words on the screen: the libraries' notes are for their developers."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers.utils import logging

    logging.disable_progress_bar()  # of loading and writing files; training keeps its own


def _without_paths(words: list[str]) -> list[str]:
    """The command as it may be published: of a path of this machine only the last part."""
    return [
        Path(word).name if "/" in word and (word.startswith(("/", ".", "~")) or Path(word).exists()) else word
        for word in words
    ]


def _print_fields() -> None:
    import dataclasses

    from .recipe import recipe_fields

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


if __name__ == "__main__":
    main()
