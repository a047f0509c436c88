"""A process of several that is killed ends the run soon, and is named; what was saved before is whole, and goes on in one."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2])]  # for the processes that torchrun starts with this file

from tests.helpers.launching import difference, split, start, train  # noqa: E402
from tests.helpers.training import HoldAt  # noqa: E402
from trainer_ext.pruning.masks import load_masked  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # several processes start at once, on a machine that may be busy
SAVED = {"distill_alpha": 0.5, "save_strategy": "steps", "save_steps": 2}
HELD_AT, BOUND = 7, 60  # a step; seconds from the kill to the end of the launcher


class SayAndHold(HoldAt):
    """In the second process: after a step, writes down its number and goes no further, so that the other waits for it."""

    def on_step_end(self, args, state, control, **kwargs):
        if args.process_index == 1:
            if state.global_step == self.step:
                Path(args.output_dir, "pid").write_text(str(os.getpid()))
            super().on_step_end(args, state, control, **kwargs)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run of two processes, of which the second one is killed after step 7 while the first waits for it in step 8."""
    folder = tmp_path_factory.mktemp("killed")
    process = start(__file__, str(folder), processes=2)
    pid, end = folder / "pid", time.monotonic() + 400
    while not pid.is_file() or not pid.read_text():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < end, f"step {HELD_AT} was not reached"
        time.sleep(0.1)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    begin = time.monotonic()
    _, said = process.communicate(timeout=2 * BOUND)
    return {"folder": folder, "status": process.returncode, "said": said, "seconds": time.monotonic() - begin}


def test_the_run_ends_soon_and_names_who_died(killed):
    assert killed["status"] == 1
    assert killed["seconds"] < BOUND
    _, _, cause = killed["said"].partition("Root Cause")
    assert "rank      : 1 (local_rank: 1)" in cause
    assert "Signal 9 (SIGKILL)" in cause
    assert "rank      : 0" not in cause


def test_what_was_saved_goes_on_in_one_process(killed, tmp_path):
    checkpoints = sorted(killed["folder"].glob("checkpoint-*"))
    assert [checkpoint.name for checkpoint in checkpoints] == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    for checkpoint in checkpoints:
        assert load_masked(checkpoint).pruning is not None
    whole = train(tmp_path, **SAVED, **split(1))
    resumed = train(killed["folder"], resume=True, **SAVED, **split(1))
    assert len(resumed["log"]["loss"]) == len(whole["log"]["loss"]) == 12
    assert difference(whole, resumed) < 1e-5
    other = train(tmp_path / "other", resume=checkpoints[-1], **{**SAVED, "distill_alpha": 0.4}, **split(1))
    assert difference(whole, other) > 1e-3  # the control


if __name__ == "__main__":
    train(Path(sys.argv[1]), callbacks=[SayAndHold(HELD_AT)], **SAVED, **split(2))
