"""Several processes: two that share a batch train what one trains with the whole batch, masks and teacher included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent)]  # for the processes that torchrun starts with this file

from training import PRUNE, Rows, logged, make_trainer, new_model  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

# SGD, because Adam's first step is the sign of the gradient: it makes ties between scores, which rounding then decides.
SGD = {"optim": "sgd", "learning_rate": 0.1, "prune_score_lr": 1.0, "lr_scheduler_type": "constant", "max_steps": 12}
SPLIT = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}


def by_count(outputs, labels, num_items_in_batch):
    """A loss function as transformers documents it."""
    return torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


# Per case: what one process is given for the whole batch of 8 rows, and what each of two is given instead.
CASES = {
    "pruning": ({}, {"per_device_train_batch_size": 4}),
    "teacher": ({"distill_alpha": 0.5}, {"per_device_train_batch_size": 4}),
    "teacher, accumulated": ({"distill_alpha": 0.5}, SPLIT),
    "uneven labels": ({"unlabelled": True}, SPLIT),
    "uneven labels, teacher": ({"unlabelled": True, "distill_alpha": 0.5}, SPLIT),
    "loss function": ({"unlabelled": True, "distill_alpha": 0.5, "compute_loss_func": by_count}, SPLIT),
    "smoothed": ({"label_smoothing_factor": 0.2, "distill_alpha": 0.5}, SPLIT),
    "a count per process": ({"distill_alpha": 0.5, "average_tokens_across_devices": False}, SPLIT),
}


class FullSize(TrainerCallback):
    """Keeps the weights and scores of the last step, before the model is cut."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}


def train(folder: Path, case: str, *, processes: int, **changes) -> dict:
    """One run: the weights before the cut, which heads and neurons stayed, and the log."""
    fields, split = CASES[case]
    fields = {**PRUNE, **SGD, **fields, **(split if processes == 2 else {}), **changes}
    rows, keeper = Rows(64), FullSize()
    if fields.pop("unlabelled", False):
        rows.labels[rows.ids[:, 1] % 3 < 1] = -100  # a third: some parts of a batch have none, others only those
    teacher = {"teacher": new_model(seed=1, dropout=0.0)} if "distill_alpha" in fields else {}
    trainer = make_trainer(
        folder / case, rows=rows, model=new_model(dropout=0.0), callbacks=[keeper], **fields, **teacher
    )
    trainer.train()
    names = ("loss", "loss_task", "loss_distill", "sparsity", "grad_norm")
    return {
        "weights": keeper.weights,
        "structure": [trainer.compression.heads, trainer.compression.neurons],
        "log": {name: logged(trainer, name) for name in names},
        "processes": trainer.accelerator.num_processes,
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict:
    """Every case, trained by two processes that torchrun starts."""
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__]
    done = subprocess.run(
        [*torchrun, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(tmp_path, two, case):
    one = train(tmp_path, case, processes=1)
    assert (one["processes"], two[case]["processes"]) == (1, 2)
    torch.testing.assert_close(two[case]["weights"], one["weights"], atol=1e-5, rtol=1e-5)
    assert two[case]["structure"] == one["structure"]
    for name, values in one["log"].items():
        assert two[case]["log"][name] == pytest.approx(values, rel=1e-5, abs=1e-5), name


def test_half_of_the_batch_is_another_run(tmp_path, two):
    """The control."""
    half = train(tmp_path, "teacher", processes=1, per_device_train_batch_size=4)
    assert half["log"]["loss"] != pytest.approx(two["teacher"]["log"]["loss"], rel=1e-3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {case: train(Path(sys.argv[1]), case, processes=2) for case in CASES}
    if int(os.environ["RANK"]) == 0:
        torch.save(found, Path(sys.argv[1]) / "found.pt")
