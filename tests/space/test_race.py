"""The race: both models in turns on the same rows, sizes that are refused, and bars that fill."""

from dataclasses import replace

import pytest
import torch
from charts import race as race_chart
from core import race

from tests.helpers.paging import pair_of, write_pair
from trainer_ext import InputError


@pytest.fixture
def pair(tiny_model, cut, tmp_path):
    return pair_of(write_pair(tmp_path, tiny_model, cut))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(race, "ROUNDS", 8)


def test_the_race_fills_until_it_is_done(pair, quick):
    steps = list(race.race(pair, 2, 16))
    assert [step.done for step in steps] == [0.0, 0.5, 1.0]
    assert [step.rounds for step in steps] == [0, 4, 8]
    assert steps[1].milliseconds["baseline"] == steps[2].milliseconds["baseline"][:4]  # a step stays as it was
    found = steps[-1]
    assert found.speedup == found.stats["baseline"].median_ms / found.stats["compressed"].median_ms
    assert found.processor
    assert found.threads == torch.get_num_threads()


def test_the_models_take_turns_on_the_same_rows(pair, quick):
    """A B, then B A: neither is always the first, and neither has rows of its own."""
    seen = []
    for name, side in pair.sides.items():
        side.model.register_forward_pre_hook(
            lambda _, args, kwargs, name=name: seen.append((name, kwargs["input_ids"].clone())), with_kwargs=True
        )
    *_, found = race.race(pair, 3, 16)
    rounds = [[name for name, _ in seen[start : start + 2]] for start in range(0, len(seen), 2)]
    assert all(sorted(both) == ["baseline", "compressed"] for both in rounds)
    assert rounds[0] != rounds[1]
    steps, warm_ups = 2, 1
    assert len(rounds) == found.rounds + steps * warm_ups
    first = seen[0][1]
    assert first.shape == (3, 16)
    assert all(torch.equal(rows, first) for _, rows in seen)


def test_rows_are_tokens_that_both_models_have(tiny_model):
    """Each model's own random rows would differ, and the larger vocabulary's could not be looked up in the smaller."""
    both = {"baseline": tiny_model(), "compressed": tiny_model(vocab_size=16)}
    rows = race.same_rows(both, 4, 32)
    assert torch.equal(rows["baseline"]["input_ids"], rows["compressed"]["input_ids"])
    assert rows["baseline"]["input_ids"].max() < 16


def test_a_race_that_takes_too_long_ends_with_what_it_has(pair, monkeypatch):
    monkeypatch.setattr(race, "SECONDS", 1e-9)
    *_, found = race.race(pair, 1, 8)
    assert (found.rounds, found.done) == (3, 1.0)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((0, 8), "batch_size is 0; enter a whole number from 1 to 64"),
        ((65, 8), "batch_size is 65"),
        ((1, 41), "sequence_length is 41; enter a whole number from 1 to 40"),
        ((1, 8.5), "sequence_length is 8.5"),
        (("8", 8), "batch_size is '8'"),
        ((True, 8), "batch_size is True"),
        ((None, 8), "batch_size is None"),
    ],
)
def test_sizes_out_of_range_are_refused(size, message):
    with pytest.raises(InputError, match=message):
        race.check_size(*size, most=40)


def test_a_call_that_keeps_others_waiting_is_refused(pair):
    race.check_size(8, 512, most=512)
    with pytest.raises(InputError, match="4,608 tokens per call; this page takes at most 4,096. Lower one"):
        race.check_size(9, 512, most=512)
    assert race.longest(pair) == min(pair.baseline.max_tokens, pair.compressed.max_tokens)
    with pytest.raises(InputError, match="sequence_length"):
        next(race.race(pair, 1, race.longest(pair) + 1))


def test_the_benchmark_is_the_whole_race(pair, quick):
    found = race.benchmark(pair, 2, 8)
    assert found["baseline"]["runs"] == len(found["baseline"]["milliseconds"]) == 8
    assert found["speedup"] == found["baseline"]["median_ms"] / found["compressed"]["median_ms"]
    assert (found["batch_size"], found["sequence_length"]) == (2, 8)


@pytest.mark.parametrize("language", ["en", "mr"])
def test_bars_are_medians_and_fill_with_the_rounds(language):
    times = {"baseline": [9.0, 10.0, 30.0], "compressed": [4.0, 5.0, 6.0]}
    half = race.Race("<CPU>", 1, 2, 8, times, 0.5)
    chart = race_chart.race_chart(half, language)
    assert "width:50.0%" in chart
    assert "width:25.0%" in chart
    assert "role='status'" not in chart
    assert "&lt;CPU&gt;" in chart
    done = race_chart.race_chart(replace(half, done=1.0), language)
    assert "width:100.0%" in done
    assert "2.00" in done.split("</p>")[0]
    assert "role='status'" in done
    slower = replace(half, done=1.0, milliseconds={"baseline": [5.0], "compressed": [10.0]})
    assert race_chart.race_chart(slower, language).split("</p>")[0] != done.split("</p>")[0].replace("2.00", "0.50")
    assert "<table" not in race_chart.race_chart(None, language)
