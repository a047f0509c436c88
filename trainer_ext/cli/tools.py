"""Commands on models: export, benchmark, trim and import-nn-pruning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..errors import ExportRefused
from ..utils.imports import quiet
from .app import Debug, app, command_line, err, fail, out

if TYPE_CHECKING:
    from ..pipeline.recipe import ModelArguments

REPEATS = 30  # timed calls of each model


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
        str | None,
        typer.Option(
            "--data_dir", help="Folder of the run's data or texts; default: where they were during training."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file with one text per line, to quantise with; default: training texts of the run."),
    ] = None,
    calibration_rows: Annotated[int, typer.Option(help="Largest number of texts to quantise with.")] = 300,
    max_drop: Annotated[
        float, typer.Option(help="Largest loss of the main metric of an int8 file: 0.01 is one point.")
    ] = 0.01,
    force: Annotated[bool, typer.Option("--force", help="Keep an int8 file that loses more.")] = False,
    debug: Debug = False,
) -> None:
    """Export the model to files that run without torch.

    Each file is compared with the model before it is kept: an fp32 file must give the same logits, an int8 file may lose
    at most --max-drop on the test texts; without labels, nine of ten answers must stay the same. If plain int8 loses more, as
    few matrices as possible stay in fp32. The files are in onnx/ and openvino/ below the model, with a tokenizer and a script
    that needs neither torch nor transformers. For example

        trainer-ext export runs/small --format onnx --format openvino-int8
    """
    quiet()
    run_exports(
        path,
        format,
        data_dir=data_dir,
        calibration=calibration,
        calibration_rows=calibration_rows,
        max_drop=max_drop,
        force=force,
    )


def run_exports(path: Path, formats: list[str], **options: Any) -> None:
    """Export a model and print the table; a refused file ends the command with status 1.

    Args:
        path: a finished run, or the folder of a model.
        formats: names of formats.
        **options: of `export.formats.export`.
    """
    from ..export.formats import export as run_export, export_table

    try:
        rows = run_export(path, formats, console=err, **options)
    except ExportRefused as error:
        fail(error, 1)
    out.print(export_table(path, rows))


def time_exports(run: Path, options: ModelArguments) -> None:
    """Time a run with its exported files on the processor, print the table, and store the times in its report.

    Args:
        run: a finished run.
        options: give the shapes.
    """
    from ..benchmark.output import write_files
    from ..benchmark.runner import benchmark as run_benchmark
    from ..benchmark.tables import tables

    shapes = [(size, options.latency_sequence_length) for size in options.latency_batch_sizes]
    results = run_benchmark([str(run)], shapes=shapes, repeats=REPEATS, memory=False, console=err)
    write_files(results, json=None, plot=None, run=run)
    out.print(tables(results))


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
        typer.Option(
            help="Tokens per text; may be repeated. Default: 64, or the longest text that all models accept."
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Time the texts of this file instead: one per line, or a column of a .csv, .tsv or .jsonl file."
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="Name of the column of texts.")] = "text",
    precision: Annotated[
        list[str], typer.Option(help="Precision in PyTorch: fp32, bf16, on CUDA fp16; may be repeated.")
    ] = ["fp32"],  # noqa: B006
    device: Annotated[str, typer.Option(help="cpu or cuda; exported files run on cpu only.")] = "cpu",
    repeats: Annotated[int, typer.Option(help="Timed calls per model, at least 3.")] = REPEATS,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads of every runtime; default: that of torch.")
    ] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory too, in a new process per model.")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Plot the times to this .png or .svg file.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Store the times in the run's compression.json.")] = False,
    debug: Debug = False,
) -> None:
    """Time models and exported files side by side.

    The models take turns, five calls each, so that all meet the same conditions; the first calls are not counted.
    Speed-ups are relative to the first model: of a run, its baseline in PyTorch and fp32. Do not use the machine
    meanwhile. For example

        trainer-ext benchmark runs/small --batch-size 1 --plot times.png

        trainer-ext benchmark runs/small --texts data/test.csv --threads 2

    With --texts, each model reads the same texts with its own tokenizer, and a batch is padded to its longest text;
    tokenization is not timed. Two values of --batch-size and two of --sequence-length make four tables.
    """
    quiet()
    from ..benchmark.output import check_files, write_files
    from ..benchmark.runner import benchmark as run_benchmark
    from ..benchmark.tables import tables

    lengths: Sequence[int | None] = sequence_length or [None]
    files = {"json": json_file, "plot": plot, "run": Path(paths[0]) if save else None}
    check_files(paths, texts=texts, **files)
    results = run_benchmark(
        paths,
        shapes=[(size, length) for length in lengths for size in batch_size],
        texts=texts,
        text_column=text_column,
        precisions=precision,
        device=device,
        repeats=repeats,
        threads=threads,
        memory=memory,
        command=command_line("benchmark", sys.argv[2:]),
        console=err,
    )
    write_files(results, **files)
    out.print(tables(results))


@app.command()
def trim(
    model: Annotated[
        str, typer.Argument(help="A model with its tokenizer: a folder or a Hub id.", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="OUT")],
    size: Annotated[
        str,
        typer.Option(
            "--size",
            "--vocab_size",
            help="Number of tokens of the new vocabulary; or 'auto', the smallest with which at most 2 % of the held-out "
            "texts are tokenized differently.",
            show_default=False,
        ),
    ],
    corpus: Annotated[
        list[Path],
        typer.Option(help="Texts, one per line: a .txt or .txt.gz file or a folder of them; may be repeated."),
    ],
    held_out: Annotated[
        Path | None, typer.Option(help="Texts to measure with; default: every tenth text, held out of the corpus.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Cut the vocabulary of a model to what a corpus uses.

    Special tokens, single characters and the parts of larger tokens stay, then the most frequent tokens up to --size, then
    those that are most like them. For a multilingual model this removes most of the file, but makes it no faster. Texts
    whose tokens all stay must give the same logits as before; this is checked before anything is written. For example

        trainer-ext trim google/muril-base-cased muril-mr --size 20000 --corpus marathi.txt.gz
    """
    quiet()
    from ..vocabulary.checkpoint import trim_checkpoint, trimming_table
    from ..vocabulary.trim import read_size

    tokens = read_size(size, "--size")
    trimming = trim_checkpoint(model, target, size=tokens, corpus=corpus, held_out=held_out, console=err)
    out.print(trimming_table(trimming, f"{model} -> {target}"))
    if trimming.note:
        err.print(Text(trimming.note))


@app.command()
def import_nn_pruning(
    source: Annotated[
        str, typer.Argument(help="A model made with nn_pruning: a folder or a Hub id.", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    debug: Debug = False,
) -> None:
    """Convert a model made with nn_pruning.

    transformers 5 cannot load such a model if heads were removed. Here the removed heads and neurons are cut out, and the
    compact model must give the logits of the full-size original before it is kept. For example

        trainer-ext import-nn-pruning madlag/bert-base-uncased-squad1.1-block-sparse-0.07-v1 compact-squad
    """
    quiet()
    from ..pruning.import_nn_pruning import import_nn_pruning as run_import

    with err.status("importing"):
        found = run_import(source, target)
    table = Table(title=Text(f"{source} -> {target}"), title_justify="left", show_header=False)
    before, after = found.parameters
    table.add_row("heads left, per layer", " ".join(str(len(ids)) for ids in found.heads))
    table.add_row("feed-forward width, per layer", " ".join(str(len(ids)) for ids in found.neurons))
    table.add_row("parameters", f"{before:,} -> {after:,} ({100 * (after / before - 1):+.1f} %)")
    table.add_row("largest difference of logits", f"{found.difference:.1e}")
    out.print(table)
