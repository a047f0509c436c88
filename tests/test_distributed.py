"""Several processes: two that share a batch train what one trains with the whole batch, masks and teacher included."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]  # for the processes that torchrun starts with this file

from training import PRUNE, Rows, arguments, logged, new_model  # noqa: E402

from trainer_ext import DistillPruneTrainer  # noqa: E402


def train(folder: str, batch_size: str) -> None:
    """One run of 12 steps; the first process writes what it logged and which heads and neurons stayed."""
    fields = {**PRUNE, "distill_teacher": "self", "max_steps": 12, "per_device_train_batch_size": int(batch_size)}
    trainer = DistillPruneTrainer(new_model(dropout=0.0), arguments(folder, **fields), train_dataset=Rows(64))
    trainer.train()
    if trainer.is_world_process_zero():
        found = {name: logged(trainer, name) for name in ("loss", "sparsity")}
        structure = {"heads": trainer.compression.heads, "neurons": trainer.compression.neurons}
        (Path(folder) / "found.json").write_text(json.dumps(found | structure))


def run(folder: Path, *, processes: int, batch_size: int) -> dict:
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
        __file__,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(folder), str(batch_size)],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "found.json").read_text())


def test_two_processes_train_what_one_trains(tmp_path):
    one = run(tmp_path / "one", processes=1, batch_size=8)
    two = run(tmp_path / "two", processes=2, batch_size=4)
    assert one["heads"] == two["heads"]
    assert one["neurons"] == two["neurons"]
    assert one["sparsity"] == two["sparsity"]
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    other = run(tmp_path / "other", processes=1, batch_size=4)
    assert other["loss"] != pytest.approx(one["loss"], rel=1e-4), "half of the batch must give another run"


if __name__ == "__main__":
    train(*sys.argv[1:])
