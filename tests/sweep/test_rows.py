"""The rows of a sweep: the frontier, and the CSV file that the demo page reads."""

import csv
import io

from core import sweep

from tests.helpers.sweeping import SHAPES, example, row
from trainer_ext.export import FORMATS
from trainer_ext.report.schema import EXPORT_RUNTIMES
from trainer_ext.sweep.results import FIRST_COLUMNS, as_csv, frontier, frontiers


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def cost(row):
    return row.bytes


def test_the_frontier_by_hand():
    cheap, middle, beaten, good = (
        row("a", 0.6, bytes=1),
        row("b", 0.7, bytes=2),
        row("c", 0.65, bytes=3),
        row("d", 0.8, bytes=4),
    )
    same_cost, unknown, unmeasured = row("e", 0.7, bytes=4), row("f", None, bytes=0), row("g", 0.9)
    rows = [good, unknown, beaten, middle, same_cost, cheap, unmeasured]
    assert frontier(rows, cost=cost) == [cheap, middle, good]
    assert frontier([beaten], cost=cost) == [beaten]
    assert frontier([unmeasured], cost=cost) == []


def test_nothing_beats_the_frontier_and_something_beats_the_rest():
    rows = example().rows
    found = frontier(rows, cost=cost)

    def beats(one, other):
        at_least = one.value >= other.value and one.bytes <= other.bytes
        return at_least and (one.value, one.bytes) != (other.value, other.bytes)

    assert not any(beats(one, best) for one in rows for best in found)
    assert all(any(beats(best, one) for best in found) for one in rows if one not in found)


def test_there_is_a_frontier_for_each_measurement():
    rows = [row("slow", 0.8, speedup={"1 x 8": 3.0, "9 x 9": 1.0}), row("fast", 0.7, speedup={"1 x 8": 1, "9 x 9": 2})]
    assert {name: [one.name for one in best] for name, best in frontiers(rows).items()} == {
        "speed-up": ["fast", "slow"]  # at the last shape
    }
    assert [one.name for one in frontiers(rows, "1 x 8")["speed-up"]] == ["slow"]
    assert list(frontiers([row(bytes=1, kwh_per_1000=1.0)])) == ["MB", "energy"]
    assert list(frontiers(example().rows)) == ["speed-up", "MB", "energy"]


def test_the_page_reads_the_table(tmp_path):
    rows = example().rows
    file = tmp_path / "sweep.csv"
    file.write_text(as_csv(rows), encoding="utf-8")
    points = sweep.read_sweep(file)
    assert [point.name for point in points] == [one.title for one in rows]
    assert len({point.name for point in points}) == len(points) == 48
    for point, one in zip(points, rows, strict=True):
        assert (point.accuracy, point.accuracy_low, point.accuracy_high) == (one.value, one.low, one.high)
        assert (point.speedup, point.megabytes) == (one.speedup[SHAPES[-1]], one.bytes / 1e6)


def test_the_table_has_every_number_and_is_empty_where_nothing_was_measured():
    first, other = read(as_csv([row("baseline", speedup={"1 x 8": 1.0}), row(settings={"name": "x", "axis": "y"})]))
    assert tuple(first)[: len(FIRST_COLUMNS)] == FIRST_COLUMNS
    assert (first["speedup"], first["speedup 1 x 8"], other["speedup"]) == ("1.0", "1.0", "")
    assert (other["axis name"], other["axis"], first["axis"], other["name"]) == ("x", "y", "", "25 % removed, KD")
    assert (first["megabytes"], first["train_kwh"], first["rows"]) == ("", "", "2332")
    assert read(as_csv([row(value=None)])) == []


def test_the_speed_up_is_that_of_the_given_shape():
    rows = [row(speedup={"1 x 8": 2.0, "9 x 9": 3.0})]
    assert read(as_csv(rows))[0]["speedup"] == "3.0"
    assert read(as_csv(rows, "1 x 8"))[0]["speedup"] == "2.0"


def test_a_metric_that_is_not_a_fraction_is_not_in_the_accuracy_columns():
    (cells,) = read(as_csv([row(value=0.4, metric="pearson")]))
    assert (cells["accuracy"], cells["accuracy_low"], cells["value"]) == ("", "", "0.4")


def test_names_may_contain_anything():
    names = ['quotes "and", commas', "two\nlines", "लहान | मॉडेल", "=1+1"]
    assert [cells["name"] for cells in read(as_csv([row(name) for name in names]))] == names


def test_every_export_format_has_its_runtime_in_a_sweep():
    assert set(EXPORT_RUNTIMES) == set(FORMATS)
