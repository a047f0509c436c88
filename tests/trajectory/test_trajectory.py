"""A small run logs what it logged when `trajectory.json` was written: losses and sparsity, step by step.

The invariants in the other tests hold for many wrong implementations too; this one notices that anything changed, in
our code or in a library. Where a change is meant, write the file anew and say why in the commit:

    python tests/trajectory/test_trajectory.py

Tolerance: sparsity is exact, because it follows from the step. Losses differ between processors, numbers of threads and
library versions in their last bits, and over the run that grows: weights disturbed by one part in a million, or a second
thread, move the losses by less than 1e-5 of their size (`test_rounding_stays_within_the_tolerance` measures it). A
temperature of 2.1 instead of 2, a weight of 0.51 instead of 0.5, another seed, method or ramp move them by more than
1e-3. The tolerance of 1e-4 lies between.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch

# For the command above; under pytest both are there.
sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from tests.helpers.training import PRUNE, logged, make_trainer, new_model  # noqa: E402

STORED = Path(__file__).with_name("trajectory.json")
TOLERANCE = 1e-4
# SGD and no dropout: Adam's first step is the sign of the gradient, and random numbers differ between torch versions.
FIELDS = {
    **{"optim": "sgd", "learning_rate": 0.02, "prune_score_lr": 0.5, "max_steps": 16, "lr_scheduler_type": "constant"},
    **{"distill_alpha": 0.5, "gradient_accumulation_steps": 2, "max_grad_norm": 0.0},
}


def trajectory(folder, *, disturbance=0.0, seed=0, **fields):
    """Losses and sparsity of every step of one run."""
    model = written_model(seed)
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter *= 1 + disturbance * (-1) ** index
    trainer = make_trainer(folder, model=model, teacher=written_model(seed + 1), **{**PRUNE, **FIELDS, **fields})
    trainer.train()
    return {name: logged(trainer, name) for name in ("loss", "loss_task", "loss_distill", "sparsity")}


def written_model(seed):
    """The tiny model with weights of a formula, so that no random number generator is needed."""
    model = new_model(dropout=0.0)
    with torch.no_grad():
        for index, (name, parameter) in enumerate(model.named_parameters()):
            wave = torch.sin(torch.arange(parameter.numel()) * (1.7 + 0.1 * index + seed) + index).view_as(parameter)
            parameter.copy_(1 + 0.1 * wave if name.endswith("LayerNorm.weight") else 0.3 * wave)
    return model


def largest_deviation(first, second):
    """Largest relative difference of the losses of two trajectories."""
    names = ("loss", "loss_task", "loss_distill")
    return max(abs(a - b) / abs(b) for name in names for a, b in zip(first[name], second[name], strict=True))


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text())


def test_the_run_is_the_stored_one(tmp_path, stored):
    found = trajectory(tmp_path)
    assert found["sparsity"] == pytest.approx(stored["sparsity"], abs=1e-9)
    assert largest_deviation(found, stored) < TOLERANCE


def test_rounding_stays_within_the_tolerance(tmp_path, stored):
    assert largest_deviation(trajectory(tmp_path, disturbance=1e-6), stored) < TOLERANCE / 10


@pytest.mark.parametrize(
    "change",
    [
        {"distill_temperature": 2.1},
        {"distill_alpha": 0.51},
        {"seed": 1},
        {"prune_method": "magnitude"},
        {"prune_end": 0.7},
    ],
    ids=str,
)
def test_a_change_is_noticed(tmp_path, stored, change):
    assert largest_deviation(trajectory(tmp_path, **change), stored) > 10 * TOLERANCE


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        STORED.write_text(json.dumps(trajectory(folder), indent=1) + "\n")
