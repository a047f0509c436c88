"""Resume: a run that is killed and goes on in another process ends with the bits of one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.helpers import training
from tests.helpers.training import PRUNE, differing, make_trainer, new_model, resumable_run
from trainer_ext.utils.compat import cpu_has_bf16

pytestmark = pytest.mark.slow

RAMP, COOL_DOWN = 7, 15  # the ramp goes from step 2 to step 12; both lie behind a checkpoint and before the next
RUNS = {
    "movement, teacher": ({"distill_teacher": "self"}, RAMP),
    "magnitude": ({"prune_method": "magnitude"}, RAMP),
    "obs": ({"prune_method": "obs", "distill_teacher": "self", "distill_hidden": 1.0}, RAMP),
    "bf16": ({"bf16": True}, RAMP),
    "cool-down": (
        {"load_best_model_at_end": True, "save_steps": 2, "eval_steps": 2, "distill_teacher": "self"},
        COOL_DOWN,
    ),
}
if not cpu_has_bf16():
    del RUNS["bf16"]


def start(requests):
    """Another Python that makes these runs one after the other."""
    root = Path(training.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, training.__file__, json.dumps(requests)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_after(process, checkpoint):
    """Wait for a checkpoint to be complete, then end the process without warning."""
    deadline = time.monotonic() + 120
    while not (checkpoint / "trainer_state.json").is_file() or not (checkpoint / "model.safetensors").is_file():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f"no {checkpoint.name}"
        time.sleep(0.05)
    time.sleep(0.3)  # it is in the step behind the checkpoint now
    process.kill()
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Per run: how the first process ended, its checkpoints, the uninterrupted result and the resumed one."""
    folder = tmp_path_factory.mktemp("resume")
    found, requests = {}, []
    names = list(RUNS)
    for pair in (names[:2], names[2:]):  # two processes at a time
        started = {}
        for name in pair:
            fields, hold_at = RUNS[name]
            started[name] = start([{"folder": str(folder / name), "fields": fields, "hold_at": hold_at}])
        for name, process in started.items():
            fields, hold_at = RUNS[name]
            code = kill_after(process, folder / name / f"checkpoint-{hold_at - 1}")
            found[name] = {"code": code, "checkpoints": sorted(path.name for path in (folder / name).glob("check*"))}
            requests.append({"folder": str(folder / name), "fields": fields, "resume": True})
    process = start(requests)
    for name, (fields, _) in RUNS.items():
        found[name]["whole"] = resumable_run(folder / f"{name} whole", fields)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    for name in RUNS:
        found[name]["resumed"] = torch.load(folder / name / "result.pt", weights_only=True)
    return found


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_ends_with_the_same_bits(runs, name):
    run = runs[name]
    assert run["code"] == -signal.SIGKILL
    assert "checkpoint-20" not in run["checkpoints"]
    assert f"checkpoint-{RUNS[name][1] - 1}" in run["checkpoints"]
    for part in ("checkpoint", "optimizer", "small"):
        assert differing(run["whole"][part], run["resumed"][part]) == []
    for part in ("log", "structure", "best"):
        assert run["whole"][part] == run["resumed"][part]


@pytest.mark.parametrize("name", RUNS)
def test_what_is_compared_holds_scores_masks_and_the_small_model(runs, name):
    """The control: other runs differ in every part, and no part is empty."""
    checkpoint, small = runs[name]["whole"]["checkpoint"], runs[name]["whole"]["small"]
    if name == "obs":  # it trains the small model
        assert checkpoint.keys() == small.keys()
    else:
        masks = {"pruning.ffn.scores", "pruning.ffn.offsets", "pruning.ffn.kept", "pruning.ffn.frozen"}
        assert masks <= checkpoint.keys()
        assert checkpoint["pruning.ffn.frozen"]
        assert sum(value.numel() for value in small.values()) < sum(value.numel() for value in checkpoint.values())
    other = next(run for key, run in runs.items() if key != name)["whole"]
    for part in ("checkpoint", "small"):
        assert differing(runs[name]["whole"][part], other[part])
    assert runs[name]["whole"]["log"] != other["log"]


@pytest.mark.parametrize("checkpoint", [2, 6, 12, 16, 20])
def test_resuming_anywhere_gives_the_same_bits(tmp_path, checkpoint):
    """Before the ramp, in it, where it ends, after it, and where nothing is left to train."""
    fields = {"save_steps": 2, "save_strategy": "steps", "max_steps": 20, "distill_teacher": "self"}
    whole, resumed = (make_trainer(tmp_path, **PRUNE, **fields) for _ in range(2))
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{checkpoint}"))
    assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []
    assert whole.compression == resumed.compression


def test_resuming_where_the_ramp_ends_with_the_run(tmp_path):
    fields = {"save_steps": 2, "save_strategy": "steps", "prune_end": 1.0}
    for checkpoint in (8, 10):
        whole, resumed = (make_trainer(tmp_path, **PRUNE, **fields) for _ in range(2))
        whole.train()
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{checkpoint}"))
        assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []


def test_the_teacher_self_is_the_dense_model_that_is_given_again(tmp_path):
    """A checkpoint does not hold the teacher: whoever resumes gives the dense model as at the start."""
    fields = {"save_steps": 5, "save_strategy": "steps", "distill_teacher": "self"}
    dense = new_model().state_dict()
    whole = make_trainer(tmp_path, **PRUNE, **fields)
    whole.train()
    assert differing(dense, whole.distillation.teachers[0].model.state_dict()) == []
    results = {}
    for seed in (0, 1):
        trainer = make_trainer(tmp_path, model=new_model(seed=seed), **PRUNE, **fields)
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
        results[seed] = trainer.model.state_dict()
    assert differing(whole.model.state_dict(), results[0]) == []
    assert differing(whole.model.state_dict(), results[1])  # the control: another dense model is another teacher


def test_resuming_without_the_random_state_is_noticed(tmp_path):
    """The control: dropout makes these runs depend on everything that a checkpoint holds."""
    fields = {"save_steps": 5, "save_strategy": "steps"}
    whole, resumed = (make_trainer(tmp_path, **PRUNE, **fields) for _ in range(2))
    whole.train()
    (tmp_path / "checkpoint-5" / "rng_state.pth").unlink()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert differing(whole.model.state_dict(), resumed.model.state_dict())
