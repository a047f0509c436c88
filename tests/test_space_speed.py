"""The tab "Speed and size": a race that is fair, an anatomy that adds up, a sweep read strictly, a calculator."""

import math
from dataclasses import replace

import anatomy_chart
import calculator
import cost_table
import models
import pareto
import pytest
import race
import race_chart
import speed
import sweep
import torch
from anatomy import Change, anatomy, kept_layers
from paging import LABELS, pair_of, write_pair

from trainer_ext import InputError
from trainer_ext.depth import drop_layers
from trainer_ext.report import CompressionReport, Inference, Latency, Model, Pair, TrainingCost

HEADER = "name,accuracy,accuracy_low,accuracy_high,speedup,megabytes,folder\n"
ROW = "half,0.9,0.88,0.92,1.7,24.8,run\n"
LATENCY = Latency("torch", "fp32", "cpu", "<CPU>", 2, 4, 32, baseline_ms=36.0, compressed_ms=18.0)
INFERENCE = Inference(energy_kwh_per_1000=Pair(6e-4, 4e-4), range_kwh_per_1000=Pair((5e-4, 7e-4), (3e-4, 4.5e-4)))


def report(**parts) -> CompressionReport:
    return CompressionReport(created="2026-01-01T00:00:00+00:00", model=Model(labels=list(LABELS)), **parts)


def both(baseline, compressed, numbers=None):
    """Two models as the page holds them."""
    sides = (models.Side("a model", model, None, 40) for model in (baseline, compressed))
    return models.Pair(*sides, numbers)


@pytest.fixture
def run(tiny_model, cut, tmp_path):
    return write_pair(tmp_path / "sweep" / "run", tiny_model, cut)


@pytest.fixture
def pair(run):
    return pair_of(run)


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
        ((0, 8), "batch_size is 0; give a whole number from 1 to 64"),
        ((65, 8), "batch_size is 65"),
        ((1, 41), "sequence_length is 41; give a whole number from 1 to 40"),
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
    assert race.longest(pair) == min(pair.baseline.longest, pair.compressed.longest)
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


@pytest.mark.parametrize("family", ["bert", "albert", "deberta-v2", "distilbert", "modernbert", "mpnet"])
def test_the_parts_add_up_to_the_model(tiny_model, cut, family):
    dense = tiny_model(family)
    if family == "bert":
        small = cut(tiny_model(family), [[0], [1, 3]], [[], [0, 5, 9]])
    else:
        small = tiny_model(family)
    found = anatomy(both(dense, small))
    for side, model in (("before", dense), ("after", small)):
        parts = sum(getattr(part, side) for part in found.parts.values())
        assert parts == getattr(found.total, side) == sum(weight.numel() for weight in model.parameters())
        for name in ("attention", "ffn"):
            assert sum(getattr(layer[name], side) for layer in found.layers) == getattr(found.parts[name], side)
    assert min(part.after for part in found.parts.values()) > 0


def test_layers_show_what_was_kept(tiny_model, cut):
    """Hidden 32, heads of 8, 64 neurons."""
    found = anatomy(both(tiny_model(), cut(tiny_model(), [[], [1, 3]], [[0], []])))
    attention = 4 * 32 * 32 + 4 * 32
    two_heads = 4 * 16 * 32 + 3 * 16 + 32
    assert [layer["attention"] for layer in found.layers] == [Change(attention, 32), Change(attention, two_heads)]
    assert found.layers[0]["ffn"] == Change(2 * 64 * 32 + 64 + 32, 2 * 32 + 1 + 32)


def test_dropped_layers_have_nothing_left(tiny_model):
    """The recipe says which they are; without it nothing is claimed about single layers."""
    dense = tiny_model(num_hidden_layers=4)
    small = drop_layers(dense, 2, None)
    found = anatomy(both(dense, small, report(recipe={"prune_layers": 2})))
    assert [layer["ffn"].after > 0 for layer in found.layers] == [True, False, False, True]
    named = anatomy(both(dense, small, report(recipe={"prune_layers": 2, "prune_layer_ids": [0, 3]})))
    assert [layer["ffn"].after > 0 for layer in named.layers] == [False, True, True, False]
    assert anatomy(both(dense, small)).layers == []
    assert "not shown one by one" in anatomy_chart.anatomy_chart(anatomy(both(dense, small)), "en")
    assert kept_layers(6, 4, report(recipe={"prune_layers": 1})) == []  # another model than the recipe's


def test_an_architecture_without_a_layout_is_still_counted(tiny_model):
    found = anatomy(both(*(tiny_model("roformer") for _ in range(2))))
    assert list(found.parts) == ["embeddings", "encoder", "head"]
    assert sum(part.after for part in found.parts.values()) == found.total.after
    assert "embeddings" in anatomy_chart.anatomy_chart(found, "en")


