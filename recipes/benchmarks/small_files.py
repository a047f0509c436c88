"""Measure the file size of a multilingual classifier after trimming, pruning and int8.

The shapes are those of MuRIL and XLM-R, with random weights and tokenizers of their size made from the text (see
multilingual_shapes.py). Each vocabulary is trimmed to one language by `trainer-ext trim`, half and a quarter of heads and
neurons are kept by `shrink`, and the model is written in int8 by `trainer-ext export`. Only the sizes are meaningful.
Targets: at most 58 MiB at half, 38 MiB at a quarter, from 906 MiB (MuRIL) and 1,061 MiB (XLM-R).
Outcomes are in recipes/benchmarks/README.md.

    python -m recipes.benchmarks.small_files CORPUS
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import logging

from recipes.benchmarks.multilingual_shapes import MURIL_OWN, XLMR_OWN, muril_like, xlmr_like
from recipes.benchmarks.serving import SHARES, cut
from trainer_ext.benchmark.size import weight_bytes
from trainer_ext.data.corpus import read_corpus
from trainer_ext.export.formats import export
from trainer_ext.utils.files import write_text
from trainer_ext.vocabulary.checkpoint import trim_checkpoint, trimming_table as trim_table

MIB = 2**20
TARGET_MIB = {"half": 58, "quarter": 38}
FORMATS = ("onnx-int8", "openvino-int8")
# How to make the tokenizer, the number of learned tokens, the architecture, and further fields of the config.
SHAPES = {
    "muril": (muril_like, MURIL_OWN, "bert", {}),
    "xlm-r": (xlmr_like, XLMR_OWN, "xlm-roberta", {"max_position_embeddings": 514, "type_vocab_size": 1}),
}


def main(
    corpus: Annotated[Path, typer.Argument(help="Texts of one language, .txt or .txt.gz, or a folder of them.")],
    shape: Annotated[list[str], typer.Option(help="muril or xlm-r; may be repeated.")] = list(SHAPES),  # noqa: B006
    size: Annotated[int, typer.Option(help="Tokens to keep.")] = 20_000,
    own: Annotated[int | None, typer.Option(help="Tokens that the tokenizer learns from the texts.")] = None,
    whole: Annotated[int | None, typer.Option(help="Tokens before; default: MuRIL's and XLM-R's.")] = None,
    held_out: Annotated[Path | None, typer.Option(help="Held-out texts to count tokens on, one per line.")] = None,
    layers: Annotated[int, typer.Option(help="Encoder layers of BERT-base width.")] = 12,
) -> None:
    """Build, trim, prune and export; print the trimming report and the sizes."""
    logging.disable_progress_bar()
    console, lines = Console(stderr=True), read_corpus([corpus])
    view = Table(title="MiB on disk, fp32 or int8")
    for heading in ("shape", "left", "whole", "trimmed", "pruned", "ONNX int8", "OpenVINO int8", "target"):
        view.add_column(heading, justify="left" if heading in ("shape", "left") else "right")
    with TemporaryDirectory() as folder:
        for name in shape:
            place = Path(folder) / name
            make, usual, family, fields = SHAPES[name]
            with console.status(f"{name}: building"):
                learned = own or usual
                tokenizer = make(lines, own=learned, **({"size": whole} if whole else {}))
                config = AutoConfig.for_model(
                    family,
                    vocab_size=len(tokenizer),
                    num_hidden_layers=layers,
                    pad_token_id=tokenizer.pad_token_id,
                    num_labels=12,
                    **fields,
                )
                torch.manual_seed(0)
                AutoModelForSequenceClassification.from_config(config).save_pretrained(place / "whole")
                tokenizer.save_pretrained(place / "whole")
            found = trim_checkpoint(
                str(place / "whole"), place / "trimmed", size=size, corpus=[corpus], held_out=held_out, console=console
            )
            Console().print(trim_table(found, f"{name}, {learned:,} pieces learned"))
            write_text(place / "texts.txt", "\n".join(lines[:20]))
            for left, target in TARGET_MIB.items():
                model = cut(_open(place / "trimmed"), SHARES[left], uneven=False, odd=False)
                for saved in (model, type(tokenizer).from_pretrained(place / "trimmed")):
                    saved.save_pretrained(place / left)
                options = {"calibration": place / "texts.txt", "max_drop": 1.0, "force": True, "console": console}
                files = export(place / left, FORMATS, **options)
                sizes = [found.weight_bytes.baseline, found.weight_bytes.compressed, weight_bytes(place / left)]
                sizes += [file.bytes for file in files]
                view.add_row(name, left, *(f"{size / MIB:,.1f}" for size in sizes), f"{target}")
    Console().print(view)


def _open(folder: Path):
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


if __name__ == "__main__":
    typer.run(main)
