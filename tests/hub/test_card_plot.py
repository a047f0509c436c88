"""The parameter plot: correct, reproducible, and an SVG that refers to nothing else."""

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.helpers.cards import bare_report, full_report
from trainer_ext import report
from trainer_ext.errors import InputError
from trainer_ext.hub.card_plot import COLOURS, draw_parameters

pytest.importorskip("matplotlib", reason="needs the extra plot")


def counted(before, after):
    pair = report.Pair(
        *(report.Parameters(sum(counts), counts[1], counts[0], counts[2]) for counts in (before, after))
    )
    return full_report(parameters=pair)


REAL = counted((2_500_608, 7_245_696, 4_620), (2_500_608, 1_000_000, 4_620))


def words(text):
    return ["".join(node.itertext()) for node in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]


def widths(text):
    """The width of each bar, by its colour, in the order of drawing."""
    found = re.findall(r'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [^"]*"[^>]*style="fill: (#\w+)"', text)
    colours = {colour.lower(): name for name, (colour, _) in COLOURS.items()}
    return [(colours[fill], abs(float(right) - float(left))) for left, right, fill in found if fill in colours]


def test_the_same_numbers_give_the_same_bytes():
    assert draw_parameters(REAL) == draw_parameters(replace(REAL, created="2030-01-01"))
    assert draw_parameters(REAL) != draw_parameters(counted((1, 1, 1), (1, 1, 1)))


def test_every_part_and_both_totals_are_named():
    assert set(words(draw_parameters(REAL))) >= {
        *("Parameters", "baseline", "compressed", "embeddings", "encoder", "2.5 M", "7.2 M", "9.8 M", "3.5 M"),
        *("with head 4.6 k", "with encoder 1 M, head 4.6 k"),
    }


def test_bars_are_as_long_as_their_numbers():
    bars = widths(draw_parameters(REAL))
    assert [name for name, _ in bars] == ["embeddings", "encoder", "head"] * 2
    unit = bars[0][1] / 2_500_608
    for (_, width), count in zip(bars, (2_500_608, 7_245_696, 4_620, 2_500_608, 1_000_000, 4_620), strict=True):
        assert width == pytest.approx(count * unit, abs=0.01)


def test_it_refers_to_nothing_else_and_has_a_background():
    text = draw_parameters(REAL)
    assert set(re.findall(r'https?://[^"]+', text)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r'url\((?!#)|href="(?!#)|<script|<image', text)
    assert 'style="fill: #ffffff"' in text
    assert not re.search(r"20\d\d-\d\d", text)


@pytest.mark.parametrize("counts", [((0, 0, 0), (0, 0, 0)), ((10**12, 1, 0), (1, 1, 1)), ((0, 5, 0), (0, 0, 0))])
def test_any_numbers_can_be_drawn(counts):
    ET.fromstring(draw_parameters(counted(*counts)))


@pytest.mark.parametrize("parameters", [None, report.Pair(), report.Pair(report.Parameters(1, 1, 0, 0))])
def test_without_numbers_there_is_nothing_to_draw(parameters):
    with pytest.raises(InputError, match="no numbers of parameters"):
        draw_parameters(replace(bare_report(), parameters=parameters))


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"trainer-ext\[plot\]"):
        draw_parameters(REAL)
