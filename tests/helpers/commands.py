"""Helpers for tests of commands: a tiny task in CSV files, a recipe for it, and a way to call a command."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.helpers.tiny_models import build
from trainer_ext.cli import main
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.utils.checkpoints import last_checkpoint

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


def write_classifier(folder: Path, texts) -> Path:
    """Save a random BERT of `TOPICS` whose tokenizer knows the texts; its answers depend on all of its weights."""
    tokenizer = train_tokenizer(texts, vocab_size=300, max_length=32)
    names = dict(enumerate(TOPICS))
    labels = {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    build("bert", vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **labels).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
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
        main.main()
    written = capsys.readouterr()
    return left.value.code or 0, written.out, written.err


def kill_and_resume(recipe: Path, run: Path, *, between=lambda: None) -> int:
    """Compress in a process of its own, which is killed while it compresses, and then in another one to the end.

    Args:
        recipe: the recipe file; it saves every 4 steps.
        run: the folder of the run.
        between: called after the first process is dead.

    Returns:
        The step from which the second one went on.
    """
    command = [sys.executable, "-m", "trainer_ext", "compress", str(recipe), "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        folder, deadline = run / "checkpoints/compressed", time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline:
            if (newest := last_checkpoint(folder)) is not None and newest.name != "checkpoint-4":
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it must be killed while it trains, or this shows nothing"
    assert not (run / "compressed").exists()
    step = int(last_checkpoint(folder).name.rpartition("-")[2])
    between()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return step


def assert_same_weights(first: Path, second: Path):
    """Two runs hold the same models, to the last bit."""
    for name in ("baseline", "masked", "compressed"):
        ours, theirs = (load_file(run / name / "model.safetensors") for run in (first, second))
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert torch.equal(ours[key], theirs[key]), f"{name}: {key}"


def run_script(main, *words):
    """Run the function of a script as its command line does; return what it prints. It must end well."""
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
