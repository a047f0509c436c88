"""What the tests of the commands share: a tiny task in CSV files, a recipe for it, and a way to call a command."""

import csv
import sys
from pathlib import Path

import pytest
import yaml

from trainer_ext import cli

TOPICS = {
    "fruit": ("mango", "guava", "papaya", "banana", "lemon"),
    "metal": ("iron", "copper", "zinc", "silver", "tin"),
    "river": ("ganga", "bhima", "koyna", "tapi", "nira"),
}
FRAMES = (
    "the {} of today",
    "more {} for everyone",
    "what {} can do",
    "{} again in the town",
    "a year of {}",
    "{} at last",
)


def write_csv(path: Path, rows, header=("text", "label")):
    """Write labelled texts as the package reads them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_task(folder: Path) -> Path:
    """Train and test CSVs of three topics, told apart by one word."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [(f.format(word), topic) for topic, words in TOPICS.items() for word in words for f in FRAMES]
    write_csv(folder / "train.csv", [row for index, row in enumerate(texts) if index % 7 != 3])
    write_csv(folder / "test.csv", [row for index, row in enumerate(texts) if index % 7 == 3])
    return folder


def recipe_fields(data_dir: Path, output_dir: Path, **changes) -> dict:
    """A recipe that takes a second or two per stage."""
    fields = {
        "model_name_or_path": "scratch",
        "data_dir": str(data_dir),
        "output_dir": str(output_dir),
        "max_length": 16,
        "latency_sequence_length": 8,
        "latency_batch_sizes": [1, 4],
        "scratch_epochs": 30,
        "scratch_learning_rate": 3e-3,
        "scratch_compression_rate": 1e-3,
        "logging_steps": 5,
        "scratch_hidden_size": 32,
        "scratch_layers": 1,
        "scratch_heads": 4,
        "scratch_intermediate_size": 64,
        "scratch_vocab_size": 400,
        "prune_method": "movement",
        "prune_block_size": 8,
        "distill_teacher": "self",
        "num_train_epochs": 5,
        "per_device_train_batch_size": 8,
        "save_strategy": "steps",
        "save_steps": 4,
        "save_total_limit": 2,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return {**fields, **changes}


def write_recipe(path: Path, fields: dict) -> Path:
    """Write a recipe file."""
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def run_command(monkeypatch, capsys, *words) -> tuple[int, str, str]:
    """Call a command in this process: exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["trainer-ext", *map(str, words)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        cli.main()
    written = capsys.readouterr()
    return left.value.code or 0, written.out, written.err
