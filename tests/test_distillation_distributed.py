"""Two processes that share a batch learn from their teacher what one learns, the map to its width included."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]  # for the processes that torchrun starts with this file

from distilling import TaskRows, model_for  # noqa: E402
from training import arguments, logged  # noqa: E402

from trainer_ext import DistillPruneTrainer  # noqa: E402

KIND = "token_classification"


def train(folder: str, batch_size: str) -> None:
    """One run of 6 steps; the first process writes what it logged."""
    fields = {"distill_hidden": 0.5, "max_steps": 6, "per_device_train_batch_size": int(batch_size)}
    teacher = model_for(KIND, seed=1, hidden_size=48, num_hidden_layers=3)
    trainer = DistillPruneTrainer(
        model_for(KIND), arguments(folder, **fields), train_dataset=TaskRows(32, KIND), teacher=teacher
    )
    trainer.train()
    if trainer.is_world_process_zero():
        names = ("loss", "grad_norm")
        (Path(folder) / "found.json").write_text(json.dumps({name: logged(trainer, name) for name in names}))


def run(folder: Path, *, processes: int, batch_size: int) -> dict:
    folder.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*command, __file__, str(folder), str(batch_size)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "found.json").read_text())


def test_two_processes_learn_what_one_learns(tmp_path):
    one = run(tmp_path / "one", processes=1, batch_size=8)
    two = run(tmp_path / "two", processes=2, batch_size=4)
    other = run(tmp_path / "other", processes=1, batch_size=4)
    for name in ("loss", "grad_norm"):
        assert two[name] == pytest.approx(one[name], rel=1e-4)
        assert other[name] != pytest.approx(one[name], rel=1e-4), "half of the batch must give another run"


if __name__ == "__main__":
    train(*sys.argv[1:])
