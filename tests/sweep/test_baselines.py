"""Several baselines in one sweep: each run is timed beside its own, each has a row, and a run that was done again is measured."""

import json
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console

from tests.helpers.sweeping import result, row
from trainer_ext.sweep import runner
from trainer_ext.sweep.baselines import baselines_of, differ_by_seed_alone
from trainer_ext.sweep.collect import Times
from trainer_ext.sweep.config import read_sweep_file
from trainer_ext.sweep.output import JSON, to_json
from trainer_ext.sweep.plot import model_numbers
from trainer_ext.sweep.results import BASELINE
from trainer_ext.sweep.storage import SweepDirectory
from trainer_ext.sweep.study import range_job
from trainer_ext.sweep.tables import legend, markdown, ordered

SIZES = {"quarter": {"prune_sparsity": 0.25}, "half": {"prune_sparsity": 0.5}}
BASES = {"good": {"baseline_epochs": 4}, "weak": {"baseline_epochs": 0.1, "model_name_or_path": "other"}}
SEEDS = {"17": {"seed": 17}, "23": {"seed": 23}}


@pytest.fixture
def file(tmp_path):
    """`file(**axes)`: a sweep file with these axes; `file(ranges=...)`: one with ranges."""
    (tmp_path / "base.yaml").write_text("model_name_or_path: scratch\n")

    def make(ranges=None, **axes):
        what = {"ranges": ranges, "trials": 3} if ranges else {"axes": axes}
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"base": "base.yaml", **what}, sort_keys=False))
        return read_sweep_file(tmp_path / "sweep.yaml")

    return make


def names(file, jobs=None):
    found = baselines_of(file, {"model_name_or_path": "m"}, jobs or file.jobs())
    return {one.name: [job.name for job in one.jobs] for one in found}


def test_baselines_are_named_after_the_labels_in_which_they_differ(file):
    one = file(size=SIZES, teacher={"none": {}, "KD": {"distill_teacher": "self"}})
    assert list(names(one)) == [BASELINE]
    several = file(base=BASES, size=SIZES)
    assert names(several) == {
        "baseline (good)": ["good, quarter", "good, half"],
        "baseline (weak)": ["weak, quarter", "weak, half"],
    }
    assert list(names(several, several.jobs()[:2])) == [BASELINE], "only one of them is there yet"
    assert list(names(file(base=BASES, seed=SEEDS))) == [
        f"baseline ({base}, {seed})" for base in ("good", "weak") for seed in ("17", "23")
    ]


def test_baselines_of_a_search_are_named_after_the_numbers(file):
    ranges = file(ranges={"baseline_epochs": [1.0, 4.0], "prune_sparsity": [0.2, 0.8]})
    numbers = (1.5, 2.5)
    jobs = [range_job(index, {"baseline_epochs": one, "prune_sparsity": 0.5}) for index, one in enumerate(numbers)]
    assert list(names(ranges, jobs)) == ["baseline (baseline_epochs=1.5)", "baseline (baseline_epochs=2.5)"]
    near = [
        range_job(index, {"baseline_epochs": one, "prune_sparsity": 0.5}) for index, one in enumerate((2.0, 2.0001))
    ]
    assert list(names(ranges, near)) == ["baseline (trial 0)", "baseline (trial 1)"]


def test_seeds_alone(file):
    assert differ_by_seed_alone({}, file(seed=SEEDS, size=SIZES).jobs())
    assert differ_by_seed_alone({}, file(size=SIZES).jobs())
    assert not differ_by_seed_alone({}, file(base=BASES, size=SIZES).jobs())


def test_the_page_has_a_row_for_each_baseline():
    rows = [row(f"{BASELINE} (good)", 0.9), row("good, half", 0.8, folder="a"), row(f"{BASELINE} (weak)", 0.6)]
    rows = [replace(one, speedup={"1 x 8": 1.0}) for one in (*rows, row("weak, half", 0.6, folder="b"))]
    assert [one.name for one in ordered(rows)] == [
        f"{BASELINE} (good)",
        f"{BASELINE} (weak)",
        "good, half",
        "weak, half",
    ]
    assert list(model_numbers(rows).values()) == ["B1", "B2", "1", "2"]
    assert any("the baseline of each model" in line for line in legend(result(*rows)))
    assert "| baseline (weak) " in markdown(result(*rows))
    assert not row(f"{BASELINE} (my label)", folder="x").is_baseline, "a run may have that label"


