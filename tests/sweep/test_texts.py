"""Sweeps of a fine-tuned model with texts alone: rows show how often a model answers as the baseline does."""

import csv
from functools import partial

import numpy as np
import pytest
import yaml

from tests.helpers.commands import FRAMES, TOPICS, run_command, write_classifier, write_csv, write_recipe
from tests.helpers.publishing import QUIET
from tests.helpers.sweeping import result, row
from trainer_ext import InputError, report
from trainer_ext.export.source import open_source
from trainer_ext.export.verify import answers_of, run_model
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.sweep import runner
from trainer_ext.sweep.collect import objectives, summary_line
from trainer_ext.sweep.config import Job, baseline_fields, read_sweep_file, recipe_from
from trainer_ext.sweep.group import Group
from trainer_ext.sweep.output import read_sweep_json
from trainer_ext.sweep.results import BASELINE, choose
from trainer_ext.sweep.rivals import check_rivals
from trainer_ext.sweep.tables import legend, markdown, quality_columns
from trainer_ext.sweep.worker import run_job
from trainer_ext.tasks.dataset import HELD_OUT

TEXTS = [
    f"{frame.format(word)}{end}" for words in TOPICS.values() for word in words for frame in FRAMES for end in ".!"
]
AGREED = {"metric": "agreement", "split": HELD_OUT, "rows": 100}


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """The folder of a random classifier, whose answers depend on all of its weights."""
    return write_classifier(tmp_path_factory.mktemp("dense"), TEXTS)


