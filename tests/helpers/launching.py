"""What the tests of several processes share: how they are started, and one run of which every part can be compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from transformers import TrainerCallback

from tests.helpers.training import PRUNE, Rows, logged, make_trainer, new_model

BATCH = 8  # rows per step, of all processes together
# SGD, because Adam's first step is the sign of the gradient: it makes ties between scores, which rounding then decides.
SGD = {"optim": "sgd", "learning_rate": 0.1, "prune_score_lr": 1.0, "lr_scheduler_type": "constant", "max_steps": 12}
LOGGED = ("loss", "loss_task", "loss_distill", "loss_penalty", "sparsity", "grad_norm")
ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone")
ACCELERATE = ("-m", "accelerate.commands.launch", "--config_file", str(ROOT / "docs" / "accelerate.yaml"))


class FullSize(TrainerCallback):
    """Keeps the weights, scores and masks of the last step, before the model is cut."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}


def start(
    script: str | Path, *words: str, processes: int, launcher: tuple[str, ...] = TORCHRUN, variables=None
) -> subprocess.Popen:
    """A script in several processes, as `torchrun` or `accelerate launch` starts it; both outputs are pipes.

    Args:
        script: what to start.
        *words: behind it on the command line.
        processes: how many.
        launcher: TORCHRUN or ACCELERATE.
        variables: of the environment.
    """
    launch = [*launcher, f"{'--num_processes' if launcher is ACCELERATE else '--nproc-per-node'}={processes}"]
    return subprocess.Popen(
        [sys.executable, *launch, str(script), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(variables or {})},
    )


def run(script: str | Path, *words: str, seconds: float = 800, **options) -> None:
    """Such a start, to its end, which must be a good one and come in time."""
    process = start(script, *words, **options)
    _, said = process.communicate(timeout=seconds)
    assert process.returncode == 0, said.partition("ChildFailedError")[0][-6000:]


def split(processes: int, accumulated: int = 1) -> dict[str, int]:
    """The fields that share the rows of a step among so many processes, in so many parts each."""
    return {
        "per_device_train_batch_size": BATCH // processes // accumulated,
        "gradient_accumulation_steps": accumulated,
    }


def train(folder: Path, *, resume: Path | bool | None = None, rows=None, callbacks=(), **fields) -> dict:
    """One run: the weights before the cut, which heads and neurons stayed, and the log.

    Args:
        folder: of the run.
        resume: a checkpoint to go on from; True for the last one in the folder.
        rows: the data; 64 rows by default.
        callbacks: further ones.
        **fields: of the arguments, laid over those of a short run; with `distill_alpha`, there is a teacher.
    """
    keeper = FullSize()
    teacher = {"teacher": new_model(seed=1, dropout=0.0)} if "distill_alpha" in fields else {}
    trainer = make_trainer(
        folder,
        rows=rows or Rows(64),
        model=new_model(dropout=0.0),
        callbacks=[keeper, *callbacks],
        **{**PRUNE, **SGD, **fields},
        **teacher,
    )
    trainer.train(resume_from_checkpoint=resume if resume in (None, True) else str(resume))
    return {
        "weights": keeper.weights,
        "structure": [trainer.compression.heads, trainer.compression.neurons],
        "log": {name: logged(trainer, name) for name in LOGGED},
        "processes": trainer.accelerator.num_processes,
    }


def difference(first: dict, second: dict) -> float:
    """The largest difference of two runs' weights and scores; infinite where other units stayed."""
    if first["structure"] != second["structure"]:
        return float("inf")
    pairs = ((first["weights"][name].float(), value.float()) for name, value in second["weights"].items())
    return max((one - other).abs().max().item() for one, other in pairs if one.numel())


def is_main() -> bool:
    """Whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


torch.set_num_threads(1)
