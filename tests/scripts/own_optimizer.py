"""An optimizer and a schedule of one's own."""

import torch
from common import imports
from habit import start
from transformers import get_linear_schedule_with_warmup

Trainer, TrainingArguments = imports()


def optimizer(make, args):
    return make(
        Trainer,
        optimizers=lambda model: (
            made := torch.optim.AdamW(model.parameters(), lr=args.learning_rate),
            get_linear_schedule_with_warmup(made, 2, args.max_steps),
        ),
    )


if __name__ == "__main__":
    start(optimizer, TrainingArguments)
