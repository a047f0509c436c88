"""The content of the tab "Speed and size" for its own models and those of a sweep."""

from dataclasses import replace

import pytest
from charts import race as race_chart
from core import race
from tabs import speed_view

from tests.helpers.paging import pair_of, write_pair
from tests.helpers.speeding import HEADER, INFERENCE, ROW, report
from tests.helpers.sweeping import row
from trainer_ext.sweep.results import as_csv


@pytest.fixture
def run(tiny_model, cut, tmp_path):
    return write_pair(tmp_path / "sweep" / "run", tiny_model, cut)


@pytest.fixture
def tab(run, monkeypatch):
    """`tab()`: with a sweep of two points, the page's own run and one whose folder is missing."""
    monkeypatch.setattr(race, "ROUNDS", 8)
    (run.parent / "sweep.csv").write_text(HEADER + ROW + ROW.replace("run", "gone"))
    speed_view.open_run.cache_clear()
    return lambda: speed_view.SpeedView(pair_of(run))


def test_the_tab_races_and_refuses(tab):
    *_, (html, found) = tab().run(speed_view.OWN, 2, 8, "en")
    assert found.rounds == 8
    assert html == race_chart.race_chart(found, "en")
    ((refused, nothing),) = tab().run(speed_view.OWN, 65, 8, "mr")
    assert "role='alert'" in refused
    assert "पूर्णांक द्या" in refused
    assert nothing is None
    assert "Texts per day is 0" in tab().calculate(speed_view.OWN, 0, 0.0, "en")


def test_a_point_is_opened_and_no_other_folder(tab):
    shown = tab()
    assert [place for _, place in shown.choices] == [speed_view.OWN, 0]  # the second point has no models any more
    assert shown.choices[0][0] == "run/compressed", "not where it lies on this machine"
    assert shown.clicked(0) == 0
    for wrong in (1, 2, -2, "../run", None):
        assert shown.clicked(wrong) == speed_view.OWN
    sweep_html, parts, _, raced = shown.load(0, "en")
    assert "class='kept chosen'" in sweep_html
    assert parts == shown.draw(speed_view.OWN, "en")[1]  # the point is the page's own run
    assert raced is None


def test_the_point_of_an_exported_file_opens_the_models_of_its_run(tab, run):
    rows = [
        row("half", 0.7, speedup={"1 x 8": speed_up}, bytes=9, runtime=runtime, precision=precision, folder="run")
        for runtime, precision, speed_up in (("torch", "fp32", 1.5), ("openvino", "int8", 4.0))
    ]
    (run.parent / "sweep.csv").write_text(as_csv(rows), encoding="utf-8")
    shown = tab()
    assert [name for name, _ in shown.choices[1:]] == ["half", "half, openvino int8"]
    assert shown.clicked(1) == 1
    assert shown.chosen(1) is shown.chosen(0), "opened once"
    sweep_html, parts, *_ = shown.load(1, "en")
    assert parts == shown.draw(speed_view.OWN, "en")[1]
    assert sweep_html.count("chosen'") == 2


def test_a_point_that_cannot_be_opened_is_said(tab, run):
    shown = tab()
    (run / "baseline/config.json").write_text("{}")
    assert "These models cannot be shown. " in shown.draw(0, "en")[1]
    assert "<table" in shown.draw(speed_view.OWN, "en")[1]


def test_a_broken_sweep_is_said_and_the_rest_is_there(tab, run):
    (run.parent / "sweep.csv").write_text("name\n")
    sweep_html, parts = tab().draw(speed_view.OWN, "en")
    assert "The other sizes cannot be shown. sweep.csv has no column accuracy" in sweep_html
    assert "<table" in parts


def test_the_grid_is_that_of_the_report(run):
    pair = pair_of(run)
    assert speed_view.SpeedView(pair).grid == 0
    measured = replace(pair, report=report(inference=replace(INFERENCE, grid_g_per_kwh=713.0)))
    assert speed_view.SpeedView(measured).grid == 713
