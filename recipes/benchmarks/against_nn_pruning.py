"""Compare with nn_pruning: both prune and distil the same classifier on the same data, to the same sparsity.

nn_pruning's hybrid has no target: its penalty decides how much is pruned. So it runs first, and our target is what it
reached: with `--match physical` the share of encoder weights that can be removed with its empty heads and neurons (which
makes a model faster), with `--match zeros` the share of zeros (more, but zeros in a kept head save nothing). Both start
from the same model, which is also the teacher; batches, learning rate, warm-up, phases and loss weights are the same.
Its second run, which fills the holes again ("hybrid-filled"), is not compared.

Run it from the root of the repository: `python -m recipes.benchmarks.against_nn_pruning MODEL DATA`. A script named
`nn_pruning.py` would hide the package.
"""

import importlib.metadata
import json
import platform
import shlex
import statistics
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

from recipes.benchmarks.nn_pruning_hybrid import HybridTrainer
from recipes.benchmarks.step_time import StepClock
from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments
from trainer_ext.benchmark.latency import processor_name
from trainer_ext.models.loading import load_model
from trainer_ext.pruning.shrinking import shrink
from trainer_ext.tasks.dataset import DataArguments, load_data, tokenize
from trainer_ext.tasks.intervals import wilson_interval

PHASES = {"start": 0.1, "end": 0.6}  # 1 of 12 epochs dense and 4 or more to recover, as in its recipe for MNLI


class Match(StrEnum):
    """Which sparsity of nn_pruning is our target."""

    physical = "physical"
    zeros = "zeros"


def encoder_weights(model) -> list[torch.Tensor]:
    """Return the weights that pruning may remove: the Linears of the encoder."""
    return [module.weight for module in model.base_model.encoder.modules() if isinstance(module, nn.Linear)]


def count(tensors) -> int:
    """Return the number of elements of some tensors."""
    return sum(tensor.numel() for tensor in tensors)


