"""Run directories: a run is not written over, is continued only with the fields it was started with, and whole."""

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


def test_a_folder_that_holds_a_run_is_refused_without_resume(tmp_path):
    open_run(tmp_path, RECIPE, resume=False)
    with pytest.raises(InputError, match="already holds a run.*--resume"):
        open_run(tmp_path, RECIPE, resume=False)
    assert open_run(tmp_path, RECIPE, resume=True).root == tmp_path


def test_other_files_in_the_folder_do_not_make_it_a_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    open_run(tmp_path, RECIPE, resume=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("same", [{"prune_sparsity": "5e-1"}, {"seed": "1"}, {"output_dir": "elsewhere"}])
def test_the_same_fields_written_differently_continue_a_run(tmp_path, same):
    open_run(tmp_path, RECIPE, resume=False)
    open_run(tmp_path, {**RECIPE, **same}, resume=True)


@pytest.mark.parametrize(
    ("other", "word"), [({"prune_sparsity": 0.4}, "prune_sparsity=0.5"), ({"bf16": True}, "bf16=None")]
)
def test_other_fields_do_not(tmp_path, other, word):
    open_run(tmp_path, RECIPE, resume=False)
    with pytest.raises(InputError, match=f"was started with {word}"):
        open_run(tmp_path, {**RECIPE, **other}, resume=True)


def test_results_without_a_recipe_cannot_be_continued(tmp_path):
    (tmp_path / "compressed").mkdir()
    with pytest.raises(InputError, match=r"no recipe\.yaml"):
        open_run(tmp_path, RECIPE, resume=True)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file"):
        open_run(tmp_path / "run", RECIPE, resume=False)
    with pytest.raises(InputError, match="Cannot write to output_dir"):
        open_run(tmp_path / "run" / "below", RECIPE, resume=False)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody may write to, /proc")
def test_a_folder_that_cannot_be_written_is_refused():
    with pytest.raises(InputError, match="Cannot write to output_dir"):
        open_run("/proc/self/fd/run", RECIPE, resume=False)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
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


def test_a_folder_takes_nobodys_place(tmp_path):
    """Whatever was put there in the meantime stays."""
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "model") as folder:  # noqa: PT012
        (folder / "ours").write_text("")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "theirs").write_text("")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["model", "model/theirs"]


def test_a_file_is_replaced_whole(tmp_path):
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "a", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "new")]


def test_a_file_that_several_write_at_once_is_whole(tmp_path):
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


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, live = (tmp_path / f".a.{platform.node()}-{number}-1.part" for number in (gone.pid, os.getpid()))
    for part in (left, live):
        part.write_text("half")
    write_text(tmp_path / "a", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"a", live.name}
