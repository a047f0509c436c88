"""The result files of a sweep: they are read back unchanged, wrong ones are refused, and none is ever half written."""

import json
import math
from dataclasses import replace

import pytest
from core import sweep as page

from tests.helpers.sweeping import example, result, row
from trainer_ext.errors import InputError
from trainer_ext.sweep import output
from trainer_ext.sweep.output import read_sweep_json, write_sweep

FILES = ["pareto.png", "pareto.svg", "sweep.csv", "sweep.json", "sweep.md"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_everything_is_written_and_read_back(tmp_path):
    sweep = example(3, 2)
    rows = [
        *sweep.rows[:-1],
        replace(sweep.rows[-1], holdout={"difference": -0.01, "low": -0.02, "high": 0.0, "rows": 9.0}),
    ]
    sweep = replace(sweep, rows=rows)
    folder = tmp_path / "new" / "लहान"
    assert write_sweep(sweep, folder) == []
    assert names(folder) == FILES
    assert read_sweep_json(folder) == read_sweep_json(folder / "sweep.json") == sweep
    assert json.loads((folder / "sweep.json").read_text())["schema_version"] == 1
    assert len(page.read_sweep(folder / "sweep.csv")) == 6
    assert "(pareto.svg)" in (folder / "sweep.md").read_text()


def test_the_smallest_sweep_is_read_back(tmp_path):
    sweep = result(row(value=None), command=None, scale=None)
    (note,) = write_sweep(sweep, tmp_path)
    assert "nothing to plot" in note
    assert read_sweep_json(tmp_path) == sweep


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.7", True])
def test_a_value_that_is_not_a_number_is_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(ValueError, match=r"rows\[1\]\.train_kwh"):
        write_sweep(result(row(), row(train_kwh=value)), tmp_path)
    assert names(tmp_path) == []


def test_a_failed_write_keeps_the_old_files(tmp_path, monkeypatch):
    write_sweep(example(2, 1), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_sweep(example(5, 1), tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before


def test_without_matplotlib_the_rest_is_written_and_old_plots_are_removed(tmp_path, monkeypatch):
    write_sweep(example(2, 1), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    (note,) = write_sweep(example(3, 1), tmp_path)
    assert "trainer-ext[sweep]" in note
    assert names(tmp_path) == FILES[2:]
    assert "pareto" not in (tmp_path / "sweep.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "the file has version 2, this package reads up to 1. Upgrade it"),
        ({"schema_version": 0}, "schema_version: got 0"),
        ({"schema_version": True}, "schema_version: got True"),
        ({"schema_version": None}, "schema_version: got None"),
        ({"more": 1}, "more: unknown field"),
        ({"rows": [{"runtime": "torch"}]}, r"rows\[0\]\.name: missing"),
        ({"rows": [{"name": "x", "value": "high"}]}, r"rows\[0\]\.value: got 'high'"),
        ({"rows": [{"name": "x", "value": math.nan}]}, r"rows\[0\]\.value: got nan"),
        ({"rows": {}}, "rows: got"),
        ({"machine": 5}, "machine: got 5"),
    ],
)
def test_a_wrong_result_file_is_refused(tmp_path, change, message):
    values = json.loads(output.to_json(example(2, 1)))
    assert output.read_sweep_json(_written(tmp_path, json.dumps(values))) == example(2, 1)
    with pytest.raises(InputError, match=message) as caught:
        read_sweep_json(_written(tmp_path, json.dumps(values | change)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"sweep"', "{}"])
def test_a_file_without_an_object_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"sweep\.json"):
        read_sweep_json(_written(tmp_path, text))


def test_a_missing_and_a_binary_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="There is no .*give the folder of a sweep"):
        read_sweep_json(tmp_path)
    (tmp_path / "sweep.json").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="cannot be read"):
        read_sweep_json(tmp_path)


def _written(folder, text):
    (folder / "sweep.json").write_text(text)
    return folder
