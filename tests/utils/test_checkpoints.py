"""Resuming: the newest complete checkpoint is taken, one that was cut off never, and a finished run makes no more steps."""

import shutil

import pytest

from tests.helpers.training import PRUNE, differing, logged, make_trainer, new_model, without_timing
from trainer_ext import InputError
from trainer_ext.utils.checkpoints import checkpoint_to_resume, is_complete, is_finished, last_checkpoint

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "config.json")
WHOLE = '{"global_step": 4, "max_steps": 8}'


def write_checkpoint(folder, step, *, state=WHOLE, without=()):
    """What Trainer leaves, by name."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    for name in {*FILES} - {*without}:
        (checkpoint / name).write_text("")
    if state is not None:
        (checkpoint / "trainer_state.json").write_text(state)
    return checkpoint


def test_the_newest_complete_checkpoint_is_found(tmp_path):
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "nowhere") is None
    for step, state in ((8, WHOLE), (12, WHOLE), (16, "{}"), (20, "[1]"), (100, '{"cut o'), (104, None), (108, "")):
        write_checkpoint(tmp_path, step, state=state)
    write_checkpoint(tmp_path, "best")
    assert last_checkpoint(tmp_path).name == "checkpoint-12"


@pytest.mark.parametrize("name", FILES[:4])
def test_one_that_was_being_removed_is_not_complete(tmp_path, name):
    checkpoint = write_checkpoint(tmp_path, 4, without=[name])
    assert not is_complete(checkpoint)
    (checkpoint / name).write_text("")
    assert is_complete(checkpoint)


def test_folders_of_a_sharded_checkpoint_count(tmp_path):
    checkpoint = write_checkpoint(tmp_path, 4, without=FILES)
    assert not is_complete(checkpoint)
    (checkpoint / "global_step4").mkdir()
    assert is_complete(checkpoint)


def test_the_last_step_is_known(tmp_path):
    assert not is_finished(write_checkpoint(tmp_path, 4))
    assert is_finished(write_checkpoint(tmp_path, 8, state='{"global_step": 8, "max_steps": 8}'))


def test_what_is_asked_for(tmp_path):
    whole, cut = write_checkpoint(tmp_path, 4), write_checkpoint(tmp_path, 8, state='{"cut')
    assert checkpoint_to_resume(tmp_path, None) is None
    assert checkpoint_to_resume(tmp_path, False) is None
    assert checkpoint_to_resume(tmp_path, True) == str(whole)
    assert checkpoint_to_resume(tmp_path, str(whole)) == str(whole)
    assert checkpoint_to_resume(tmp_path, "elsewhere/model") == "elsewhere/model"
    with pytest.raises(InputError, match="checkpoint-8 is incomplete .*: delete it"):
        checkpoint_to_resume(tmp_path, str(cut))
    shutil.rmtree(whole)
    with pytest.raises(InputError, match="is complete: delete checkpoint-8, and start without"):
        checkpoint_to_resume(tmp_path, True)
    shutil.rmtree(cut)
    with pytest.raises(InputError, match="No checkpoint in"):
        checkpoint_to_resume(tmp_path, True)


SAVES = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
OTHER_RUNS = {  # written by, resumed by, said
    "stock": ({}, PRUNE, "checkpoint-4 has no masks, and this run prunes.*: open it as the model to start from"),
    "pruned": (PRUNE, {"distill_teacher": "self"}, "has masks, and this run prunes nothing"),
    "method": (PRUNE, PRUNE | {"prune_method": "magnitude"}, "prune_method=movement, and this run has magnitude"),
    "units": (PRUNE, PRUNE | {"prune_attention": "head"}, "prune_attention=block, and this run has head"),
    "blocks": (PRUNE, PRUNE | {"prune_block_size": 4}, "prune_block_size=8, and this run has 4"),
    "structure": (
        PRUNE,
        PRUNE | {"prune_structure": "plain", "prune_sparsity": 0.3},
        "prune_structure=compact, and this run has plain",
    ),
    "model": (
        PRUNE,
        PRUNE | {"model": {"num_hidden_layers": 3}},
        r"another model or teacher: .*layer\.2.* missing there",
    ),
    "widths": (PRUNE, PRUNE | {"model": {"intermediate_size": 32}}, r"is \[64\] there and \[32\] here"),
    "teacher": (
        {"distill_hidden": 1.0, "teacher": {"hidden_size": 16}},
        {"distill_teacher": "self"},
        r"distillation\..* and missing here",
    ),
}


@pytest.mark.parametrize(("first", "then", "says"), OTHER_RUNS.values(), ids=OTHER_RUNS)
def test_a_checkpoint_of_another_run_is_refused(first, then, says, tmp_path):
    """Trainer would load what fits and leave the rest as it is."""

    def run(fields):
        made = {name: new_model(**value) for name, value in fields.items() if name in ("model", "teacher")}
        return make_trainer(tmp_path, rows=32, **SAVES | fields | made)

    run(first).train()
    with pytest.raises(InputError, match=says):
        run(then).train(resume_from_checkpoint=True)
    run(first | {"max_steps": 6}).train(resume_from_checkpoint=True)  # the control: its own run goes on


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_finished_run_in_the_middle_of_an_epoch_makes_no_more_steps(tmp_path, schedule):
    """`Trainer` itself makes one: with a constant learning rate it moves every weight."""
    fields = {**PRUNE, "max_steps": 6, "save_strategy": "steps", "save_steps": 3, "lr_scheduler_type": schedule}
    whole, resumed = (make_trainer(tmp_path, rows=32, **fields) for _ in range(2))
    whole.train()
    resumed.train(resume_from_checkpoint=True)
    assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []
    logs = [without_timing(trainer.state.log_history) for trainer in (whole, resumed)]
    assert [entry for entry in logs[0] if "loss" in entry] == [entry for entry in logs[1] if "loss" in entry]
    assert not (tmp_path / "checkpoint-7").exists()
    assert (logged(whole, "learning_rate")[-1] > 5e-4) is (schedule == "constant")


def test_without_compression_it_is_trainer(tmp_path):
    """Its further step included: a script that prunes nothing must not find another result."""
    trainer = make_trainer(tmp_path, max_steps=6, save_strategy="steps", save_steps=3)
    trainer.train()
    resumed = make_trainer(tmp_path, max_steps=6, save_strategy="steps", save_steps=3)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 7
