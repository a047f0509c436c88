"""The search command in real processes: killed between two runs it continues where it was, chooses by held-out rows, and
explains why it stopped."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.helpers.commands import recipe_fields, run_command, write_recipe, write_task
from trainer_ext import InputError, report
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.sweep.output import read_sweep_json
from trainer_ext.sweep.rivals import check_rivals
from trainer_ext.sweep.storage import SweepDirectory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # on a busy machine: its fixture starts two searches


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A tiny recipe whose task is easily learned."""
    folder = tmp_path_factory.mktemp("search")
    fields = recipe_fields(write_task(folder / "data"), folder / "unused", num_train_epochs=2, scratch_epochs=20)
    return write_recipe(folder / "tiny.yaml", {k: v for k, v in fields.items() if k != "output_dir"})


@pytest.fixture(scope="module")
def found(recipe):
    """A search of two runs, killed while the second one is at work, and started again."""
    out = recipe.parent / "out"
    command = [sys.executable, "-m", "trainer_ext", "sweep", str(recipe), "--smallest-within", "90", "--max-runs", "2"]
    command += ["--output_dir", str(out), "--holdout_share", "0.3"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    place = SweepDirectory(out)
    with subprocess.Popen(command, **quiet) as first:
        end = time.monotonic() + 600
        while not (finished := list(out.glob("*/variants.json"))) or not _works(place, finished):
            assert time.monotonic() < end, "timed out"
            assert first.poll() is None, first.stdout.read()
            time.sleep(0.1)
        os.kill(first.pid, signal.SIGKILL)
    created = report.load(finished[0].parent).created
    second = subprocess.run(command, **quiet, timeout=600)
    return {
        "out": out,
        "first": finished[0].parent,
        "created": created,
        "status": second.returncode,
        "words": second.stdout,
    }


def _works(place: SweepDirectory, finished) -> bool:
    """Whether a run that is not finished is worked on."""
    names = {path.stem for path in (place.shared / "jobs").glob("*.json")} - {one.parent.name for one in finished}
    return any(place.is_busy(name) for name in names)


def test_a_killed_search_continues_where_it_was(found):
    assert found["status"] == 0, found["words"]
    assert report.load(found["first"]).created == found["created"]
    result = read_sweep_json(found["out"])
    assert len({row.name for row in result.rows}) == 3  # the baseline and two runs
    assert "stopped after 2 runs" in result.notes[0]
    assert "2 of 2 runs used" in result.notes[0]


def test_the_choice_is_made_on_held_out_rows(found):
    result = read_sweep_json(found["out"])
    recipe = yaml.safe_load((found["first"] / "recipe.yaml").read_text())
    assert recipe["holdout_share"] == 0.3
    numbers = report.load(found["first"])
    assert numbers.other_quality[-1].split == "holdout"
    assert numbers.quality.split != "holdout"
    held = [row.holdout for row in result.rows[1:]]
    assert all(one["rows"] == numbers.other_quality[-1].rows for one in held)
    assert "on the rows held out to choose by" in result.best["why"]
    assert (found["out"] / "best" / "compressed" / "config.json").is_file()


def test_int8_of_the_baseline_and_of_every_run_is_judged_and_timed(found):
    rows = read_sweep_json(found["out"]).rows
    quantised = [row for row in rows if row.precision == "int8"]
    assert len(quantised) == 3
    assert all(row.speedup["4 x 8"] > 0 and row.bytes > 0 and row.difference is not None for row in quantised)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--smallest-within", "-1"], "--smallest-within must be a number of 0 or more"),
        (["--best-at", "0.5"], "--best-at must be a number of 1 or more"),
        (["--best-at", "2", "--sure"], "--best-at"),
        (["--fastest-within", "nan"], "--fastest-within must be a number"),
        (["--smallest-within", "1", "--workers", "2"], "--workers: a search needs the result of each run"),
        (["--smallest-within", "1", "--group", "SHC"], "--group chooses groups of a sweep file"),
        (["--sure"], "--sure needs --smallest-within"),
        (["--smallest-within", "1", "--max-runs", "0"], "--max-runs must be 1 or more"),
        (["--smallest-within", "1", "--holdout_share", "0.9"], "holdout_share"),
        (
            ["--smallest-within", "1", "--vocab_size", "60", "--vocab_when", "before"],
            "tries sizes of the vocabulary against one baseline",
        ),
    ],
)
def test_bad_input_is_one_line(recipe, monkeypatch, capsys, tmp_path, words, told):
    status, _, said = run_command(monkeypatch, capsys, "sweep", recipe, "--output_dir", tmp_path / "x", *words)
    assert status == 2
    assert told in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_rivals_join_a_finished_search_without_another_run(found, recipe, monkeypatch, capsys):
    created = report.load(found["first"]).created
    words = ("--smallest-within", "90", "--max-runs", "2", "--holdout_share", "0.3", "--output_dir", found["out"])
    status, _, errors = run_command(monkeypatch, capsys, "sweep", recipe, *words, "--rivals")
    assert status == 0, errors
    assert report.load(found["first"]).created == created
    notes = [note for note in read_sweep_json(found["out"]).notes if note.startswith("Without a transformer")]
    assert all(word in " ".join(notes) for word in ("linear classifier", "mean of token vectors", "baseline"))
    assert len(notes) == 3


def test_rivals_are_refused_where_they_cannot_learn(recipe, tmp_path, monkeypatch, capsys):
    task = ("--problem_type", "multi_label_classification")
    words = ("--smallest-within", "1", "--output_dir", tmp_path / "out", *task, "--rivals")
    status, _, errors = run_command(monkeypatch, capsys, "sweep", recipe, *words)
    assert status == 2
    assert "--rivals: they learn one class per text" in " ".join(errors.split())
    with pytest.raises(InputError, match="--rivals: they read one text per row, and this recipe has pairs"):
        check_rivals(read_recipe(recipe, ["--text_pair_column", "question"]))
    assert not (tmp_path / "out").exists()
