"""A run is never overwritten, and is resumed only with the fields that it was started with."""

import os
import platform
import subprocess
import sys
import threading

import pytest

from trainer_ext import InputError
from trainer_ext.report.run_directory import find_run, start_run
from trainer_ext.utils.files import whole_folder, write_text

RECIPE = {"prune_sparsity": 0.5, "seed": 1, "output_dir": "x"}


def open_run(root, recipe, *, resume):
    run = find_run(root, recipe, resume=resume)
    start_run(run, recipe)
    return run


def test_a_folder_with_a_run_is_refused_without_resume(tmp_path):
    open_run(tmp_path, RECIPE, resume=False)
    with pytest.raises(InputError, match="already holds a run.*--resume"):
        open_run(tmp_path, RECIPE, resume=False)
    assert open_run(tmp_path, RECIPE, resume=True).root == tmp_path


def test_other_files_in_the_folder_do_not_make_it_a_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    open_run(tmp_path, RECIPE, resume=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("same", [{"prune_sparsity": "5e-1"}, {"seed": "1"}, {"output_dir": "elsewhere"}])
def test_a_run_resumes_with_the_same_fields_in_another_spelling(tmp_path, same):
    open_run(tmp_path, RECIPE, resume=False)
    open_run(tmp_path, {**RECIPE, **same}, resume=True)


@pytest.mark.parametrize(
    ("other", "word"), [({"prune_sparsity": 0.4}, "prune_sparsity=0.5"), ({"bf16": True}, "bf16=None")]
)
def test_a_run_does_not_resume_with_other_fields(tmp_path, other, word):
    open_run(tmp_path, RECIPE, resume=False)
    with pytest.raises(InputError, match=f"was started with {word}"):
        open_run(tmp_path, {**RECIPE, **other}, resume=True)


@pytest.mark.parametrize(("before", "now"), [({}, {"bf16": False}), ({"sizes": [1, 32]}, {}), ({"bf16": None}, {})])
def test_a_field_at_its_default_is_as_one_that_is_not_given(tmp_path, before, now):
    defaults = {"bf16": False, "sizes": [1, 32]}
    open_run(tmp_path, {**RECIPE, **before}, resume=False)
    assert find_run(tmp_path, {**RECIPE, **now}, resume=True, defaults=defaults).holds_run
    with pytest.raises(InputError, match="bf16"):
        find_run(tmp_path, {**RECIPE, "bf16": True}, resume=True, defaults=defaults)


def test_results_without_a_recipe_cannot_be_resumed(tmp_path):
    (tmp_path / "compressed").mkdir()
    with pytest.raises(InputError, match=r"no recipe\.yaml"):
        open_run(tmp_path, RECIPE, resume=True)


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file"):
        open_run(tmp_path / "run", RECIPE, resume=False)
    with pytest.raises(InputError, match="Cannot write to output_dir"):
        open_run(tmp_path / "run" / "below", RECIPE, resume=False)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody may write to, /proc")
def test_a_read_only_folder_is_refused():
    with pytest.raises(InputError, match="Cannot write to output_dir"):
        open_run("/proc/self/fd/run", RECIPE, resume=False)


def test_a_folder_is_never_half_written(tmp_path):
    def fill_half():
        with whole_folder(tmp_path / "model") as folder:
            (folder / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_half()
    assert list(tmp_path.iterdir()) == []
    with whole_folder(tmp_path / "model") as folder:
        (folder / "all").write_text("")
        assert not (tmp_path / "model").exists()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["all"]


def test_a_folder_does_not_replace_another_one(tmp_path):
    """A folder that another process made in the meantime stays."""
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "model") as folder:  # noqa: PT012
        (folder / "ours").write_text("")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "theirs").write_text("")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["model", "model/theirs"]


def test_a_file_is_replaced(tmp_path):
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "a", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "new")]


def test_a_file_that_several_threads_write_is_never_mixed(tmp_path):
    failed, read = [], set()

    def write(text):
        try:
            for _ in range(50):
                write_text(tmp_path / "a", text)
                read.add((tmp_path / "a").read_text())
        except OSError as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(letter * 9999,)) for letter in "xyz"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    assert read <= {letter * 9999 for letter in "xyz"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_leftovers_of_killed_processes_are_removed_and_files_of_running_ones_stay(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, live = (tmp_path / f".a.{platform.node()}-{number}-1.part" for number in (gone.pid, os.getpid()))
    for part in (left, live):
        part.write_text("half")
    write_text(tmp_path / "a", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"a", live.name}
