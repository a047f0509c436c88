"""Measure fp16 and bf16 on a GPU, in training and inference, for dense and pruned models.

A BERT-base shape (random weights, or MODEL) learns in each precision which of two kinds of token a text has more of: with
stock Trainer, and with ours with masks and a live teacher. Seconds per step, peak memory, last loss and accuracy on new
texts are compared with fp32. Then the dense shape, half and a quarter of it are timed in each precision in turns, and also
the dense shape with a part of its heads, or of its neurons, in every layer.

Predicted for one H100: fp16 and bf16 train 2 to 3 times as fast as fp32 at 0.6 to 0.7 of its memory, with the accuracy
of fp32; at 32 x 128 tokens half runs 1.6 times as fast as dense in fp16, a quarter 2.4 times, less than on a processor,
because the launch of kernels takes a larger share of small products. Outcome on one H200: in fp16 a call at 32 x 128
tokens takes only the time of kernel launches, of which pruning saves nothing (README.md in this folder).

    python -m recipes.benchmarks.accelerator --output recipes/benchmarks/results/accelerator
    python -m recipes.benchmarks.accelerator_table
    python -m recipes.benchmarks.accelerator --device cpu --tiny    # try the script without a GPU
"""

from __future__ import annotations

import copy
import gc
import statistics
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markdown import Markdown
from transformers import AutoConfig, AutoModelForSequenceClassification, Trainer, set_seed

from recipes.benchmarks.accelerator_table import summary
from recipes.benchmarks.serving import SHARES, WORDS, cut
from recipes.benchmarks.step_time import StepClock
from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments
from trainer_ext.benchmark.latency import measure_latency
from trainer_ext.benchmark.runner import benchmark
from trainer_ext.benchmark.tables import machine
from trainer_ext.benchmark.targets import PRECISIONS
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.loading import load_model
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.pruning.latency_table import shaped
from trainer_ext.utils.files import write_json, write_text

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LEFT = (1.0, 0.5, 0.25, 0.125, 0.0)
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
OURS = {"prune_method": "movement", "prune_sparsity": 0.5, "prune_attention": "head"}
FIRST, COUNT, SHARE = (
    10,
    200,
    0.3,
)  # ids of the two kinds of token, and the share of a text that is replaced
TEST_ROWS = 256


