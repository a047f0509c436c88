"""Train for a given time with masks, a live teacher, evaluations and checkpoints, for `endurance`.

The first tenth of the time is used to measure how many steps fit, so that the whole schedule, shrinking and saving the
small model happen within the time.
"""

import csv
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments

MEASURED, ENDLESS = 0.1, 10**7  # fraction of the time; number of steps
FIELDS = {
    "prune_method": "movement",
    "prune_sparsity": 0.5,
    "prune_block_size": 16,
    "prune_end": 0.7,  # in the second half, to which the line is fitted
    "distill_teacher": "self",
    "per_device_train_batch_size": 8,
    "save_total_limit": 2,
    "logging_steps": 50,
    "report_to": "none",
    "disable_tqdm": True,
}


class StopAt(TrainerCallback):
    """Stops a training when its time is over."""

    def __init__(self, end: float):
        self.end = end

    def on_step_end(self, args, state, control, **kwargs):
        """Stop if the time is over."""
        control.should_training_stop |= time.monotonic() > self.end


def rows_of(file: Path, tokenizer, label2id: dict[str, int]) -> list[dict]:
    """Return the rows of a CSV file as a data set."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [{**tokenizer(row["text"]), "labels": label2id[row["label"]]} for row in csv.DictReader(lines)]


def main(
    run: Annotated[Path, typer.Argument(help="A finished run, whose baseline is trained further.")],
    data: Annotated[Path, typer.Argument(help="Folder with the train.csv and test.csv of that run.")],
    output: Annotated[Path, typer.Argument(help="Folder for checkpoints and the small model.")],
    seconds: Annotated[float, typer.Argument(help="Duration in seconds.")],
) -> None:
    """Measure, train and save; print the number of steps."""
    began = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(run / "baseline")

    def trainer(end: float, steps: int, **fields) -> DistillPruneTrainer:
        model = AutoModelForSequenceClassification.from_pretrained(run / "baseline")
        train, test = (rows_of(data / f"{name}.csv", tokenizer, model.config.label2id) for name in ("train", "test"))
        pin_memory = torch.accelerator.is_available()
        arguments = {**FIELDS, "max_steps": steps, "dataloader_pin_memory": pin_memory, **fields}
        return DistillPruneTrainer(
            model,
            DistillPruneTrainingArguments(str(output), **arguments),
            train_dataset=train,
            eval_dataset=test[:64],
            processing_class=tokenizer,
            callbacks=[StopAt(end)],
        )

    first = trainer(began + MEASURED * seconds, ENDLESS, save_strategy="no", prune_method="none").train()
    rate = first.global_step / first.metrics["train_runtime"]
    steps = max(1, int(rate * (began + seconds - time.monotonic())))
    minute = max(1, int(60 * rate))
    strategy = {"save_strategy": "steps", "eval_strategy": "steps", "save_steps": minute, "eval_steps": minute}
    long = trainer(began + seconds, steps, **strategy)
    done = long.train().global_step
    long.save_model(str(output / "small"))
    typer.echo(f"{done} of {steps} steps, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    typer.run(main)
