"""Numbers on the command line: a training that diverges and a model that is broken end with one line."""

import math
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.helpers.commands import recipe_fields, run_command, write_recipe, write_task
from trainer_ext.report.run_directory import RunDirectory


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("task"))


def attempt(monkeypatch, capsys, folder, task, **changes):
    """Exit status, the last line of standard error, and the folder of a run that cannot end well."""
    fields = recipe_fields(task, folder / "run", scratch_epochs=2, num_train_epochs=2, **changes)
    path = write_recipe(folder / "recipe.yaml", fields)
    status, _, err = run_command(monkeypatch, capsys, "compress", path, "--resume")
    assert "Traceback" not in err
    return status, err.strip().splitlines()[-1], RunDirectory(folder / "run")


def test_a_baseline_that_diverges_is_no_baseline(monkeypatch, capsys, tmp_path, task):
    for _ in range(2):  # the second goes on where the first ended, and ends there too
        status, line, run = attempt(monkeypatch, capsys, tmp_path, task, scratch_learning_rate=1e30)
        assert status == 1
        assert "The training of baseline/ diverged: NaN or infinite weights in " in line
        assert not run.baseline.exists()
        assert not run.report.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "The scores of "),
        ({"prune_method": "none"}, "The training of compressed/ diverged: "),
    ],
    ids=["pruned", "taught"],
)
def test_a_compression_that_diverges_leaves_the_baseline(monkeypatch, capsys, tmp_path, task, changes, words):
    status, line, run = attempt(monkeypatch, capsys, tmp_path, task, scratch_compression_rate=1e30, **changes)
    assert status == 1
    assert words in line
    assert "learning_rate" in line
    assert run.baseline.is_dir()
    assert not run.compressed.exists()
    assert not run.report.exists()


def test_a_model_with_a_broken_weight_is_refused(monkeypatch, capsys, tmp_path, finished_run):
    broken = shutil.copytree(finished_run / "baseline", tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["classifier.weight"][0, 0] = math.nan
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    data = finished_run.parent / "data"
    for changes in ({}, {"distill_teacher": str(broken), "model_name_or_path": str(finished_run / "baseline")}):
        fields = {"model_name_or_path": str(broken), "baseline_epochs": 0, **changes}
        status, line, run = attempt(monkeypatch, capsys, tmp_path, data, **fields)
        assert status == 2
        assert "classifier.weight holds NaN or infinite numbers" in line
        assert not run.root.exists()
