"""Which run a path belongs to, however it is written."""

import pytest

from trainer_ext import InputError
from trainer_ext.data.arguments import DataArguments
from trainer_ext.export.source import _read, _seen_from_here, model_folder, run_at


@pytest.fixture
def run(tmp_path):
    """A run with its two models, and links to both kinds of folders."""
    for name in ("baseline", "compressed/onnx"):
        (tmp_path / "run" / name).mkdir(parents=True)
    (tmp_path / "run/recipe.yaml").write_text("seed: 1")
    (tmp_path / "link").symlink_to("run/compressed")
    (tmp_path / "disk").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/recipe.yaml").write_text("seed: 1")
    (tmp_path / "linked/compressed").symlink_to(tmp_path / "disk")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("working", "path", "model"),
    [
        (".", "run", "run/compressed"),
        (".", "run/compressed", "run/compressed"),
        (".", "run/baseline/", "run/baseline"),
        (".", "link", "run/compressed"),
        (".", "linked/compressed", "disk"),
        ("run", ".", "run/compressed"),
        ("run", "baseline", "run/baseline"),
        ("run/compressed", ".", "run/compressed"),
        ("run/baseline", ".", "run/baseline"),
        ("run/compressed", "..", "run/compressed"),
        ("run/compressed", "../baseline", "run/baseline"),
        ("run/compressed/onnx", "..", "run/compressed"),
        ("run/compressed/onnx", "../../baseline", "run/baseline"),
    ],
)
def test_the_run_of_a_folder_is_found_from_wherever_it_is_named(run, monkeypatch, working, path, model):
    monkeypatch.chdir(run.parent / working)
    found = run_at(path)
    assert found is not None
    assert found.recipe.samefile(run.parent / ("linked" if model == "disk" else "run") / "recipe.yaml")
    assert model_folder(path).resolve() == run.parent / model
    assert model_folder(path).relative_to(found.root), "an export is recorded by its path in the run"


@pytest.mark.parametrize(
    ("working", "path"), [("run/compressed", "onnx"), ("run/compressed/onnx", "."), (".", "disk")]
)
def test_another_folder_is_in_no_run(run, monkeypatch, working, path):
    monkeypatch.chdir(run.parent / working)
    assert run_at(path) is None
    assert model_folder(path).samefile(path)


def test_the_data_of_a_run_are_found_from_wherever_it_is_named(run, monkeypatch):
    (run / "recipe.yaml").write_text("output_dir: run")
    for name in ("h.csv", "texts.txt"):
        (run.parent / name).write_text("")
    args = DataArguments(data_dir=".", train_files=["h.csv"], texts="texts.txt")
    monkeypatch.chdir(run / "compressed")
    for path in (".", "..", run, run / "baseline"):
        assert _seen_from_here(args, run_at(path)) == [
            *("--texts", str(run.parent / "texts.txt")),
            *("--data_dir", str(run.parent)),
        ]


def test_data_that_are_gone_are_asked_for(run):
    with pytest.raises(
        InputError, match=f"'h.csv'.*These are the data of {run}; if they are elsewhere, give --data_dir"
    ):
        _read(DataArguments(data_dir=str(run), train_files=["h.csv"]), run_at(run), [])
    with pytest.raises(
        InputError, match=r"^--data_dir .*gone does not exist; name the folder that holds the data files\.$"
    ):
        _read(DataArguments(data_dir=str(run / "gone")), run_at(run), [])
