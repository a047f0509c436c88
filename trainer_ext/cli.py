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
        list[str],
        typer.Argument(
            help="A run (its two models and their exports), a model by folder or Hub id, an .onnx or .xml file.",
            show_default=False,
        ),
    ],
    batch_size: Annotated[list[int], typer.Option(help="Texts per call; may be repeated.")] = [1, 32],  # noqa: B006
    sequence_length: Annotated[
        list[int] | None,
        typer.Option(help="Tokens per text; may be repeated. Default: 64, or the most that all models read."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="Read the texts of this file instead: one per line, or a column of a .csv file."),
    ] = None,
    text_column: Annotated[str, typer.Option(help="That column.")] = "text",
    precision: Annotated[
        list[str], typer.Option(help="What PyTorch computes in; may be repeated: fp32, bf16, on CUDA fp16.")
    ] = ["fp32"],  # noqa: B006
    device: Annotated[str, typer.Option(help="cpu or cuda; exported files run on cpu alone.")] = "cpu",
    repeats: Annotated[int, typer.Option(help="Timed calls of each participant, at least 3.")] = 30,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads of every runtime; default: what torch takes.")
    ] = None,
    memory: Annotated[
        bool, typer.Option(help="Measure peak memory too, in a new process for each participant.")
    ] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every number to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the times in this .png or .svg file.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Put the times into the run's compression.json.")] = False,
    debug: Debug = False,
) -> None:
    """Time models and exported files side by side.

    One call of each in turn, so that all meet the same machine, after one that is not counted. The first is 1.00x: of a
    run its baseline, in PyTorch and fp32. Leave the machine alone meanwhile. For example

        trainer-ext benchmark runs/small --batch-size 1 --plot times.png

        trainer-ext benchmark runs/small --texts data/test.csv --threads 2

    With --texts each model reads the same texts by its own tokenizer, a batch padded to its longest; tokenising is not
    timed. Two --batch-size and two --sequence-length make four tables.
    """
    _quiet()
    from .benchmark import benchmark as run_benchmark
    from .benchmark_files import check_files, write_files
    from .benchmark_tables import tables

    files = {"json": json_file, "plot": plot, "run": Path(paths[0]) if save else None}
    check_files(paths, texts=texts, **files)
    results = run_benchmark(
        paths,
        shapes=[(size, length) for length in sequence_length or [None] for size in batch_size],
        texts=texts,
        text_column=text_column,
        precisions=precision,
        device=device,
        repeats=repeats,
        threads=threads,
        memory=memory,
        command=shlex.join(["trainer-ext", "benchmark", *_without_paths(sys.argv[2:])]),
        console=err,
    )
    write_files(results, **files)
    out.print(tables(results))


@app.command()
def export(
    path: Annotated[
        Path,
        typer.Argument(
            help="A finished run, its baseline/ or compressed/, or the folder of a model.", show_default=False
        ),
    ],
    format: Annotated[  # noqa: A002
        list[str], typer.Option(help="onnx, onnx-int8, openvino or openvino-int8; may be repeated.")
    ] = ["onnx"],  # noqa: B006
    data_dir: Annotated[
        str | None, typer.Option("--data_dir", help="Where the data of the run lies now; default: where it lay.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file of one text per line to quantise with; default: train texts of the run."),
    ] = None,
    calibration_rows: Annotated[int, typer.Option(help="Texts to quantise with, at most.")] = 300,
    max_drop: Annotated[
        float, typer.Option(help="How far the main metric of an int8 file may fall: 0.01 is one point.")
    ] = 0.01,
    force: Annotated[bool, typer.Option("--force", help="Keep an int8 file that falls further.")] = False,
    debug: Debug = False,
) -> None:
    """Write the model as files that run without torch.

    Each file is compared with the model before it is kept: fp32 files must give the same logits, int8 files answers as
    good on the test texts. They lie in onnx/ and openvino/ below the model, with a tokenizer and a script that needs
    neither torch nor transformers.
    """
    _quiet()
    from .export import export as run_export
    from .export_check import ExportRefused
    from .export_table import table

    try:
        rows = run_export(
            path,
            format,
            data_dir=data_dir,
            calibration=calibration,
            calibration_rows=calibration_rows,
            max_drop=max_drop,
            force=force,
            console=err,
        )
    except ExportRefused as error:
        _fail(error, 1)
    out.print(table(path, rows))


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
    _quiet()
    from .run_energy import measure_run
    from .tables import energy_table

    out.print(energy_table(measure_run(run, country=country, seconds=seconds, console=err)))


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
