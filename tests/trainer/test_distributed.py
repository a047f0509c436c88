"""Several processes: two that share a batch train what one trains with the whole batch, masks and teacher included; one
goes on with what two saved, and two with what one saved; and only the first writes."""

import os
import sys
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parents[2])]  # for the processes that torchrun starts with this file

from tests.helpers.launching import is_main, run, split, train  # noqa: E402
from tests.helpers.training import PRUNE, Rows, make_trainer, new_model  # noqa: E402
from tests.hub.loopback import LoopbackHub  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # several processes start at once, on a machine that may be busy
UNLABELLED = Rows(64)
UNLABELLED.labels[UNLABELLED.ids[:, 1] % 3 < 1] = -100  # a third: some parts of a batch have none, others only those


def by_count(outputs, labels, num_items_in_batch):
    """A loss function as transformers documents it."""
    return torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


# Per case: in how many parts each of two processes takes its rows of a step, and what is trained.
CASES = {
    "pruning": (1, {}),
    "heads": (2, {"prune_attention": "head"}),
    "soft movement": (2, {"prune_method": "soft_movement", "distill_alpha": 0.5}),
    "magnitude": (1, {"prune_method": "magnitude"}),
    "second order": (2, {"prune_method": "obs", "distill_alpha": 0.5}),
    "teacher": (1, {"distill_alpha": 0.5}),
    "teacher, accumulated": (2, {"distill_alpha": 0.5}),
    "cached teacher": (2, {"distill_alpha": 0.5, "distill_cache_dir": "cache"}),
    "uneven labels": (2, {"rows": UNLABELLED}),
    "uneven labels, teacher": (2, {"rows": UNLABELLED, "distill_alpha": 0.5}),
    "loss function": (2, {"rows": UNLABELLED, "distill_alpha": 0.5, "compute_loss_func": by_count}),
    "smoothed": (2, {"label_smoothing_factor": 0.2, "distill_alpha": 0.5}),
    "rows that do not divide": (1, {"rows": Rows(36), "dataloader_drop_last": True}),
    "a count per process": (2, {"distill_alpha": 0.5, "average_tokens_across_devices": False}),
}
RESUMED = {
    "movement": {"distill_alpha": 0.5},
    "soft movement": {"prune_method": "soft_movement"},
    "second order": {"prune_method": "obs", "distill_alpha": 0.5},
}
SAVED = {"save_strategy": "steps", "save_steps": 4}
STEPS = (4, 8)  # in the middle of an epoch and of the ramp; at the end of an epoch, after the ramp
ALL = {
    **{**PRUNE, "prune_recovery_epochs": 0.5, "distill_teacher": "self"},
    **{"prune_speedup": 1.05, "prune_latency_batch_size": 4, "prune_latency_length": 32},
    **{**SAVED, "max_steps": 8, "eval_strategy": "steps", "eval_steps": 4, "hub_model_id": "user/written"},
}


def train_case(folder: Path, case: str, *, processes: int, **changes) -> dict:
    accumulated, fields = CASES[case]
    fields = {**split(processes, accumulated if processes > 1 else 1), **fields, **changes}
    if "distill_cache_dir" in fields:
        fields["distill_cache_dir"] = str(folder / f"answers for {processes}")
    return train(folder / case, **fields)


def resume_all(folder: Path, *, processes: int) -> dict:
    """Every run of RESUMED from every checkpoint that another number of processes saved."""
    return {
        (name, step): train(folder / f"{name} to {processes}", resume=checkpoint, **fields, **split(processes))
        for name, fields in RESUMED.items()
        for step in STEPS
        for checkpoint in [folder / f"{name} in {3 - processes}" / f"checkpoint-{step}"]
    }


def save_all(folder: Path, *, processes: int) -> dict:
    """Every run of RESUMED with checkpoints."""
    return {
        name: train(folder / f"{name} in {processes}", **fields, **SAVED, **split(processes))
        for name, fields in RESUMED.items()
    }


