"""Two processes that share a batch learn from their teacher what one learns, with a map to its width or with a cache."""

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

KIND, EPOCHS = "token_classification", 2


def train(folder: str) -> None:
    """Two epochs of 32 rows each way; each process writes how often it asked the teacher and what it logged."""
    found = {}
    for name, fields in {"hidden": {"distill_hidden": 0.5}, "cache": {"distill_cache_dir": f"{folder}/cache"}}.items():
        asked = []
        teacher = model_for(KIND, seed=1, hidden_size=48, num_hidden_layers=3)
        teacher.register_forward_pre_hook(lambda *_, asked=asked: asked.append(1))
        args = arguments(folder, **{"num_train_epochs": EPOCHS, "max_steps": -1, **fields})
        args.per_device_train_batch_size = 8 // args.world_size
        trainer = DistillPruneTrainer(model_for(KIND), args, train_dataset=TaskRows(32, KIND), teacher=teacher)
        trainer.train()
        found[name] = {key: logged(trainer, key) for key in ("loss", "grad_norm")} | {"asked": len(asked)}
    (Path(folder) / f"found-{args.world_size}-{args.process_index}.json").write_text(json.dumps(found))


def run(folder: Path, *, processes: int) -> list[dict]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [*command, __file__, str(folder)], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads((folder / f"found-{processes}-{index}.json").read_text()) for index in range(processes)]


def test_two_processes_learn_what_one_learns(tmp_path):
    two, (one,) = run(tmp_path, processes=2), run(tmp_path, processes=1)
    for name in ("loss", "grad_norm"):
        for way in ("hidden", "cache"):
            assert two[0][way][name] == pytest.approx(one[way][name], rel=1e-4)
        assert one["hidden"][name] != pytest.approx(one["cache"][name], rel=1e-4)  # the control
    assert [found["hidden"]["asked"] for found in two] == [4 * EPOCHS] * 2
    # In the second epoch each process meets rows that the other one asked for in the first.
    assert [found["cache"]["asked"] for found in two] == [4, 4]
    assert one["cache"]["asked"] == 0


if __name__ == "__main__":
    train(*sys.argv[1:])
