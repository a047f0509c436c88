"""The calculator: what was measured times the texts, and nothing that was not measured."""

import math
from dataclasses import replace

import pytest
from charts import cost as cost_table
from core import cost as calculator

from tests.helpers.speeding import INFERENCE, report
from trainer_ext import InputError
from trainer_ext.report.schema import Inference, Latency, Pair, TrainingCost

LATENCY = Latency("torch", "fp32", "cpu", "<CPU>", 2, 4, 32, baseline_ms=36.0, compressed_ms=18.0)


def test_a_day_is_the_measured_time_and_energy_times_the_texts():
    before, after = calculator.costs(report(latency=[LATENCY], inference=INFERENCE), 400_000, 500.0).values()
    # 100,000 calls of 4 texts, 36 ms each, on two threads
    assert before == pytest.approx(calculator.Cost(hours=2.0, kwh=0.24, grams=120.0))
    assert after == pytest.approx(calculator.Cost(hours=1.0, kwh=0.16, grams=80.0))


def test_what_was_not_measured_is_not_guessed():
    assert calculator.costs(None, 10, 500.0)["baseline"] == calculator.Cost(None, None, None)
    assert calculator.costs(report(latency=[LATENCY]), 10, 500.0)["baseline"].kwh is None
    for unknown in (None, 0):
        assert calculator.costs(report(inference=INFERENCE), 10, unknown)["baseline"].grams is None
    table = cost_table.cost_table(report(latency=[LATENCY]), 1000, 500.0, "en")
    assert "Energy was not measured, so only processor time is computed" in table
    assert table.count("unknown</td>") == 4
    assert "&lt;CPU&gt;" in table
    assert "Nothing was measured" in cost_table.cost_table(None, 1000, None, "en")


def test_break_even_is_claimed_only_where_it_is_known():
    cost = Pair(None, TrainingCost(energy_kwh=0.02))
    assert calculator.paid_back(report(inference=INFERENCE, training=cost)) == pytest.approx(("after", 100_000))
    for reason, parts in {
        "unmeasured": {"inference": INFERENCE},
        "noise": {
            "training": cost,
            "inference": replace(INFERENCE, range_kwh_per_1000=Pair((4e-4, 7e-4), (3e-4, 5e-4))),
        },
        "never": {
            "training": cost,
            "inference": Inference(energy_kwh_per_1000=Pair(4e-4, 4e-4)),
        },
    }.items():
        found, texts = calculator.paid_back(report(**parts))
        assert found == reason
        assert math.isnan(texts)
        for language in ("en", "mr"):
            table = cost_table.cost_table(report(**parts), 1000, None, language)
            assert cost_table.WORDS[language][reason] in table
    table = cost_table.cost_table(report(inference=INFERENCE, training=cost), 1000, 500.0, "en")
    assert "after 100,000 texts, in 100 days" in table


def test_hours_of_an_accelerator_are_not_called_cpu_hours():
    row = replace(LATENCY, device="cuda", threads=None)
    table = cost_table.cost_table(report(latency=[row]), 1000, None, "en")
    assert "accelerator-hours" in table
    assert "CPU" not in table.replace("&lt;CPU&gt;", "")


@pytest.mark.parametrize("texts", [None, 0, -1, math.nan, math.inf, 1e13])
def test_a_number_of_texts_that_is_none_is_refused(texts):
    with pytest.raises(InputError, match="Texts per day is"):
        calculator.check_day(texts, None)


@pytest.mark.parametrize("grid", [-1, math.nan, 5001])
def test_a_grid_that_is_none_is_refused(grid):
    calculator.check_day(1, 0)
    with pytest.raises(InputError, match="Grid intensity is"):
        calculator.check_day(1, grid)