@pytest.mark.parametrize("language", ["en", "mr"])
def test_the_anatomy_is_a_table_with_a_row_per_part_and_layer(tiny_model, cut, language):
    found = anatomy(both(tiny_model(), cut(tiny_model(), [[], [1, 3]], [[0], []])))
    chart = anatomy_chart.anatomy_chart(found, language)
    assert chart.count("<th scope='row'>") == len(found.parts) + 1 + len(found.layers)
    assert f"{anatomy_chart.count(found.total.after)}</td>" in chart


def test_counts_have_three_digits():
    shown = {
        0: "0",
        999: "999",
        1000: "1k",
        25_149: "25.1k",
        999_400: "999k",
        7_250_000: "7.25M",
        1_230_000_000: "1.23G",
    }
    assert {number: anatomy_chart.count(number) for number in shown} == shown


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
        (HEADER + 51 * ROW, "has 51 rows; this page shows 1 to 50"),
        (HEADER + ROW.replace("1.7", "fast"), "line 2: could not convert string to float: 'fast'"),
        (HEADER + ROW.replace("1.7", "nan"), "line 2: accuracy must lie"),
        (HEADER + ROW.replace("1.7", "0"), "line 2: accuracy must lie"),
        (HEADER + ROW.replace("0.88", "0.91"), "in its interval"),
        (HEADER + "half,0.9\n", "line 2: float"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path, text, message):
    file = tmp_path / "sweep.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        sweep.read_sweep(file)


def test_a_binary_file_is_no_sweep(tmp_path):
    file = tmp_path / "sweep.csv"
    file.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="no table in UTF-8"):
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


def test_every_point_lies_inside_the_picture():
    points = [point(accuracy=0.5), point(accuracy=0.99, speedup=9.0), point(accuracy=0.7, speedup=0.5)]
    across = pareto.scale([1.0, *(one.speedup for one in points)], pareto.LEFT, pareto.RIGHT)
    assert all(pareto.LEFT <= across(one.speedup) <= pareto.RIGHT for one in points)
    assert pareto.scale([2.0], 0, 10)(2.0) == 5


def test_labels_near_each_other_do_not_overlap():
    assert pareto.apart([(20, 50.0), (25, 52.0), (80, 51.0)]) == [52.0 - pareto.LABEL, 52.0, 51.0]


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
    assert "after 100,000 texts, 100 days of these" in table


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


@pytest.fixture
def tab(run, quick):
    """`tab()`: a page's, whose sweep has two points: itself, and one whose folder is gone."""
    (run.parent / "sweep.csv").write_text(HEADER + ROW + ROW.replace("run", "gone"))
    speed.open_run.cache_clear()
    return lambda: speed.Speed(pair_of(run))


def test_the_tab_races_and_refuses(tab):
    *_, (html, found) = tab().run(speed.OWN, 2, 8, "en")
    assert found.rounds == 8
    assert html == race_chart.race_chart(found, "en")
    ((refused, nothing),) = tab().run(speed.OWN, 65, 8, "mr")
    assert "role='alert'" in refused
    assert "पूर्णांक द्या" in refused
    assert nothing is None
    assert "Texts per day is 0" in tab().calculate(speed.OWN, 0, 0.0, "en")


def test_a_point_is_opened_and_no_other_folder(tab):
    shown = tab()
    assert [place for _, place in shown.choices] == [speed.OWN, 0]  # the second point has no models any more
    assert shown.clicked(0) == 0
    for wrong in (1, 2, -2, "../run", None):
        assert shown.clicked(wrong) == speed.OWN
    sweep_html, parts, _, raced = shown.load(0, "en")
    assert "class='kept chosen'" in sweep_html
    assert parts == shown.draw(speed.OWN, "en")[1]  # the point is the page's own run
    assert raced is None


def test_a_point_that_cannot_be_opened_is_said(tab, run):
    shown = tab()
    (run / "baseline/config.json").write_text("{}")
    assert "These models cannot be shown. " in shown.draw(0, "en")[1]
    assert "<table" in shown.draw(speed.OWN, "en")[1]


def test_a_broken_sweep_is_said_and_the_rest_is_there(tab, run):
    (run.parent / "sweep.csv").write_text("name\n")
    sweep_html, parts = tab().draw(speed.OWN, "en")
    assert "The other sizes cannot be shown. sweep.csv has no column accuracy" in sweep_html
    assert "<table" in parts


def test_the_grid_is_that_of_the_report(pair):
    assert speed.Speed(pair).grid == 0
    measured = replace(pair, report=report(inference=replace(INFERENCE, grid_g_per_kwh=713.0)))
    assert speed.Speed(measured).grid == 713
