"""The picture of the README is drawn from the result files, and a stale one is found."""

import json
import shutil

import pytest

from recipes.tools import drawing, overview, picture
from tests.helpers.resulting import run


def test_the_picture_is_what_the_files_give():
    assert picture.stale() == [], "run `make results`"
    files = sorted(drawing.FOLDER.glob("frontier-*.svg"))
    assert [file.stem for file in files] == ["frontier-dark", "frontier-light"]
    assert all(file.stat().st_size < 150_000 for file in files)


def test_the_points_are_those_of_the_table():
    panels = picture.panels()
    assert len(panels) == 2, "two fit side by side"
    assert any(one.gone == picture.TOO_CLOSE for outcomes in overview.panels().values() for one in outcomes)
    for title, outcomes in list(overview.panels().items())[:2]:
        points = panels[title.replace("; ", ", ")]
        shown = [one for one in outcomes if one.gone != picture.TOO_CLOSE]
        assert [point.speedup for point in points] == sorted(one.speedup["1 x 32"] for one in shown)
        assert {point.label for point in points} >= {"dense", "50 %", "75 %"}
        half = next(one for one in outcomes if (one.runtime, one.gone) == (overview.EXPORT, 0.5))
        (point,) = [point for point in points if (point.label, point.runtime) == ("50 %", "OpenVINO int8")]
        assert (point.change, point.low) == pytest.approx((100 * half.change, 100 * half.low))
        assert all(point.low <= point.change <= point.high for point in points)


def test_another_number_makes_it_stale_until_it_is_drawn_again(copies, monkeypatch):
    folder = shutil.copytree(overview.BENCHMARKS, copies / "benchmarks")
    other = folder / "one_shot_sst2_latency.json"
    found = json.loads(other.read_text(encoding="utf-8"))
    next(row for row in found["rows"] if row["entry"]["runtime"] == "openvino")["speedup"] += 1
    other.write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(overview, "BENCHMARKS", folder)
    assert picture.stale() == ["frontier-light.svg", "frontier-dark.svg"]
    done = run("check")
    assert (done.exit_code, "make results" in done.output) == (1, True)
    assert run("write").exit_code == 0
    assert picture.stale() == []
    assert run("check").exit_code == 0
