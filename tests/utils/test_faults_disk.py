"""Faults of the disk: full or read-only, a command says so in one line, and what was finished stays as it was."""

import pytest

from tests.helpers.commands import recipe_fields, write_recipe, write_task
from tests.helpers.damage import SmallDisk, bytes_of, last_line
from tests.helpers.killing import KILLED
from trainer_ext.report.run_directory import RunDirectory
from trainer_ext.utils.checkpoints import is_complete, last_checkpoint

pytestmark = pytest.mark.slow

FULL, READ_ONLY = "No space left on device", "Read-only file system"


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    disk = SmallDisk(tmp_path_factory.mktemp("small") / "disk")
    yield disk
    disk.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("data"))


def test_a_run_meets_a_full_and_a_read_only_disk_and_goes_on(disk, data, forks, tmp_path):
    run = RunDirectory(disk.folder / "run")
    fields = recipe_fields(data, run.root, num_train_epochs=2, scratch_epochs=5)
    recipe = write_recipe(tmp_path / "recipe.yaml", fields)

    def start(kib, mode="rw", **options):
        disk.leave(kib)
        disk.remount(mode)
        ended = forks.command("compress", recipe, "--resume", **options)
        disk.remount("rw")
        disk.leave(None)
        return ended

    ended = start(None, "ro")
    assert (ended.status, len(ended.errors.splitlines())) == (2, 1)
    assert f"Cannot write to output_dir {run.root}: {READ_ONLY}" in ended.errors
    ended = start(0)
    assert (ended.status, len(ended.errors.splitlines())) == (2, 1)
    assert f"The disk of output_dir {run.root} has 0 MB left" in ended.errors

    # A run that was tried before its training is not tried again, so the disk fills up while it trains.
    assert start(None, die={"open": "*/baseline/checkpoint-*/config.json"}).status in KILLED
    for kib in (40, 200):  # in the first model.safetensors, in the optimizer of a checkpoint
        ended = start(kib)
        assert ended.status == 2
        assert f"Cannot write to {run.root} any more ({FULL}); finished results are kept" in last_line(ended.errors)
        assert not run.baseline.exists()
    assert start(None, die={"open": "*/compressed/checkpoint-8/config.json"}).status in KILLED
    kept, before = last_checkpoint(run.checkpoints("compressed")), bytes_of(run.baseline)
    before |= bytes_of(kept)
    ended = start(100)
    assert ended.status == 2
    assert f"any more ({FULL})" in last_line(ended.errors)
    assert bytes_of(run.baseline, kept) == before
    assert [path for path in run.checkpoints("compressed").iterdir() if is_complete(path)] == [kept]
    ended = start(None, "ro")
    assert (ended.status, READ_ONLY in ended.errors) == (2, True)
    assert bytes_of(run.baseline, kept) == before
    assert start(None, die={"rename": "*/run/compressed"}).status in KILLED  # it went on to the end of the training
    ended = start(0)
    assert (ended.status, f"any more ({FULL})" in last_line(ended.errors)) == (2, True)
    assert bytes_of(run.baseline) == {name: value for name, value in before.items() if "/baseline/" in name}
    assert not run.compressed.exists()


def test_a_folder_for_answers_that_is_read_only_is_refused_before_any_work(disk, data, forks, tmp_path):
    fields = recipe_fields(data, tmp_path / "run", distill_cache_dir=str(disk.folder / "new" / "answers"))
    disk.remount("ro")
    ended = forks.command("compress", write_recipe(tmp_path / "recipe.yaml", fields))
    disk.remount("rw")
    assert (ended.status, len(ended.errors.splitlines())) == (2, 1)
    assert f"cannot be kept in {disk.folder}/new/answers ({READ_ONLY})" in ended.errors
    assert not (tmp_path / "run").exists()


def test_a_full_disk_for_answers_leaves_the_baseline(disk, data, forks, tmp_path):
    changes = {"num_train_epochs": 2, "scratch_epochs": 2, "distill_cache_dir": str(disk.folder / "answers")}
    run = RunDirectory(tmp_path / "run")
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe_fields(data, run.root, **changes))
    disk.leave(30)
    ended = forks.command("compress", recipe)
    disk.leave(None)
    assert ended.status == 2
    words = last_line(ended.errors)
    assert f"The teacher's logits cannot be kept in {disk.folder}/answers" in words
    assert "free some space there" in words
    assert run.baseline.is_dir()
    assert forks.command("compress", recipe, "--resume", die={"rename": "*/run/masked"}).status in KILLED
