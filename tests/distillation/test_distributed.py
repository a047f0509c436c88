"""Two processes that share a batch learn from their teacher what one learns, with a map to its width or with a cache.

They are started by `accelerate launch`, with the configuration that the documentation gives.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2])]  # for the processes that accelerate starts with this file

from tests.helpers.distilling import TaskRows, model_for  # noqa: E402
from tests.helpers.launching import ACCELERATE, BATCH, run  # noqa: E402
from tests.helpers.training import arguments, logged  # noqa: E402
from trainer_ext import DistillPruneTrainer  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # several processes start at once, on a machine that may be busy
KIND, EPOCHS = "token_classification", 2


def train(folder: Path) -> list[dict]:
    """Two epochs of 32 rows each way; each process writes how often it asked the teacher and what it logged."""
    found = {}
    for name, fields in {"hidden": {"distill_hidden": 0.5}, "cache": {"distill_cache_dir": f"{folder}/cache"}}.items():
        asked = []
        teacher = model_for(KIND, seed=1, hidden_size=48, num_hidden_layers=3)
        teacher.register_forward_pre_hook(lambda *_, asked=asked: asked.append(1))
        args = arguments(folder, **{"num_train_epochs": EPOCHS, "max_steps": -1, **fields})
        args.per_device_train_batch_size = BATCH // args.world_size
        trainer = DistillPruneTrainer(model_for(KIND), args, train_dataset=TaskRows(32, KIND), teacher=teacher)
        trainer.train()
        found[name] = {key: logged(trainer, key) for key in ("loss", "grad_norm")} | {"asked": len(asked)}
    (folder / f"found-{args.world_size}-{args.process_index}.json").write_text(json.dumps(found))
    return found


def test_two_processes_learn_what_one_learns(tmp_path):
    run(__file__, str(tmp_path), processes=2, launcher=ACCELERATE)
    two = [json.loads((tmp_path / f"found-2-{index}.json").read_text()) for index in range(2)]
    one = train(tmp_path)
    for name in ("loss", "grad_norm"):
        for way in ("hidden", "cache"):
            assert two[0][way][name] == pytest.approx(one[way][name], rel=1e-4)
        assert one["hidden"][name] != pytest.approx(one["cache"][name], rel=1e-4)  # the control
    assert [found["hidden"]["asked"] for found in two] == [4 * EPOCHS] * 2
    # In the second epoch each process meets rows that the other one asked for in the first.
    assert [found["cache"]["asked"] for found in two] == [4, 4]
    assert one["cache"]["asked"] == 0


if __name__ == "__main__":
    train(Path(sys.argv[1]))
