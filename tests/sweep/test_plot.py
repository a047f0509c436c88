"""The plot of a sweep: valid for any result, reproducible, with the names of the frontier; and its panels."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.helpers.sweeping import example, result, row
from trainer_ext.errors import InputError
from trainer_ext.sweep import plot
from trainer_ext.sweep.plot import describe, draw, draw_panel, style_of
from trainer_ext.sweep.results import frontiers

SVG = "{http://www.w3.org/2000/svg}"
PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = "$x_1$ <b>&amp; लहान मॉडेल \U0001f600"


def words_of(picture):
    root = ET.fromstring(picture)
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


def test_the_plot_is_valid_and_names_the_frontier():
    sweep = example(6, 2)
    pictures = draw(sweep)
    assert pictures["png"].startswith(PNG)
    assert pictures["svg"].startswith(b"<svg")
    assert b"http://www.w3.org/Graphics" not in pictures["svg"]
    words = words_of(pictures["svg"])
    for best in frontiers(sweep.rows).values():
        for one in best:
            assert words.count(one.name) >= 2, f"{one.name} in a panel and in the key"
    for word in ("onnxruntime int8", "teacher: KD", "accuracy, %", "clean: n = 2,332, seed 17; lines: 95 % intervals"):
        assert word in words
    assert sweep.machine in words


def test_the_same_numbers_give_the_same_plot_with_a_description():
    sweep = example(2, 1)
    first, second = draw(sweep)["svg"], draw(sweep)["svg"]
    assert first == second
    root = ET.fromstring(first)
    assert root.find(f"{SVG}title").text == "Sweep: paper_grid.yaml"
    assert describe(sweep) in first.decode().replace("&gt;", ">")
    assert "on the frontier: 25 % removed, none (" in describe(sweep)


def test_names_from_outside_are_plain_text():
    rows = [row("baseline", bytes=4_000_000), row(HOSTILE, 0.7, bytes=2_000_000, settings={"teacher": HOSTILE})]
    words = words_of(draw(result(*rows, recipe=HOSTILE, best={"title": HOSTILE, "why": "x"}))["svg"])
    assert words.count(HOSTILE) == 1
    assert any(HOSTILE in text and "against size" in text for text in words)


@pytest.mark.parametrize(
    "rows",
    [
        [row("baseline", bytes=5)],
        [row("a", None, bytes=5), row("b", 0.5, bytes=5)],
        [row("a", 0.5, bytes=0), row("b", 0.5, bytes=0)],
        [row("a", 1.0, low=None, high=None, speedup={"1 x 1": 0.2})],
        [row("a", -0.4, metric="pearson", low=None, high=None, kwh_per_1000=1e-9), row("b", 0.1, metric="pearson")],
        [row("baseline", 0.7, bytes=5), row("ruined", 0.1, bytes=1, runtime="tpu", precision="fp4")],
    ],
)
def test_few_and_unusual_rows_are_drawn(rows):
    assert draw(result(*rows))["png"].startswith(PNG)


def test_a_result_without_measurements_cannot_be_drawn():
    with pytest.raises(InputError, match="nothing to plot"):
        draw(result(row("a"), row("b", None, bytes=5)))


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"trainer-ext\[sweep\]"):
        draw(example(2, 1))


def test_there_is_a_panel_for_each_measurement():
    rows = example(4, 2).rows
    assert [panel.name for panel in plot.panels(rows)] == ["speed-up", "MB", "energy"]
    assert [panel.is_cost for panel in plot.panels(rows)] == [False, True, True]
    without = [replace(one, kwh_per_1000=None) for one in rows]
    assert [panel.name for panel in plot.panels(without)] == ["speed-up", "MB"]
    some = [*without[:-1], rows[-1]]
    assert len(plot.panels(some)[-1].points) == 1


def test_better_is_up_and_to_the_right_and_the_frontier_steps_down():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sweep = example(6, 2)
    for panel in plot.panels(sweep.rows):
        ax = FigureCanvasAgg(Figure()).figure.add_subplot()
        draw_panel(ax, panel, style_of(sweep, numbered=True))
        left, right = ax.get_xlim()
        assert (left > right) == panel.is_cost
        line = next(line for line in ax.lines if line.get_drawstyle() == "steps-pre")
        heights = line.get_ydata()
        assert list(heights) == sorted(heights, reverse=True)
        assert len(heights) == len(panel.best) + 2


def test_a_failed_model_does_not_press_the_others_together():
    good = [row(str(value), value) for value in (0.72, 0.71, 0.69)]
    low, high = plot.y_limits(good)
    assert 0.66 < low < min(one.low for one in good)
    assert high > max(one.high for one in good)
    assert plot.y_limits([*good, row("ruined", 0.2)])[0] == pytest.approx(low)
    ladder = [row(str(value), value / 100) for value in range(40, 72, 4)]
    assert plot.y_limits(ladder)[0] < 0.38


def test_numbers_colours_and_markers():
    rows = example(16, 3).rows
    numbers = plot.model_numbers(rows)
    assert numbers["baseline"] == "B"
    assert sorted(map(int, set(numbers.values()) - {"B"})) == list(range(1, 16))
    shades = plot.colours([*rows, row(precision="bf16"), row(precision="fp16")])
    assert shades["torch fp32"] != shades["torch bf16"] != shades["torch fp16"] == plot.GREY
    assert plot.marker_axis(rows) == "teacher"
    assert len(set(style_of(example(16, 3), numbered=True).markers.values())) == 4
    assert style_of(result(row()), numbered=True).markers == {}


@pytest.mark.parametrize(("low", "high"), [(0.9, 14.0), (1.4, 12.0), (0.004, 0.07), (3.0, 900.0), (1e-5, 1e3), (2, 9)])
def test_ticks_are_round_and_few(low, high):
    found = plot.ticks(low, high)
    assert 2 <= len(found) <= 25
    assert all(low <= value <= high for value in found)
    assert found == sorted(found)
