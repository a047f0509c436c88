"""What the scripts in this folder share: the two imports that a user changes, the data, and what a script leaves behind.

Every script is the shape of a public one, takes `--trainer stock|ours`, the fields of the arguments, `--model FOLDER` (an
encoder with its tokenizer) and `--data FOLDER`, and prints its metric as JSON. Without `--data` it makes its own texts.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import HfArgumentParser

TOPICS = {"sport": ("match", "goal", "team"), "food": ("bread", "soup", "plate"), "rain": ("cloud", "storm", "drops")}
FRAMES = (
    "we saw the {} again",
    "they say {} is near",
    "is a {} here or there",
    "nobody told me of the {}",
    "{} at last",
)


def imports():
    """The Trainer and its arguments: the two imports."""
    at = sys.argv.index("--trainer")
    which = sys.argv[at + 1]
    del sys.argv[at : at + 2]
    if which == "ours":
        from trainer_ext import DistillPruneTrainer as Trainer, DistillPruneTrainingArguments as TrainingArguments
    else:
        from transformers import Trainer, TrainingArguments
    return Trainer, TrainingArguments


@dataclass
class Script:
    """What a script needs besides the arguments of the training."""

    model: str = field(metadata={"help": "folder of an encoder and its tokenizer"})
    data: str | None = field(default=None, metadata={"help": "folder with train.jsonl and test.jsonl"})
    max_length: int = 64
    rows: int | None = field(default=None, metadata={"help": "train rows to use"})


def parse(training_arguments):
    return HfArgumentParser((Script, training_arguments)).parse_args_into_dataclasses()


def rows(script, made):
    """The rows of the data folder, or the made ones of which every fourth is for the test."""
    if script.data is None:
        parts = [row for i, row in enumerate(made) if i % 4], made[::4]
    else:
        files = [Path(script.data, f"{part}.jsonl") for part in ("train", "test")]
        parts = [[json.loads(line) for line in file.read_text("utf-8").splitlines()] for file in files]
    train, test = map(Dataset.from_list, parts)
    return train.select(range(min(script.rows or len(train), len(train)))), test


def texts(copies=6):
    """Texts of three topics, each a few times."""
    return [
        {"text": frame.format(word), "label": topic}
        for topic, words in TOPICS.items()
        for word in words
        for frame in FRAMES
    ] * copies


def accuracy(prediction):
    return {"accuracy": float((np.asarray(prediction.predictions).argmax(-1) == prediction.label_ids).mean())}


def finish(trainer, metrics):
    """Save the model as scripts do, with what it answers, and print the metric."""
    folder = Path(trainer.args.output_dir)
    trainer.save_model(folder / "model")
    batch = trainer.data_collator([trainer.eval_dataset[i] for i in range(4)])
    known = ("input_ids", "attention_mask", "token_type_ids")
    batch = {name: value.to(trainer.model.device) for name, value in batch.items() if name in known}
    with torch.no_grad():
        outputs = trainer.model.eval()(**batch)
    answers = {name: value for name, value in outputs.items() if name.endswith("logits")}
    torch.save({"batch": batch, "answers": answers}, folder / "answers.pt")
    shown = {name: value for name, value in metrics.items() if isinstance(value, float)}
    print(json.dumps({"script": Path(sys.argv[0]).stem, **shown, "parameters": trainer.model.num_parameters()}))