def texts(count: int, tokens: int, *, seed: int) -> list[dict]:
    """Return texts of random token ids [tokens]; the label says whether even or odd ids replaced a part of them.

    Args:
        count: Number of texts.
        tokens: Tokens per text.
        seed: Seed of the texts.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for index in range(count):
        label = index % 2
        ids = torch.randint(FIRST, FIRST + COUNT, (tokens,), generator=generator)
        ids = torch.where(torch.rand(tokens, generator=generator) < SHARE, ids // 2 * 2 + label, ids)
        rows.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": label})
    return rows


def train(model, *, ours: bool, precision: str, device: str, steps: int, batch_size: int, tokens: int) -> dict:
    """Train a copy of a model, and return its time, memory and accuracy.

    Args:
        model: A classifier of two classes.
        ours: Train with masks and a teacher; else with stock Trainer.
        precision: Precision of the autocast; fp32 for none.
        device: `cuda` or `cpu`.
        steps: Number of steps; the first fifth is not timed.
        batch_size: Texts per step.
        tokens: Tokens per text.
    """
    on_gpu = device == "cuda"
    if on_gpu:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    set_seed(17)
    clock = SynchronisedClock(on_gpu)
    with TemporaryDirectory() as folder:
        args = DistillPruneTrainingArguments(
            folder,
            **(OURS if ours else {}),
            **({precision: True} if precision != "fp32" else {}),
            max_steps=steps,
            per_device_train_batch_size=batch_size,
            learning_rate=1e-4,
            warmup_steps=0.2,  # fraction of all steps; without warm-up, twelve random layers do not learn
            logging_steps=max(1, steps // 4),
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not on_gpu,
            dataloader_pin_memory=on_gpu,
        )
        rows = {"train_dataset": texts(steps * batch_size, tokens, seed=1), "callbacks": [clock]}
        student = copy.deepcopy(model)
        kind = partial(DistillPruneTrainer, teacher=copy.deepcopy(model)) if ours else Trainer
        trainer = kind(student, args, **rows)
        trainer.train()
        memory = torch.cuda.max_memory_allocated() if on_gpu else None
        predicted = trainer.predict(texts(TEST_ROWS, tokens, seed=2))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "trainer": "masks and teacher" if ours else "stock Trainer",
        "precision": precision,
        "seconds_per_step": statistics.median(clock.seconds[steps // 5 :]),
        "peak_bytes": memory,
        "loss": losses[-1],
        "accuracy": float((predicted.predictions.argmax(-1) == predicted.label_ids).mean()),
        "rows": TEST_ROWS,
        "steps": steps,
    }


class SynchronisedClock(StepClock):
    """Measures the seconds of each step, waiting for the device at both ends."""

    def __init__(self, on_gpu: bool):
        super().__init__()
        self.wait = torch.cuda.synchronize if on_gpu else lambda: None

    def on_step_begin(self, args, state, control, **kwargs):
        """Start the clock."""
        self.wait()
        super().on_step_begin(args, state, control, **kwargs)

    def on_step_end(self, args, state, control, **kwargs):
        """Stop the clock."""
        self.wait()
        super().on_step_end(args, state, control, **kwargs)


def latency_table(model, *, precision: str, device: str, batch_size: int, tokens: int, repeats: int) -> dict:
    """Return the median milliseconds of a call with a part of the heads, or of the neurons, in every layer.

    `prune_speedup` plans with such times.
    """
    layers = layers_of(model)
    heads, neurons = [layer.heads for layer in layers], [layer.neurons for layer in layers]
    models = {}
    for share in LEFT:
        models[f"heads {share:.0%}"] = shaped(model, [int(share * count) for count in heads], neurons)
        models[f"neurons {share:.0%}"] = shaped(model, heads, [int(share * count) for count in neurons])
    models = {name: one.to(device, DTYPES[precision]) for name, one in models.items()}
    found = measure_latency(models, batch_size=batch_size, sequence_length=tokens, repeats=repeats)
    return {name: stats.median_ms for name, stats in found.items()}


def main(
    model: Annotated[
        str | None, typer.Argument(help="A BERT's folder; default: BERT-base with random weights.")
    ] = None,
    device: Annotated[str, typer.Option(help="cuda, or cpu to exercise the script.")] = "cuda",
    tiny: Annotated[bool, typer.Option("--tiny", help="Two narrow layers instead of BERT-base.")] = False,
    steps: Annotated[int, typer.Option(help="Steps of each training.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Texts per step and call.")] = 32,
    tokens: Annotated[int, typer.Option(help="Tokens per text.")] = 128,
    repeats: Annotated[int, typer.Option(help="Timed calls of each.")] = 30,
    output: Annotated[Path | None, typer.Option(help="Write OUTPUT.json and the Markdown table OUTPUT.md.")] = None,
) -> None:
    """Train, time and print the tables; exit with status 2 if there is no CUDA device."""
    if device not in PRECISIONS or (device == "cuda" and not torch.cuda.is_available()):
        reason = "PyTorch finds no CUDA device here" if device == "cuda" else "choose cuda or cpu"
        print(
            f"--device {device}: {reason}; --device cpu --tiny exercises the script on a processor.", file=sys.stderr
        )
        raise typer.Exit(2)
    torch.manual_seed(0)
    if model:
        way_out = "name the folder of a BERT, or leave it out for random weights"
        dense = load_model(model, option="MODEL", way_out=way_out, num_labels=2, ignore_mismatched_sizes=True)
    else:
        config = AutoConfig.for_model("bert", **(TINY if tiny else {}))
        dense = AutoModelForSequenceClassification.from_config(config)
    shape = {"batch_size": batch_size, "tokens": tokens, "device": device}
    trained = [
        train(dense, ours=ours, precision=precision, steps=steps, **shape)
        for ours in (False, True)
        for precision in PRECISIONS[device]
    ]
    blocks = {name: latency_table(dense, precision=name, repeats=repeats, **shape) for name in PRECISIONS[device]}
    tokenizer = train_tokenizer([" ".join(WORDS)], vocab_size=1000, max_length=512)
    with TemporaryDirectory() as folder:
        for name, share in SHARES.items():
            smaller = cut(copy.deepcopy(dense).eval(), share, uneven=False, odd=False)
            for saved in (smaller, tokenizer):
                saved.save_pretrained(Path(folder) / name)
        timed = benchmark(
            [f"{folder}/{name}" for name in SHARES],
            shapes=[(1, tokens), (batch_size, tokens)],
            precisions=PRECISIONS[device],
            device=device,
            repeats=repeats,
            memory=False,
            console=Console(stderr=True),
        )
    latency = [
        {
            "model": row.entry.name,
            "precision": row.entry.precision,
            "batch_size": row.batch_size,
            "sequence_length": row.sequence_length,
            "median_ms": row.median_ms,
            "p95_ms": row.p95_ms,
            "ideal_speedup": row.ideal_speedup,
            "runs": row.runs,
        }
        for row in timed.rows
    ]
    about = {"created": timed.created, "machine": machine(timed)}
    found = about | {"training": trained, "blocks": blocks, "latency": latency}
    Console().print(Markdown(summary(found)))
    if output:
        write_json(output.with_suffix(".json"), found)
        write_text(output.with_suffix(".md"), summary(found))


if __name__ == "__main__":
    typer.run(main)
