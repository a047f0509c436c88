"""Commands on models: export writes files, benchmark times them, trim and import-nn-pruning make models of others."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..hub import sanitize
from ..utils.logging import quiet
from .app import Debug, app, err, fail, out


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
    quiet()
    from ..errors import ExportRefused
    from ..export.formats import export as run_export
    from ..export.table import table

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
        fail(error, 1)
    out.print(table(path, rows))


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
        typer.Option(
            help="Read the texts of this file instead: one per line, or a column of a .csv, .tsv or .jsonl file."
        ),
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

    Five calls of each in turn, so that all meet the same machine, after some that are not counted, until the threads of
    the one before sleep. The first is 1.00x: of a run its baseline, in PyTorch and fp32. Leave the machine alone
    meanwhile. For example

        trainer-ext benchmark runs/small --batch-size 1 --plot times.png

        trainer-ext benchmark runs/small --texts data/test.csv --threads 2

    With --texts each model reads the same texts by its own tokenizer, a batch padded to its longest; tokenising is not
    timed. Two --batch-size and two --sequence-length make four tables.
    """
    quiet()
    from ..benchmark.output import check_files, write_files
    from ..benchmark.runner import benchmark as run_benchmark
    from ..benchmark.tables import tables

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
        command=shlex.join(["trainer-ext", "benchmark", *sanitize.command(sys.argv[2:])]),
        console=err,
    )
    write_files(results, **files)
    out.print(tables(results))


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
    quiet()
    from ..vocabulary.checkpoint import trim_checkpoint, trimming_table

    trimming = trim_checkpoint(model, target, size=size, corpus=corpus, held_out=held_out, console=err)
    out.print(trimming_table(trimming, f"{model} -> {target}"))


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
