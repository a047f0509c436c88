"""Measure the time of a training step with masks and with a teacher, compared with stock Trainer and nn_pruning.

Weights and tokens are random. The trainers take turns in rounds, so that all run under the same conditions. The time is
that of forward pass, backward pass and optimizer step, between `on_step_begin` and `on_step_end`.

Targets at BERT-base width and 16 x 128 tokens: masks 1.05, masks and teacher 1.42, nothing asked 1.00. Prediction for
masks: 1.03 (the weights are read and written four times more, which is little beside 2,048 tokens of products); for the
teacher: one forward pass more of three, 1.36; cached teacher: 1.05. Outcomes are in recipes/benchmarks/README.md.
"""

import copy
import statistics
import tempfile
import time
from functools import partial
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import AutoConfig, AutoModelForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from recipes.benchmarks.nn_pruning_hybrid import HybridTrainer
from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments
from trainer_ext.benchmark.latency import processor_name

MASKS = {"prune_method": "movement", "prune_start": 0.0, "prune_end": 1.0}
TEACHER = {"distill_teacher": "self"}


class StepClock(TrainerCallback):
    """Measures the seconds of each step."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs):
        """Start the clock."""
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self.start)


def stock(model, shared, **rest):
    """Return a stock Trainer."""
    return Trainer(model, TrainingArguments(**shared), **rest)


def ours(model, shared, *, fields, **rest):
    """Return our trainer with some fields."""
    return DistillPruneTrainer(model, DistillPruneTrainingArguments(**shared, **fields), **rest)


def cached(model, shared, **rest):
    """Return our trainer with a cached teacher."""
    return ours(
        model, shared, fields={**MASKS, **TEACHER, "distill_cache_dir": f"{shared['output_dir']}/cache"}, **rest
    )


def theirs(model, shared, *, teacher, **rest):
    """Return a trainer with nn_pruning's hybrid, with the model itself as teacher or without one."""
    teacher = copy.deepcopy(model) if teacher else None
    return HybridTrainer(model, TrainingArguments(**shared), teacher=teacher, penalty=20.0, start=0.0, end=1.0, **rest)


TRAINERS = {
    "stock Trainer": stock,
    "nothing asked": partial(ours, fields={}),
    "masks": partial(ours, fields=MASKS),
    "nn_pruning, masks": partial(theirs, teacher=False),
    "masks and live teacher": partial(ours, fields={**MASKS, **TEACHER}),
    "nn_pruning, masks and teacher": partial(theirs, teacher=True),
    "masks and cached teacher": cached,
}


def rounds_of(name: str, layers: int, batch_size: int, tokens: int, steps: int) -> list[float]:
    """Return the seconds of each step of a short training, without the first, which allocates and fills a cache."""
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", num_hidden_layers=layers, vocab_size=1000)
    model = AutoModelForSequenceClassification.from_config(config)
    ids = torch.randint(5, 1000, (batch_size, tokens))
    rows = [
        {"input_ids": row, "attention_mask": torch.ones_like(row), "labels": index % 2}
        for index, row in enumerate(ids)
    ]
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        shared = {
            "output_dir": folder,
            "per_device_train_batch_size": batch_size,
            "max_steps": steps + 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "logging_strategy": "no",
            "use_cpu": not torch.accelerator.is_available(),
            "dataloader_pin_memory": torch.accelerator.is_available(),
        }
        # Shrinking happens after the last step and is not timed.
        TRAINERS[name](model, shared, train_dataset=rows, callbacks=[clock]).train()
    return clock.seconds[1:]


def main(
    layers: Annotated[int, typer.Option(help="Encoder layers of BERT-base width.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Texts per step.")] = 16,
    tokens: Annotated[int, typer.Option(help="Tokens per text.")] = 128,
    rounds: Annotated[int, typer.Option(help="Number of rounds.")] = 3,
    steps: Annotated[int, typer.Option(help="Timed steps of each trainer per round.")] = 4,
) -> None:
    """Print the median step time of each trainer and its ratio to stock Trainer."""
    seconds: dict[str, list[float]] = {name: [] for name in TRAINERS}
    console = Console(stderr=True)
    for turn in track(range(rounds), description="rounds", console=console):
        for name in TRAINERS if turn % 2 == 0 else reversed(TRAINERS):
            seconds[name] += rounds_of(name, layers, batch_size, tokens, steps)
    table = Table(title=f"Training step, {layers} layers of BERT-base width, {batch_size} x {tokens} tokens")
    for heading in ("trainer", "median s", "ratio", "n"):
        table.add_column(heading, justify="left" if heading == "trainer" else "right")
    stock = statistics.median(seconds["stock Trainer"])
    for name, values in seconds.items():
        median = statistics.median(values)
        table.add_row(name, f"{median:.3f}", f"{median / stock:.2f}", str(len(values)))
    Console().print(table, f"{processor_name()}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    typer.run(main)