def fields_for(folder, model, **changes):
    (folder / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    fields = {
        "model_name_or_path": str(model),
        "texts": str(folder / "texts.txt"),
        "num_train_epochs": 0,
        "max_length": 16,
        "latency_sequence_length": 8,
        "latency_batch_sizes": [1],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return {**fields, **changes}


def recipe_for(folder, model, **changes):
    return write_recipe(folder / "recipe.yaml", fields_for(folder, model, **changes))


def grid_for(folder, recipe, **keys):
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump({"base": recipe.name, "output_dir": str(folder / "out"), **keys}))
    return file


def agreement_of(run) -> float:
    """How often the two models of a run give the same class, by their logits on the held-out texts."""
    found = []
    for folder in (run / "baseline", run / "compressed"):
        source = open_source(folder)
        logits = answers_of(source, source.encoded.tests[HELD_OUT], run_model(source), on_rows=lambda count: None)
        found.append(np.stack(logits).argmax(-1))
    return float(np.mean(found[0] == found[1]))


@pytest.fixture
def sweep_here(monkeypatch):
    """Do the runs of a grid in this process, and return its folder and the result; memory, a process each, is not measured."""
    monkeypatch.setattr(runner, "time_all", partial(runner.time_all, memory=False))

    def sweep(file):
        group = Group(read_sweep_file(file), "", (), None, None, QUIET)
        group.begin()
        for job in group.jobs:
            run_job(group.describe(job))
        return group.directory, runner.finish(group, group.jobs, {}, workers=1)

    return sweep


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_grid_without_labels_shows_the_agreement(dense, tmp_path, sweep_here):
    grid = grid_for(tmp_path, recipe_for(tmp_path, dense), axes={"prune_sparsity": [0.75]})
    directory, found = sweep_here(grid)
    assert found == read_sweep_json(directory.root)
    assert [row.name for row in found.rows] == [BASELINE, "prune_sparsity=0.75"]
    assert {(row.metric, row.split, row.rows, row.difference) for row in found.rows} == {
        ("agreement", HELD_OUT, len(TEXTS) // 5, None)
    }
    whole, small = found.rows
    run = directory.root / small.folder
    assert small.value == pytest.approx(agreement_of(run))
    numbers = report.load(run)
    assert (numbers.quality.metric, numbers.quality.agreement) == ("agreement", small.value)
    assert small.low < small.value < small.high, "or the row shows nothing"
    assert whole.value == 1.0
    assert objectives(directory, Job(small.folder))[0] == small.value
    assert summary_line(numbers).startswith(f"agreement {small.value:.3f} on 36 held-out texts; ")
    assert "of the texts" in found.best["why"]
    with (directory.root / "sweep.csv").open(encoding="utf-8") as file:
        assert {cells["metric"] for cells in csv.DictReader(file)} == {"agreement"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_search_with_a_goal_counts_answers_that_change(dense, tmp_path, monkeypatch, capsys):
    recipe = recipe_for(tmp_path, dense, prune_method="obs")
    words = ("--fastest-within", 90, "--max-runs", 1, "--output_dir", tmp_path / "searched")
    status, _, errors = run_command(monkeypatch, capsys, "sweep", recipe, *words)
    assert status == 0, errors
    found = read_sweep_json(tmp_path / "searched")
    assert found.failed == {}
    assert len(found.rows) == 4, "the baseline and one run, each in PyTorch and in int8"
    assert all(row.metric == "agreement" and row.value <= 1 for row in found.rows)
    assert "the points are those of held-out texts" in " ".join(found.notes)
    best = next(row for row in found.rows if row.title == found.best["title"])
    assert best.value >= 0.1
    assert "loses" in found.best["why"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_labelled_test_rows_are_scored_as_ever(dense, tmp_path, sweep_here):
    write_csv(tmp_path / "test.csv", [("mango and iron", "fruit"), ("ganga once", "river"), ("old tin", "metal")])
    recipe = recipe_for(tmp_path, dense, data_dir=str(tmp_path))
    _, found = sweep_here(grid_for(tmp_path, recipe, axes={"prune_sparsity": [0.5]}))
    assert {(row.metric, row.rows) for row in found.rows} == {("accuracy", 3)}
    assert found.rows[1].difference is not None


def test_a_goal_is_not_judged_on_a_test_set(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "test.csv", [("mango and iron", "fruit"), ("ganga once", "river")])
    recipe = recipe_for(tmp_path, "anywhere", prune_sparsity=0.5, data_dir=str(tmp_path))
    words = ("--smallest-within", 1, "--output_dir", tmp_path / "out")
    status, _, errors = run_command(monkeypatch, capsys, "sweep", recipe, *words)
    assert status == 2
    assert "--smallest-within with texts judges by the answers to texts that are held out" in errors
    assert "leave data_dir and test_file out" in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_rivals_and_a_training_on_labels_are_refused(tmp_path):
    fields = fields_for(tmp_path, "anywhere", prune_sparsity=0.5)
    with pytest.raises(InputError, match="--rivals: they learn from labels, and texts has none: leave it out"):
        check_rivals(recipe_from(fields))
    with pytest.raises(InputError, match="Training on labels needs labels, and texts has none"):
        recipe_from({**fields, "num_train_epochs": 3})


@pytest.mark.parametrize("changes", [{}, {"num_train_epochs": 3, "distill_teacher": "self", "distill_alpha": 1}])
def test_the_recipe_of_the_shared_baseline_can_be_read(tmp_path, changes):
    fields = baseline_fields(fields_for(tmp_path, "anywhere", **changes), Job("x"))
    recipe = recipe_from(fields)
    assert (recipe.training.num_train_epochs, recipe.training.teacher_names) == (0, [])
    labelled = {name: value for name, value in fields_for(tmp_path, "anywhere").items() if name != "texts"}
    assert read_recipe(None, ["--model_name_or_path", "m"]).data.texts is None
    assert recipe_from(baseline_fields({**labelled, "data_dir": "d"}, Job("x"))).training.num_train_epochs == 0


def test_the_fastest_that_agrees_often_enough_is_chosen():
    def model(name, value, speed):
        return row(name, value, speedup={"1 x 8": speed}, folder=name, **AGREED)

    dense = row(BASELINE, 1.0, speedup={"1 x 8": 1.0}, **AGREED)
    chosen, why = choose([dense, model("a", 0.97, 1.5), model("b", 0.9, 2.0), model("c", 0.89, 3.0)])
    assert chosen.name == "b"
    assert "the fastest at 1 x 8 that answers at least 90 % of the texts as the baseline does" in why
    chosen, why = choose([dense, model("d", 0.8, 1.5), model("e", 0.7, 2.0)])
    assert chosen.name == "d"
    assert why.startswith("every model answers less than 90 % of the texts as the baseline does; this one agrees most")


def test_the_table_says_what_its_numbers_are():
    found = result(row(BASELINE, 1.0, **AGREED), row("a", 0.97, **AGREED))
    assert [column.heading for column in quality_columns(found)][:1] == ["same answer %"]
    assert "difference" not in markdown(found)
    assert "Same answer: texts without labels that the baseline answers alike." in legend(found)
    assert not any("without labels" in line for line in legend(result(row())))
