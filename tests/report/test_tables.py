"""The tables show the numbers of the report with their units, and fit 80 columns."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from trainer_ext import report
from trainer_ext.report import tables
from trainer_ext.report.formatting import in_words, overlap


def render(item, width=80, encoding="utf-8"):
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(width=width, file=buffer).print(item)
    buffer.seek(0)
    return buffer.read()


def row(text, label):
    """The cells of the row with that label, its continuation lines joined."""
    lines = [[cell.strip() for cell in line.strip("│┃|\n").replace("|", "│").split("│")] for line in text.splitlines()]
    start = next(index for index, cells in enumerate(lines) if cells[0] == label)
    cells = lines[start][1:]
    for line in lines[start + 1 :]:
        if len(line) != len(lines[start]) or line[0]:
            break
        cells = [f"{a} {b}".strip() for a, b in zip(cells, line[1:], strict=True)]
    return cells


def example(interval=(-0.015, 0.004)):
    before = report.Scores(0.968, 0.951, {"loss": 1.25}, {"accuracy": (0.949, 0.98)})
    after = report.Scores(0.962, 0.951, {"loss": 1.5}, {"accuracy": (0.941, 0.976)})
    quality = report.Quality(
        "test", 2500, before, after, report.Difference(-0.006, interval), 0.978, lost=17, won=2, mcnemar_p=0.453
    )
    other = report.Quality("documents [long]", 300, report.Scores(0.9), report.Scores(0.91))
    latency = report.Latency("torch", "fp32", "cpu", "Some CPU", 2, 16, 128, 120.0, 50.0, 130.0, 60.0, 2.4, 2.5, 30)
    return report.CompressionReport(
        created="2026-01-01",
        model=report.Model(),
        sparsity=report.Sparsity(0.5, 0.502, "movement", "compact"),
        parameters=report.Pair(report.Parameters(200, 100, 80, 20), report.Parameters(150, 50, 80, 20)),
        bytes=report.Pair(950_240_000, 470_240_000),
        quality=quality,
        other_quality=[other],
        latency=[latency],
    )


def test_quality_rows():
    text = render(tables.quality_table(example()))
    assert row(text, "test (2,500 rows)") == ["", "", ""]
    change = "-0.6 [-1.5, +0.4] within noise"
    assert row(text, "accuracy %") == ["96.8 [94.9, 98.0]", "96.2 [94.1, 97.6]", change]
    assert row(text, "macro-F1 %") == ["95.1", "95.1", "+0.0"]
    assert row(text, "loss") == ["1.25", "1.5", "+0.25"]
    assert row(text, "same answer %") == ["", "97.8", ""]
    assert row(text, "lost / won") == ["", "17 / 2", ""]
    assert row(text, "McNemar exact p") == ["", "0.453", ""]


@pytest.mark.parametrize(("interval", "noise"), [((-0.01, 0.0), True), ((-0.02, -0.001), False), (None, False)])
def test_a_difference_is_noise_if_its_interval_contains_zero(interval, noise):
    assert (tables.WITHIN_NOISE in render(tables.quality_table(example(interval)))) is noise


def test_other_splits_follow_the_main_one():
    text = render(tables.quality_table(example()), width=120)
    second = text[text.index("documents [long] (300 rows)") :]
    assert row(second, "accuracy %") == ["90.0", "91.0", "+1.0"]
    assert row(second, "lost / won") == ["", "not measured", ""]


def test_size_rows():
    text = render(tables.size_table(example()))
    assert row(text, "parameters, encoder") == ["100", "50", "-50.0 %"]
    assert row(text, "parameters, head") == ["20", "20", "+0.0 %"]
    assert row(text, "weights on disk") == ["950.2 MB", "470.2 MB", "-50.5 %"]
    assert row(text, "sparsity requested") == ["", "50.0 %", ""]
    assert row(text, "sparsity achieved") == ["", "50.2 %", "removed"]
    assert row(text, "density, 1 - sparsity") == ["", "49.8 %", "kept"]
    assert row(text, "method, structure") == ["", "movement, compact", ""]


def test_vocabulary_rows():
    numbers = report.Vocabulary(
        report.Pair(197_285, 20_000), 1000, 2500, 0.0264, report.Pair(0.0001, 0.0), report.Pair(1.5, 1.53)
    )
    text = render(tables.size_table(replace(example(), vocabulary=numbers)))
    assert row(text, "vocabulary, tokens") == ["197,285", "20,000", "-89.9 %"]
    assert row(text, "unknown tokens") == ["0.01 %", "0.00 %", ""]
    assert row(text, "tokens per word") == ["1.50", "1.53", "+2.0 %"]
    assert row(text, "texts tokenized differently") == ["", "2.6 %", ""]
    unknown = render(tables.size_table(replace(example(), vocabulary=report.Vocabulary())))
    assert row(unknown, "tokens per word")[:2] == ["not measured"] * 2
    assert "vocabulary" not in render(tables.size_table(example()))


def test_latency_rows():
    text = render(tables.latency_table(example()))
    assert row(text, "16 x 128") == ["120.0 ms", "50.0 ms", "2.40x", "2.50x"]
    assert row(text, "torch fp32") == ["p95 130.0", "p95 60.0", "", ""]
    assert "Some CPU, cpu, 2 threads" in text


def test_missing_numbers_are_shown_as_not_measured():
    empty = report.CompressionReport("2026-01-01", report.Model())
    text = render(tables.summary(empty))
    assert row(text, "quality") == [tables.NOT_MEASURED] * 3
    assert row(text, "parameters, total") == [tables.NOT_MEASURED] * 3
    assert row(text, "latency") == [tables.NOT_MEASURED] * 4
    assert "None" not in text


def with_energy(**changes):
    found = report.Inference(
        energy_kwh_per_1000=report.Pair(0.000282, 0.000156),
        emissions_g_per_1000=report.Pair(0.201, 0.111),
        grid_g_per_kwh=713.4,
        country="IND",
        break_even_inferences=1_234_567.0,
        estimated=True,
        range_kwh_per_1000=report.Pair((0.00026, 0.0003), (0.00013, 0.00017)),
        hardware="Some CPU",
        batch_size=1,
        sequence_length=32,
    )
    training = report.Pair(report.TrainingCost(), report.TrainingCost(400.0, 0.0156, 11.1))
    return replace(example(), inference=replace(found, **changes), training=training)


def test_energy_rows():
    text = render(tables.energy_table(with_energy()))
    assert "estimated" in text
    assert row(text, "kWh per 1,000 texts") == ["0.000282 [0.00026, 0.0003]", "0.000156 [0.00013, 0.00017]", "-44.7 %"]
    assert row(text, "kWh of training") == [tables.NOT_MEASURED, "0.0156", ""]
    assert row(text, "g CO2e per 1,000 texts") == ["0.201", "0.111", ""]
    assert row(text, "g CO2e of training") == [tables.NOT_MEASURED, "11.1", ""]
    assert "paid back after 1.2 million texts" in text
    assert "713 g CO2e per kWh" in text


def test_no_energy_table_without_measurements():
    assert "kWh" not in render(tables.summary(example()))
    assert "kWh" in render(tables.summary(with_energy()))


def test_energy_without_a_country_asks_for_one():
    text = render(tables.energy_table(with_energy(country=None, grid_g_per_kwh=None, emissions_g_per_1000=None)))
    assert "g CO2e" not in text
    assert "ISO 3166" in text


def test_energy_that_is_never_saved_is_explained():
    never = with_energy(break_even_inferences=None)
    assert "never paid back" in render(tables.energy_table(never))
    unknown = replace(never, training=None)
    assert "was not measured" in render(tables.energy_table(unknown))


def test_energy_within_the_range_of_the_blocks_is_noise():
    text = render(tables.energy_table(with_energy(range_kwh_per_1000=report.Pair((0.0001, 0.0003), (0.0001, 0.0002)))))
    assert row(text, "kWh per 1,000 texts")[2] == f"-44.7 % {tables.WITHIN_NOISE}"
    assert "paid back after: unknown" in text


def test_ranges_that_touch_overlap():
    assert overlap((1, 2), (2, 3))
    assert overlap((0, 9), (2, 3))
    assert not overlap((1, 2), (2.1, 3))
    assert not overlap((2.1, 3), (1, 2))


@pytest.mark.parametrize(
    ("count", "words"),
    [
        *((0, "0"), (849.2, "850"), (12_345, "12 thousand"), (999_700, "1 million"), (1.26e6, "1.3 million")),
        (3.4e12, "3,400 billion"),
    ],
)
def test_counts_in_words(count, words):
    assert in_words(count) == words


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_summary_fits_80_columns(encoding):
    text = render(tables.summary(with_energy()), encoding=encoding)
    assert max(map(len, text.splitlines())) <= 80
    assert all(line[-1] in "┃│|" for line in text.splitlines() if line[0] in "┃│|")  # no column is cut off
    for title in ("Quality", "Size", "Latency"):
        assert title in text


def test_a_row_of_a_busy_machine_says_so_with_the_ratio_of_the_cpu_times():
    quiet = example()
    (timed,) = quiet.latency
    busy = replace(quiet, latency=[replace(timed, speedup=0.97, busy=True, cpu_speedup=1.9)])
    text = render(tables.latency_table(busy))
    assert row(text, "16 x 128")[2] == "0.97x"
    assert row(text, "torch fp32")[2] == "busy machine CPU time 1.90x"
    assert "time it again when it is idle" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert "busy" not in render(tables.latency_table(quiet))
    assert tables.speedup(replace(busy.latency[0], cpu_speedup=None)) == "0.97x\nbusy machine"


def test_a_report_from_before_busy_machines_were_told_still_opens(tmp_path):
    report.save(example(), tmp_path)
    file = tmp_path / "compression.json"
    fields = json.loads(file.read_text())
    for timed in fields["latency"]:
        del timed["busy"], timed["cpu_speedup"]
    file.write_text(json.dumps(fields))
    assert report.load(tmp_path).latency[0].busy is None
