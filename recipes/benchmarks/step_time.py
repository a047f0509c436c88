"""Step time: what a training step costs with masks and with a teacher, against stock Trainer and nn_pruning in one run.

Random weights of a BERT shape, random tokens; the trainers take turns in rounds, so that all meet the same machine. The
time is that of forward, backward and optimizer step, taken between `on_step_begin` and `on_step_end`.

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
    """Seconds from the start of each step to its end."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs):
        """Start."""
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        """Stop."""
        self.seconds.append(time.perf_counter() - self.start)


def stock(model, shared, **rest):
    """Trainer as transformers has it."""
    return Trainer(model, TrainingArguments(**shared), **rest)


def ours(model, shared, *, fields, **rest):
    """Our trainer with these fields."""
    return DistillPruneTrainer(model, DistillPruneTrainingArguments(**shared, **fields), **rest)


def cached(model, shared, **rest):
    """Our trainer, its teacher asked once per text."""
    return ours(
        model, shared, fields={**MASKS, **TEACHER, "distill_cache_dir": f"{shared['output_dir']}/cache"}, **rest
    )


def theirs(model, shared, *, teacher, **rest):
    """nn_pruning's hybrid, with the model as it was given as its teacher or without."""
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
    """Seconds per step of one short training, the first left out: it allocates, and is the epoch that fills a cache."""
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
        # The structure is closed and shrunk after the last step, outside the clock.
        TRAINERS[name](model, shared, train_dataset=rows, callbacks=[clock]).train()
    return clock.seconds[1:]


def main(
    layers: Annotated[int, typer.Option(help="Encoder layers of BERT-base width.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Texts per step.")] = 16,
    tokens: Annotated[int, typer.Option(help="Tokens per text.")] = 128,
    rounds: Annotated[int, typer.Option(help="Times that each trainer has its turn.")] = 3,
    steps: Annotated[int, typer.Option(help="Timed steps of a turn.")] = 4,
) -> None:
    """Print the median step of each and its ratio to stock Trainer's."""
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