def main(
    model: Annotated[Path, typer.Argument(help="Folder of a fine-tuned BERT classifier: baseline and teacher.")],
    data: Annotated[Path, typer.Argument(help="Folder with train.csv and test.csv, columns text and label.")],
    epochs: Annotated[float, typer.Option(help="Epochs of each.")] = 12,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of the weights.")] = 3e-5,
    score_lr: Annotated[
        float, typer.Option(help="Learning rate of the scores; a score needs 220 steps of this size to close.")
    ] = 1e-2,
    batch_size: Annotated[int, typer.Option(help="Texts per step.")] = 32,
    max_length: Annotated[int, typer.Option(help="Longest text in tokens.")] = 128,
    block_size: Annotated[int, typer.Option(help="Rows and columns of an attention block, for both.")] = 32,
    penalty: Annotated[float, typer.Option(help="nn_pruning's final penalty; its recipes use 5 to 40.")] = 20.0,
    match: Annotated[Match, typer.Option(help="Which of its sparsities is our target.")] = Match.physical,
    sparsity: Annotated[float | None, typer.Option(help="Our target instead of a match, in [0, 1).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of both.")] = 17,
    bf16: Annotated[bool, typer.Option("--bf16", help="Train both under bf16 autocast.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the numbers here, as JSON.")] = None,
) -> None:
    """Train nn_pruning's hybrid, then our model to the sparsity that it reached, and print a table."""
    console = Console(stderr=True)

    def baseline():
        return load_model(model, option="MODEL", way_out="give the folder of a fine-tuned BERT classifier")

    dense, tokenizer = baseline(), AutoTokenizer.from_pretrained(model)
    labels = [dense.config.id2label[index] for index in range(dense.config.num_labels)]
    files = DataArguments(data_dir=str(data), max_length=max_length)
    encoded = tokenize(load_data(files, labels=labels), tokenizer, files)
    split, test = next(iter(encoded.tests.items()))
    dense_weights = count(encoder_weights(dense))
    head_size = dense.config.hidden_size // dense.config.num_attention_heads
    scratch = tempfile.TemporaryDirectory()
    shared = {
        "output_dir": scratch.name,
        "num_train_epochs": epochs,
        "learning_rate": learning_rate,
        "per_device_train_batch_size": batch_size,
        "per_device_eval_batch_size": 64,
        "train_sampling_strategy": "group_by_length",
        "warmup_steps": 0.06,
        "seed": seed,
        "bf16": bf16,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 100,
        "use_cpu": not torch.accelerator.is_available(),
        "dataloader_pin_memory": torch.accelerator.is_available(),
    }
    rows = {"train_dataset": encoded.train, "processing_class": tokenizer}

    def measured(name: str, small, zeros: float, clock: StepClock | None) -> dict:
        args = TrainingArguments(**shared | {"bf16": False})
        predicted = Trainer(small, args, data_collator=DataCollatorWithPadding(tokenizer)).predict(test)
        correct = int((predicted.predictions.argmax(-1) == predicted.label_ids).sum())
        weights = count(encoder_weights(small))
        return {
            "name": name,
            "accuracy": correct / len(test),
            "ci95": wilson_interval(correct, len(test)),
            "sparsity": 1 - weights / dense_weights,
            "zeros": zeros,
            "parameters": count(small.parameters()),
            "encoder_weights": weights,
            "heads": [weight.shape[0] // head_size for weight in encoder_weights(small)[2::6]],
            "ffn_width": [weight.shape[0] for weight in encoder_weights(small)[4::6]],
            "seconds_per_step": statistics.median(clock.seconds) if clock else None,
        }

    results = [measured("dense", dense, 0.0, None)]

    console.rule(f"nn_pruning, hybrid, penalty {penalty:g}")
    set_seed(seed)
    clock, student = StepClock(), baseline()
    theirs = HybridTrainer(
        student,
        TrainingArguments(**shared),
        teacher=dense,
        penalty=penalty,
        score_lr=score_lr,
        block_size=block_size,
        callbacks=[clock],
        **PHASES,
        **rows,
    )
    theirs.train()
    masked = theirs.compile()
    zeros = sum(int(weight.eq(0).sum()) for weight in encoder_weights(masked)) / dense_weights
    results.append(measured("nn_pruning", shrink(masked)[0], zeros, clock))

    target = sparsity if sparsity is not None else {"physical": results[-1]["sparsity"], "zeros": zeros}[match]
    console.rule(f"trainer_ext, movement, sparsity {target:.3f}")
    set_seed(seed)
    clock, student = StepClock(), baseline()
    args = DistillPruneTrainingArguments(
        **shared,
        prune_method="movement",
        prune_sparsity=target,
        prune_block_size=block_size,
        prune_score_lr=score_lr,
        prune_start=PHASES["start"],
        prune_end=PHASES["end"],
        distill_teacher="self",
    )
    ours = DistillPruneTrainer(student, args, callbacks=[clock], **rows)
    ours.train()
    small = ours.accelerator.unwrap_model(ours.model, keep_fp32_wrapper=False).to(args.device)
    gone = 1 - count(encoder_weights(small)) / dense_weights
    results.append(measured("trainer_ext", small, gone, clock))
    scratch.cleanup()

    Console().print(table(results, split, len(test)))
    if output is not None:
        packages = ("torch", "transformers", "nn_pruning", "trainer_ext")
        record = {
            "command": shlex.join(["python", "-m", "recipes.benchmarks.against_nn_pruning", *_shown(sys.argv[1:])]),
            "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages},
            "processor": processor_name(),
            "threads": torch.get_num_threads(),
            "seed": seed,
            "precision": "bf16" if bf16 else "fp32",
            "penalty": penalty,
            "target": target,
            "test": {"split": split, "rows": len(test)},
            "train_rows": len(encoded.train),
            "results": results,
        }
        output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def table(results: list[dict], split: str, rows: int) -> Table:
    """Return a table of accuracy, sparsity, size and step time."""
    found = Table(
        title=f"On the same data and from the same model; test set {split}, {rows:,} rows",
        caption="gone: encoder weights physically removed; zero: removed or zero before that",
    )
    for heading in ("", "accuracy % [95 %]", "gone %", "zero %", "parameters", "s per step"):
        found.add_column(heading, justify="right" if heading else "left")
    for row in results:
        low, high = row["ci95"]
        found.add_row(
            row["name"],
            f"{100 * row['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
            f"{100 * row['sparsity']:.1f}",
            f"{100 * row['zeros']:.1f}",
            f"{row['parameters']:,}",
            "" if row["seconds_per_step"] is None else f"{row['seconds_per_step']:.3f}",
        )
    return found


def _shown(words: list[str]) -> list[str]:
    """Return the command without folders of this machine: only the last part of each path."""
    return [Path(word).name if "/" in word else word for word in words]


if __name__ == "__main__":
    typer.run(main)
