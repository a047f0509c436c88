"""Sweep files are found and checked, and shown as a picture and a table with the same values."""

from dataclasses import replace

import pytest
from charts import pareto
from core import sweep

from tests.helpers.paging import write_pair
from tests.helpers.speeding import HEADER, ROW
from trainer_ext import InputError


@pytest.fixture
def run(tiny_model, cut, tmp_path):
    return write_pair(tmp_path / "sweep" / "run", tiny_model, cut)


def test_a_sweep_is_found_beside_the_model_in_the_run_and_beside_it(run):
    compressed = str(run / "compressed")
    assert sweep.find_sweep(compressed) is None
    for place in (run.parent, run, run / "compressed"):  # the nearer one wins
        (place / "sweep.csv").write_text(HEADER)
        assert sweep.find_sweep(compressed) == place / "sweep.csv"
    assert sweep.find_sweep("user/on-the-hub") is None


def test_a_sweep_further_up_belongs_to_another(run):
    (run.parent.parent / "sweep.csv").write_text(HEADER)
    assert sweep.find_sweep(str(run / "compressed")) is None


def test_a_point_has_a_folder_where_both_models_lie(run):
    file = run.parent / "sweep.csv"
    rows = ROW + ROW.replace("run", "gone") + ROW.replace("run", "")
    file.write_text("\ufeff" + HEADER.replace("name,", "more,name,") + rows.replace("half,", "x,half,"))
    kept, gone, empty = sweep.read_sweep(file)
    assert kept == sweep.Point("half", 0.9, 0.88, 0.92, 1.7, 24.8, run)
    assert (gone.folder, empty.folder) == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column name, accuracy"),
        (HEADER.replace(",speedup", ""), "has no column speedup; it needs"),
        (HEADER, "has 0 rows"),
        (HEADER + 61 * ROW, "has 61 rows; this page shows 1 to 60"),
        (HEADER + ROW.replace("1.7", "fast"), "line 2: could not convert string to float: 'fast'"),
        (HEADER + ROW.replace("1.7", "nan"), "line 2: accuracy must be"),
        (HEADER + ROW.replace("1.7", "0"), "line 2: accuracy must be"),
        (HEADER + ROW.replace("0.88", "0.91"), "in its interval"),
        (HEADER + "half,0.9\n", "line 2: float"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path, text, message):
    file = tmp_path / "sweep.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        sweep.read_sweep(file)


def test_a_row_that_was_not_measured_is_left_out(tmp_path):
    file = tmp_path / "sweep.csv"
    file.write_text(HEADER + ROW.replace("1.7", "") + ROW.replace("half", "other") + ROW.replace("24.8", ""))
    assert [point.name for point in sweep.read_sweep(file)] == ["other"]
    file.write_text(HEADER + ROW.replace("0.88", ""))
    with pytest.raises(InputError, match="has 0 rows"):
        sweep.read_sweep(file)


def test_a_binary_file_is_no_sweep(tmp_path):
    file = tmp_path / "sweep.csv"
    file.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="cannot be read as a CSV file in UTF-8"):
        sweep.read_sweep(file)


def point(name="p", accuracy=0.9, speedup=1.5, **changes):
    return sweep.Point(name, accuracy, accuracy - 0.01, accuracy + 0.01, speedup, 20.0, None, **changes)


def test_the_frontier_is_what_nothing_beats():
    slow, middle, beaten, fast = point(accuracy=0.9, speedup=1.0), point(), point(accuracy=0.85), point(speedup=1.9)
    worse = point(accuracy=0.8, speedup=3.0)
    assert sweep.frontier([slow, middle, beaten, fast, worse]) == [fast, worse]
    assert sweep.frontier([beaten]) == [beaten]


def test_the_picture_escapes_names_and_says_the_same_as_its_table(run):
    points = [replace(point("<script>x</script>"), folder=run), point("लहान", accuracy=0.8, speedup=3.0)]
    chart = pareto.pareto(points, "en", 0)
    assert "<script" not in chart
    assert chart.count("data-point='0'") == 2  # its circle and its name
    assert "data-point='1'" not in chart
    assert chart.count("<circle") == chart.count("<tr><th scope='row'>") == 2
    assert "90.0 [89.0,&nbsp;91.0]" in chart
    assert "Click a filled circle" in chart
    assert "Click a filled circle" not in pareto.pareto(points[1:], "en")
    assert "लहान" in pareto.pareto(points, "mr")


def test_without_labels_the_page_says_how_often_the_answer_is_the_same(tmp_path):
    file = tmp_path / "sweep.csv"
    file.write_text(HEADER.replace("\n", ",metric\n") + ROW.replace("\n", ",agreement\n"))
    for language, measure, means in (("en", "same answer, %", "had no labels"), ("mr", "तेच उत्तर, %", "लेबले नव्हती")):
        shown = pareto.pareto(sweep.read_sweep(file), language)
        assert shown.count(measure) == 2  # in the picture and in its table
        assert means in shown
        assert "accura" not in shown
        assert "अचूक" not in shown
    file.write_text(HEADER.replace("\n", ",metric\n") + ROW.replace("\n", ",accuracy\n"))
    assert pareto.pareto(sweep.read_sweep(file), "en").count("accuracy, %") == 2


def test_many_points_have_names_on_the_frontier_and_where_chosen():
    points = [point(f"name {place}", accuracy=0.9 - 0.01 * (place % 4), speedup=1 + place / 10) for place in range(48)]
    best = [place for place, one in enumerate(points) if one in sweep.frontier(points)]
    assert pareto.named(points, None) == best
    assert pareto.named(points, 2) == sorted({2, *best})
    assert pareto.named(points[:12], None) == list(range(12))
    long = [point(f"name {place}", accuracy=0.9 - 0.001 * place, speedup=1 + place) for place in range(13)]
    assert pareto.named(long, 5) == [0, 5, 12], "a frontier that is too long has its ends named"
    chart = pareto.pareto(points, "en", 2)
    assert chart.count("<text class='name") == len(best) + 1
    assert chart.count("<circle") == chart.count("<tr><th scope='row'>") == chart.count("<title>") == 48
    assert "<summary>All 48 models</summary>" in chart
    assert "<details>" not in pareto.pareto(points[:12], "en")


def test_points_of_one_run_are_said_to_open_it(run):
    twice = [replace(point("torch"), folder=run), replace(point("torch, openvino int8"), folder=run)]
    assert "For an exported file, the page loads the PyTorch model of its run" in pareto.pareto(twice, "en")
    assert "For an exported file" not in pareto.pareto(twice[:1], "en")


def test_every_point_lies_inside_the_picture():
    points = [point(accuracy=0.5), point(accuracy=0.99, speedup=9.0), point(accuracy=0.7, speedup=0.5)]
    across = pareto.scale([1.0, *(one.speedup for one in points)], pareto.LEFT, pareto.RIGHT)
    assert all(pareto.LEFT <= across(one.speedup) <= pareto.RIGHT for one in points)
    assert pareto.scale([2.0], 0, 10)(2.0) == 5


def test_labels_near_each_other_do_not_overlap():
    assert pareto.apart([(20, 50.0), (25, 52.0), (80, 51.0)]) == [52.0 - pareto.LABEL, 52.0, 51.0]
