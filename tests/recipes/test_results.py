"""The tables in recipes/README.md and recipes/results/README.md are generated from the result files, and changes by hand are found."""

import math
from dataclasses import replace

import pytest

from recipes.tools import results, run_tables
from tests.helpers.resulting import run
from trainer_ext import report


def test_the_page_is_what_the_files_give():
    for path, text in results.pages().items():
        assert text == path.read_text(encoding="utf-8"), "run `make results`"


def test_a_number_typed_by_hand_is_noticed_and_written_over(copies):
    assert run("check").exit_code == 0
    first = next(path for path in results.FILES.glob("*.json"))
    numbers = {results.README: "489 rows", results.FILES / "README.md": f"{report.load(first).quality.rows:,}"}
    for path, number in numbers.items():
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(number, f"1{number}"), encoding="utf-8")
        assert run("check").exit_code == 1
        assert run("write").exit_code == 0
        assert path.read_text(encoding="utf-8") == text


def test_a_run_is_added_under_its_name(copies):
    source = next(path for path in results.FILES.glob("*.json"))
    folder = copies / "run"
    folder.mkdir()
    (folder / report.FILE_NAME).write_bytes(source.read_bytes())
    assert run("add", folder, "another").exit_code == 0
    assert "`another`" in (results.FILES / "README.md").read_text(encoding="utf-8")


def test_a_page_without_markers_is_refused(copies):
    results.README.write_text("no table here", encoding="utf-8")
    with pytest.raises(ValueError, match="the table goes between them"):
        results.pages()


def test_runs_of_one_recipe_with_several_seeds_share_a_row():
    one = next(report.load(path) for path in sorted(results.FILES.glob("*.json")))
    rows = run_tables.mean_rows({"made-up@1": one, "made-up@2": replace(one, seed=2), "other@1": one})
    named = [row for row in rows if row[0] == "`made-up`"]
    assert len(named) == 1 + len(one.other_quality)
    assert named[0][1] == f"{one.seed}, 2"
    assert [row for row in rows if row[0] == "`other`"][0][1] == str(one.seed)


def test_the_interval_over_seeds_is_students():
    mean, low, high = run_tables.interval([0.90, 0.91, 0.95])
    assert mean == pytest.approx(0.92)
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.302653 * 0.0264575 / 3**0.5, abs=1e-6)
    assert run_tables.interval([0.9])[1:] == (-math.inf, math.inf)
