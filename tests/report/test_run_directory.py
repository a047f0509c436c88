"""A run is never overwritten, and is resumed only with the fields that it was started with."""

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trainer_ext import InputError
from trainer_ext.report.run_directory import RunDirectory, check_apart, find_run, start_run
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


@pytest.mark.parametrize(
    ("model", "root", "says"),
    [
        ("m", "m", "is the folder of the model, which would be mixed with the run; choose another --output_dir"),
        ("m", "x/../m", "is the folder of the model"),
        ("m", "link", "is the folder of the model"),
        ("link", "m", "is the folder of the model"),
        ("small/compressed", "small", "The model is in .*compressed, where the run would write"),
        ("small/checkpoints/a/b", "small", "The model is in .*checkpoints, where"),
        ("m", "other", r"is the folder of a model \(it holds a config.json\)"),
    ],
)
def test_a_run_is_not_mixed_with_a_model(tmp_path, model, root, says):
    for name in ("m", "other", "small/compressed", "small/checkpoints/a/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "link").symlink_to("m")
    with pytest.raises(InputError, match=says):
        check_apart(tmp_path / root, {"the model": str(tmp_path / model)})


def test_a_run_may_be_inside_a_model_or_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text("{}")
    for root in ("m/small", "m-small", "new"):
        check_apart(root, {"the model": "m", "the teacher": "owner/m", "another": "x" * 300})
    check_apart("owner/name", {"the model": "owner/name"})  # of the Hub: there is no such folder
    (tmp_path / "deep/m").mkdir(parents=True)
    check_apart("deep", {"the model": "deep/m"})


@pytest.mark.parametrize(
    ("output", "folder", "found"),
    [
        ("runs/small", ".", "w"),
        ("./runs/small/", "data", "w/data"),
        ("small", "../data", "w/runs/../data"),
        (".", "../../data", "w/runs/small/../../data"),
        ("runs/small", "gone", None),  # no such folder
        ("runs/small", "runs", None),  # without the file
        ("runs/other", "data", None),  # it was moved
        ("../runs/small", "data", None),
        ("{root}/w/runs/small", "data", None),
        ("runs/small", "{root}/w/data", "w/data"),
        (5, "data", None),
    ],
)
def test_relative_folders_begin_where_the_run_was_started(tmp_path, monkeypatch, output, folder, found):
    for name in ("w/runs/small/compressed", "w/data"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("w", "w/data"):
        (tmp_path / name / "h.csv").write_text("")
    output = output.format(root=tmp_path) if isinstance(output, str) else output
    folder = folder.format(root=tmp_path)
    (tmp_path / "w/runs/small/recipe.yaml").write_text(f"output_dir: {output}")
    for working, root in (
        (".", "w/runs/small"),
        ("w/runs", "small"),
        ("w/runs/small", "."),
        ("w/runs/small/compressed", ".."),
    ):
        monkeypatch.chdir(tmp_path / working)
        seen = RunDirectory(Path(root)).where_started(folder, ["train.csv", "h.csv"])
        assert seen == (folder if found is None else str(tmp_path / found))


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


def test_the_working_folder_is_filled_if_it_is_empty(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    with whole_folder(Path()) as folder:
        (folder / "all").write_text("")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["model", "model/all"]


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