def write_everything(folder: Path) -> list:
    """A run with everything that writes, in a folder that is this process's own; which neurons stayed."""
    own = folder / f"written-by-{os.environ['RANK']}"
    model = new_model(hidden_size=64, intermediate_size=1024, num_hidden_layers=3)
    trainer = make_trainer(own, model=model, distill_cache_dir=str(own / "cache"), **ALL, **split(2))
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    trainer.create_model_card()
    trainer.log_metrics("train", {"loss": 0.0})
    trainer.save_metrics("train", {"loss": 0.0})
    trainer.push_to_hub(license="apache-2.0")
    return trainer.compression.neurons


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def one(folder) -> dict:
    """By one process: the runs that two go on with."""
    return save_all(folder, processes=1)


@pytest.fixture(scope="module")
def two(folder, one) -> dict:
    """Every case, trained by two processes that torchrun starts; what is published goes to a Hub on this machine."""
    with LoopbackHub() as hub:
        run(__file__, str(folder), processes=2, variables=hub.environment(folder / "home"))
        published = set(hub.files("user/written"))
    return {**torch.load(folder / "found.pt", weights_only=True), "published": published}


def assert_same(first: dict, second: dict):
    torch.testing.assert_close(first["weights"], second["weights"], atol=1e-5, rtol=1e-5)
    assert first["structure"] == second["structure"]
    for name, values in second["log"].items():
        assert first["log"][name] == pytest.approx(values, rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(tmp_path, two, case):
    alone = train_case(tmp_path, case, processes=1)
    assert (alone["processes"], two["cases"][case]["processes"]) == (1, 2)
    assert_same(two["cases"][case], alone)


def test_half_of_the_batch_is_another_run(tmp_path, two):
    """The control."""
    half = train_case(tmp_path, "teacher", processes=1, per_device_train_batch_size=4)
    assert half["log"]["loss"] != pytest.approx(two["cases"]["teacher"]["log"]["loss"], rel=1e-3)


def test_a_run_goes_on_in_another_number_of_processes(folder, one, two):
    for resumed in (resume_all(folder, processes=1), two["resumed"]):
        assert len(resumed) == len(RESUMED) * len(STEPS)
        for (name, _), found in resumed.items():
            assert_same(found, one[name])


def test_only_the_first_process_writes(folder, two):
    """Of the others there is the state of their random numbers, as of any Trainer, and what they asked the teacher."""
    first, second = (
        {str(path.relative_to(own)) for path in own.rglob("*") if path.is_file()}
        for own in (folder / "written-by-0", folder / "written-by-1")
    )
    expected = {"model.safetensors", "compression.json", "README.md", "trainer_state.json", "latency_table.json"}
    expected |= {"latency_correction.json", "train_results.json", "all_results.json"}
    assert expected <= first
    assert two["published"] >= {"model.safetensors", "compression.json", "README.md"}
    assert {f"checkpoint-4/{name}" for name in ("model.safetensors", "optimizer.pt", "trainer_state.json")} <= first
    left = {name for name in second if not name.startswith("cache/")}
    assert left == {f"{place}/rng_state_1.pth" for place in ("checkpoint-4", "checkpoint-8", "recovery/checkpoint-2")}
    assert {name.replace("_1", "_0") for name in left} <= first
    assert two["neurons"] == torch.load(folder / "neurons of 1.pt", weights_only=True)  # though one measured the speed


if __name__ == "__main__":
    place = Path(sys.argv[1])
    found = {
        "cases": {case: train_case(place / "two", case, processes=2) for case in CASES},
        "resumed": resume_all(place, processes=2),
        "neurons": write_everything(place),
    }
    save_all(place, processes=2)
    if is_main():
        torch.save(found, place / "found.pt")
    else:
        torch.save(found["neurons"], place / "neurons of 1.pt")
