"""The tables of a sweep: every number with its unit, noise if the interval contains zero, and names as plain text."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.helpers.sweeping import example, result, row
from trainer_ext.sweep import tables
from trainer_ext.sweep.tables import Summary, markdown

HOSTILE = "[bold]a|b[/bold] <script>x</script> `c` [l](http://e) लहान"


def shown(sweep, width=120):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(Summary(sweep))
    return console.file.getvalue()


def lines_of(text, word):
    return [line for line in text.splitlines() if word in line]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_tables_fit_the_screen_and_nothing_is_cut(width):
    text = shown(example(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "openvino int8" in text
    assert "onnxruntime int8" in text


def test_an_interval_is_beside_its_number_or_below_it_in_a_narrow_terminal():
    one = example(2, 1)
    pattern = re.compile(r"71\.\d \[69\.\d, 7\d\.\d\]")
    assert pattern.search(shown(one, 120))
    assert not pattern.search(shown(one, 70))
    assert re.search(r"\[69\.\d, 7\d\.\d\]", shown(one, 70))


def test_the_baseline_comes_first_and_a_model_s_runtimes_follow_it():
    rows = [row("a", runtime="openvino", precision="int8"), row("b"), row("baseline"), row("a")]
    assert [one.title for one in tables.ordered(rows)] == ["baseline", "a, openvino int8", "a", "b"]
    assert shown(result(*rows)).index("baseline") < shown(result(*rows)).index("a, openvino")


def test_numbers_and_their_units():
    one = row(
        "half",
        0.72,
        difference=0.0104,
        difference_low=0.002,
        difference_high=0.0188,
        holdout={"difference": -0.004, "low": -0.01, "high": 0.002, "rows": 500},
        sparsity=0.5,
        bytes=11_650_000,
        parameters=2_912_345,
        speedup={"1 x 32": 1.45},
        ideal_speedup={"1 x 32": 2.0},
        median_ms={"1 x 32": 3.456},
        memory_mib=281.4,
        train_seconds=1234.5,
        train_kwh=0.003125,
        train_g=2.2281,
        kwh_per_1000=4.21e-5,
        g_per_1000=0.03002,
    )
    text = shown(result(row("baseline", 0.71, speedup={"1 x 32": 1.0}), one), 140)
    (quality, cost) = lines_of(text, "half")
    cells = [cell.strip() for cell in quality.split("│")[3:-1]]
    assert cells == ["72.0 [70.1, 73.8]", "+1.0 [+0.2, +1.9]", "-0.4 [-1.0, +0.2] noise", "50.0", "11.7", "1.45x"]
    assert [cell.strip() for cell in cost.split("│")[2:-1]] == [
        "2.91",
        "281",
        "1,234",
        "0.00313",
        "2.23",
        "0.0421",
        "0.03",
    ]
    assert "| half | torch fp32 | 3.46 | 1.45x | 2.00x |" in markdown(result(one))


def test_empty_columns_are_left_out():
    sweep = result(row("baseline"), row("x", 0.7))
    for word in ("difference |", "MB", "held out", "gone", "Cost", "Wh", "frontier"):
        assert word not in shown(sweep) + markdown(sweep)
        assert word in shown(example(2, 1)) + markdown(example(2, 1)) or word == "held out"
    assert "Cost" not in markdown(result(row("baseline")))
    assert "g CO2e" not in shown(result(row("baseline", train_kwh=1.0)))
    assert "g CO2e" in shown(result(row("baseline", train_g=1.0)))
    assert lines_of(shown(result(row("a", bytes=1_000_000), row("b"))), "│ b ")[0].count(" - ") == 1


@pytest.mark.parametrize(
    ("low", "high", "noise"),
    [(-0.1, 0.1, True), (0.0, 0.1, True), (-0.1, 0.0, True), (0.001, 0.1, False), (-0.1, -0.001, False)],
)
def test_a_difference_is_noise_exactly_if_its_interval_contains_zero(low, high, noise):
    one = row("x", 0.7, difference=(low + high) / 2, difference_low=low, difference_high=high)
    held = replace(one, difference=None, holdout={"difference": 0.01, "low": low, "high": high, "rows": 9.0})
    for found in (one, held):
        for width in (70, 120):
            table = shown(result(found), width).split("└")[0]
            assert ("noise" in table) is noise
        assert (", noise |" in markdown(result(found))) is noise
    assert "noise" not in shown(result(replace(one, difference_low=None))).split("└")[0]


def test_frontier_and_best_are_marked_and_explained():
    rows = [
        row("baseline", 0.8, bytes=9, speedup={"1 x 8": 1.0}),
        row("small", 0.7, bytes=1, speedup={"1 x 8": 0.9}),
        row("fast", 0.7, bytes=5, speedup={"1 x 8": 2.0}),
    ]
    sweep = result(*rows, best={"title": "fast", "why": "it is [fast]"})
    assert tables.marks(sweep) == {"baseline": "sm", "small": "m", "fast": "s*"}
    assert "* Best: fast. Why: it is [fast]" in shown(sweep)
    assert "s: speed-up at 1 x 8; m: MB." in shown(sweep)
    assert "| fast | torch fp32 | s&#42; |" in markdown(sweep)


def test_failures_and_notes_follow():
    sweep = result(row("baseline"), failed={"x|y": "CUDA [error]"}, notes=["stopped: [enough]"])
    text, page = shown(sweep), markdown(sweep)
    assert text.index("Without a result: x|y: CUDA [error]") < text.index("Note: stopped: [enough]")
    assert page.index("| x&#124;y | CUDA [error] |") < page.index("- stopped: [enough]")
    assert "Without" not in shown(result(row("baseline")))
    assert "## Notes" not in markdown(result(row("baseline")))


def test_names_from_outside_are_plain_text():
    sweep = result(
        row(HOSTILE, 0.7, bytes=5), recipe=HOSTILE, best={"title": HOSTILE, "why": HOSTILE}, notes=[HOSTILE]
    )
    assert HOSTILE in shown(sweep, 200)
    page = markdown(sweep)
    assert "<script" not in page
    assert "](http" not in page
    table = [line for line in page.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1, "a pipe in a name adds no cell"
    assert "लहान" in page


def test_a_code_block_can_hold_any_command():
    assert "````sh\na ``` b\n````" in markdown(result(row(), command="a ``` b"))
    assert "```" not in markdown(result(row(), command=None))


def test_the_page_names_the_conditions():
    sweep = example(2, 1)
    page = markdown(sweep, "pareto.svg")
    for words in (
        sweep.created,
        sweep.machine,
        sweep.command,
        "scale: small",
        "clean: n = 2,332, seed 17",
        "(pareto.svg)",
    ):
        assert words in page
    mixed = result(row("a", split="clean", rows=5), row("b", split="official", rows=9, metric="macro_f1"))
    assert "clean: n = 5, official: n = 9" in markdown(mixed)
    assert "| test set |" in markdown(mixed)
    assert "## Quality, size" in markdown(mixed)
    assert "pareto" not in markdown(mixed)


def test_a_metric_that_is_not_a_fraction_is_not_in_per_cent():
    page = markdown(result(row("x", 0.8123, metric="pearson", low=0.79, high=0.83)))
    assert "0.812 [0.79, 0.83]" in page
    assert "Pearson's r |" in page
