"""The picture of the README is drawn from the result files, and a stale one is found."""

import json

import pytest

from recipes.tools import picture
from tests.helpers.resulting import run


def test_the_picture_is_what_the_files_give():
    assert picture.stale() == [], "run `make results`"
    files = sorted(picture.FOLDER.glob("frontier-*.svg"))
    assert [file.stem for file in files] == ["frontier-dark", "frontier-light"]
    assert all(file.stat().st_size < 150_000 for file in files)


def test_the_points_are_those_of_the_files():
    row = next(
        row
        for row in json.loads(picture.SWEEP.read_text(encoding="utf-8"))["rows"]
        if row["settings"].get("teacher") == "KD"
        and row["settings"]["precision"] == "fp32"
        and row["sparsity"] == 0.5
        and row["runtime"] == "openvino"
    )
    (point,) = [point for point in picture.marathi() if point.label == "50 %" and point.runtime == "OpenVINO int8"]
    assert point.speedup == row["speedup"]["1 x 64"]
    assert (point.change, point.low) == pytest.approx((100 * row["difference"], 100 * row["difference_low"]))
    assert {point.label for point in picture.english()} == {"dense", "50 %", "75 %", "85 %"}
    assert all(point.low <= point.change <= point.high for points in picture.panels().values() for point in points)


def test_another_number_makes_it_stale_until_it_is_drawn_again(copies, monkeypatch):
    other = copies / "sweep.json"
    text = picture.SWEEP.read_text(encoding="utf-8")
    found = json.loads(text)
    next(row for row in found["rows"] if row["runtime"] == "openvino")["speedup"]["1 x 64"] += 1
    other.write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(picture, "SWEEP", other)
    assert picture.stale() == ["frontier-light.svg", "frontier-dark.svg"]
    done = run("check")
    assert (done.exit_code, "make results" in done.output) == (1, True)
    assert run("write").exit_code == 0
    assert picture.stale() == []
    assert run("check").exit_code == 0