@pytest.fixture
def measured(file, tmp_path, monkeypatch):
    """`measured(**axes)`: measure finished runs with made-up numbers; returns the result, and what was timed together.

    `measured.created` says when the report of a run was made, by its name.
    """
    place = SweepDirectory(tmp_path / "out")
    place.shared.mkdir(parents=True)
    created, latency = {}, {}

    def time_all(baseline, models, recipe, *, console):
        timed.append([str(path.parent.name) for path in (baseline, *models)])
        found = {str(path): Times(speedup={"1 x 8": 2.0}, median_ms={"1 x 8": 5.0}) for path in (baseline, *models)}
        for path in models:
            found[str(path)].report = [f"beside {baseline.parent.name}"]
        return found, "a machine"

    def rows_of(place, job):
        value = 0.9 if "good" in job.name else 0.6
        about = {"difference": 0.0, "difference_low": -0.01, "difference_high": 0.01, "folder": job.folder}
        return {str(place.run(job).compressed): row(job.name, value, settings=job.settings, **about)}

    def write_sweep(found, folder):
        (folder / JSON).write_text(to_json(found))
        return []

    def load(folder):
        return SimpleNamespace(created=created.get(folder.name, "2026-01-01T00:00:00+00:00"))

    monkeypatch.setattr(runner, "as_started", lambda recipe, run: recipe)
    monkeypatch.setattr(
        runner, "baseline_rows", lambda place, job, name: {str(place.run(job).baseline): row(name, 0.9)}
    )
    monkeypatch.setattr(runner, "rows_of", rows_of)
    monkeypatch.setattr(runner, "time_all", time_all)
    monkeypatch.setattr(runner, "write_latency", lambda place, job, rows: latency.update({job.name: rows}))
    monkeypatch.setattr(runner, "keep_best", lambda place, job: None)
    monkeypatch.setattr(runner, "write_sweep", write_sweep)
    monkeypatch.setattr(runner.report, "load", load)
    recipe = SimpleNamespace(model=SimpleNamespace(measure_energy=False))
    timed = []

    def make(failed=None, **axes):
        timed.clear()
        found = file(**axes)
        group = SimpleNamespace(
            **{"file": found, "jobs": found.jobs(), "directory": place, "common": {}, "recipe": recipe},
            **{"scale": None, "command": None, "console": Console(file=StringIO())},
        )
        done = [job for job in group.jobs if job.name not in (failed or {})]
        return runner.finish(group, done, failed or {}, workers=1), [*timed]

    make.created, make.latency, make.place = created, latency, place
    return make


def test_each_run_is_timed_beside_its_own_baseline(measured):
    found, timed = measured(base=BASES, size=SIZES)
    assert timed == [["good-quarter", "good-quarter", "good-half"], ["weak-quarter", "weak-quarter", "weak-half"]]
    assert [one.name for one in found.rows][:2] == ["baseline (good)", "baseline (weak)"]
    assert measured.latency["good, half"] == ["beside good-quarter"]
    assert measured.latency["weak, half"] == ["beside weak-quarter"]
    assert found.best["title"] == "good, quarter"


def test_with_one_baseline_all_are_timed_together(measured):
    found, timed = measured(size=SIZES)
    assert timed == [["quarter", "quarter", "half"]]
    assert [one.name for one in found.rows] == [BASELINE, "quarter", "half"]


def test_a_run_that_was_done_again_is_measured_again(measured):
    first, timed = measured(size=SIZES)
    assert timed
    again, timed = measured(size=SIZES)
    assert (again, timed) == (first, []), "nothing is measured twice"
    measured.created["quarter"] = "2026-01-01T00:00:01+00:00"
    assert measured(size=SIZES)[1], "its report is another one"
    assert not measured(size=SIZES)[1]
    (measured.place.shared / "measured.json").unlink()  # as an older version leaves it
    assert not measured(size=SIZES)[1]
    measured.created["quarter"] = "2999-01-01T00:00:00+00:00"
    assert measured(size=SIZES)[1]


def test_a_failure_is_forgotten_with_its_label(measured):
    found, _ = measured(failed={"half": "there is no such model"}, size=SIZES)
    assert list(found.failed) == ["half"]
    other = {"quarter": SIZES["quarter"], "most": {"prune_sparsity": 0.75}}
    found, timed = measured(size=other)
    assert (found.failed, bool(timed)) == ({}, True)
    assert list(json.loads((measured.place.shared / "measured.json").read_text())) == ["quarter", "most"]
