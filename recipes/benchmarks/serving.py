"""Measure the speed of pruned models in all runtimes, for a BERT-base shape in one run.

The weights are random; whole heads and neurons are removed by `shrink`: dense, half of both left, a quarter left. Each
model is exported by `trainer-ext export` and timed by `trainer-ext benchmark`: PyTorch in fp32 and bf16, ONNX Runtime and
OpenVINO in fp32 and int8. int8 is calibrated on random tokens, so only its speed is meaningful.

Targets, against dense PyTorch in fp32 on two cores of a Zen 4: half and OpenVINO int8 at least 7x at 1 x 128 tokens, a
quarter 15x; in PyTorch realised over ideal at least 0.95 from 8 x 64 tokens on. Predictions: 8.4x and 18.1x, as once
reached by hand; 0.98 for half and 0.96 for a quarter, since what does not shrink (layer norms, residuals, embeddings) was
1.2 % of a dense profile. `--uneven` spreads heads and neurons over the layers as training does, to widths that fill whole
vectors or, with `--odd`, to any (0.90 in the run that showed what widths cost). Outcomes are in
recipes/benchmarks/README.md.
"""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from rich.console import Console
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import logging

from trainer_ext.benchmark.runner import benchmark
from trainer_ext.benchmark.tables import markdown, tables
from trainer_ext.export.formats import FORMATS, export
from trainer_ext.models.architectures import layers_of
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.pruning.selection import whole_vectors
from trainer_ext.pruning.shrinking import shrink
from trainer_ext.utils.files import write_json, write_text

SHARES = {"dense": 1.0, "half": 0.5, "quarter": 0.25}
SPREAD = 0.5  # uneven: a layer keeps 0.5 to 1.5 times its share
WORDS = [f"{first}{second}" for first in "bdfgklmnpr" for second in ("a", "e", "i", "o", "u")]


@torch.no_grad()
def cut(dense, share: float, *, uneven: bool, odd: bool):
    """Keep a share of heads and neurons: set the others to zero and shrink the model.

    Args:
        dense: The model.
        share: Share of heads and neurons to keep.
        uneven: Keep unequal shares in the layers.
        odd: Allow odd feed-forward widths.
    """
    if share == 1.0:
        return dense
    generator = torch.Generator().manual_seed(0)
    for layer in layers_of(dense):
        factor = 1 + SPREAD * (2 * torch.rand(1, generator=generator).item() - 1) if uneven else 1.0
        heads = max(1, round(factor * share * layer.heads))
        neurons = round(factor * share * layer.neurons) | odd
        neurons = neurons if odd else whole_vectors(neurons, layer.neurons)
        layer.value.weight[heads * layer.head_size :] = 0
        layer.value.bias[heads * layer.head_size :] = 0
        layer.ffn_out.weight[:, neurons:] = 0
    return shrink(dense)[0]


def main(
    layers: Annotated[int, typer.Option(help="Encoder layers of BERT-base width.")] = 12,
    batch: Annotated[list[str], typer.Option(help="Texts x tokens; may be repeated.")] = ["1x128", "8x64", "16x64"],  # noqa: B006
    share: Annotated[list[str], typer.Option(help="dense, half or quarter; may be repeated.")] = list(SHARES),  # noqa: B006
    formats: Annotated[list[str], typer.Option("--format", help="Exports; may be repeated.")] = list(FORMATS),  # noqa: B006
    torch_only: Annotated[bool, typer.Option("--torch-only", help="Do not export.")] = False,
    uneven: Annotated[bool, typer.Option("--uneven", help="Keep unequal shares in the layers.")] = False,
    odd: Annotated[bool, typer.Option("--odd", help="Odd feed-forward widths.")] = False,
    repeats: Annotated[int, typer.Option(help="Timed calls of each.")] = 30,
    threads: Annotated[int | None, typer.Option(help="Processor threads; default: torch's.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory too.")] = True,
    output: Annotated[Path | None, typer.Option(help="Write OUTPUT.json and the Markdown table OUTPUT.md.")] = None,
) -> None:
    """Build, export and time the models, and print the tables."""
    logging.disable_progress_bar()
    console = Console(stderr=True)
    with TemporaryDirectory() as folder:
        for name in share:
            _make(Path(folder) / name, name, layers, [] if torch_only else formats, uneven, odd, console)
        results = benchmark(
            [f"{folder}/{name}" for name in share],
            shapes=[tuple(map(int, shape.split("x"))) for shape in batch],
            precisions=["fp32", "bf16"],
            repeats=repeats,
            threads=threads,
            memory=memory,
            command=shlex.join(["python", "-m", "recipes.benchmarks.serving", *sys.argv[1:]]),
            console=console,
        )
    Console().print(tables(results))
    if output:
        write_json(output.with_suffix(".json"), asdict(results))
        write_text(output.with_suffix(".md"), markdown(results))


@torch.no_grad()
def _make(target: Path, name: str, layers: int, formats: list[str], uneven: bool, odd: bool, console: Console) -> None:
    """Write a model and its exports to a folder."""
    tokenizer = train_tokenizer([" ".join(WORDS)], vocab_size=1000, max_length=512)
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", num_hidden_layers=layers)
    model = cut(AutoModelForSequenceClassification.from_config(config).eval(), SHARES[name], uneven=uneven, odd=odd)
    for saved in (model, tokenizer):
        saved.save_pretrained(target)
    if formats:
        texts = target.parent / "calibration.txt"
        write_text(texts, "\n".join(" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))))
        export(target, formats, calibration=texts, calibration_rows=20, max_drop=1.0, force=True, console=console)


if __name__ == "__main__":
    typer.run(main)
