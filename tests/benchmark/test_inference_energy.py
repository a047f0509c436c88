"""Energy of 1,000 predictions, alternating blocks, and the break-even count by hand."""

import pytest

from tests.helpers.commands import recipe_fields, run_command, write_recipe, write_task
from tests.helpers.metering import KWH
from trainer_ext import InputError, report
from trainer_ext.benchmark import energy
from trainer_ext.benchmark.energy import break_even, measure_inference, per_1000

BATCHES = [{"input_ids": [[1, 2], [3, 4]]}, {"input_ids": [[5]]}]


@pytest.fixture
def quick(monkeypatch):
    """Allow measurements of a hundredth of a second."""
    monkeypatch.setattr(energy, "SAMPLE_SECONDS", 0.001)


def test_break_even_by_hand():
    # 0.5 kWh more in training, 0.2 Wh less per 1,000 predictions: 2.5 million predictions.
    assert break_even(0.5, 0.0005, 0.0003) == pytest.approx(2.5e6)
    assert break_even(0.0, 0.0005, 0.0003) == 0
    assert break_even(None, 0.0005, 0.0003) is None
    assert break_even(0.5, 0.0003, 0.0003) is None
    assert break_even(0.5, 0.0003, 0.0005) is None


def test_per_thousand_by_hand():
    assert per_1000(2.0, 500) == 4.0


def test_each_model_gets_the_energy_of_its_own_work(quick, work):
    order = []

    def model(name, amount):
        def call(batch):
            order.append(name)
            work.do(amount * len(batch["input_ids"]))

        return call

    found = measure_inference({"a": model("a", 3), "b": model("b", 1)}, BATCHES, seconds=0.02)
    assert found["a"].kwh_per_1000 == pytest.approx(3 * 1000 * KWH)
    assert found["b"].kwh_per_1000 == pytest.approx(1000 * KWH)
    assert found["a"].range_per_1000 == pytest.approx((3000 * KWH, 3000 * KWH))
    blocks = [name for index, name in enumerate(order) if index == 0 or order[index - 1] != name]
    assert blocks == list("abababa"), "warm-up a b, then a b b a a b b a"


def test_the_range_is_from_the_lowest_to_the_highest_block(quick, work):
    seen = []

    def warmer(batch):
        """Draw more in every block, as on a machine that others use."""
        seen.append(len(work.trackers))
        work.do(seen[-1])

    found = measure_inference({"a": warmer}, [{"input_ids": [[1]]}], seconds=0.02)["a"]
    assert found.range_per_1000 == pytest.approx((1000 * KWH, 4000 * KWH))
    assert found.range_per_1000[0] < found.kwh_per_1000 < found.range_per_1000[1]


@pytest.mark.parametrize("seconds", [0.0, 9.9, float("nan"), float("inf")])
def test_a_measurement_that_is_too_short_is_refused(seconds, work):
    with pytest.raises(InputError, match="at least 10 per model"):
        measure_inference({"a": lambda batch: None}, BATCHES, seconds=seconds)
    assert not work.trackers


def test_models_of_different_vocabularies_read_the_same_tokens(quick, work, tiny_model):
    models = [tiny_model("bert"), tiny_model("bert", vocab_size=20)]
    found = energy.compare_inference(*models, batch_size=2, sequence_length=30, extra_training_kwh=None, seconds=0.02)
    assert found.energy_kwh_per_1000 == report.Pair(0.0, 0.0), "neither model calls work.do"
    assert found.break_even_inferences is None


@pytest.fixture
def finished(tmp_path, tiny_model):
    """The folder of a finished run whose compression took one kilowatt-hour."""
    for name, width in (("baseline", 64), ("compressed", 16)):
        tiny_model("bert", intermediate_size=width).save_pretrained(tmp_path / name)
    latency = report.Latency("torch", "fp32", "cpu", "Some CPU", 1, 2, 8)
    training = report.Pair(None, report.TrainingCost(energy_kwh=1.0, emissions_g=700.0))
    report.save(report.CompressionReport("2026-01-01", report.Model(), latency=[latency], training=training), tmp_path)
    return tmp_path


def count_work(work, monkeypatch):
    """Count one unit of work per neuron at each call of a model."""
    monkeypatch.setattr(energy, "_call", lambda model, batch: work.do(model.config.intermediate_size))


def test_the_command_measures_a_run_and_updates_its_report(finished, quick, work, monkeypatch, capsys):
    count_work(work, monkeypatch)
    words = ("--country", "IND", "--seconds", 0.02)
    status, out, err = run_command(monkeypatch, capsys, "energy", finished, *words)
    assert status == 0, err
    found = report.load(finished).inference
    assert (found.batch_size, found.sequence_length, found.country, found.estimated) == (2, 8, "IND", True)
    assert found.energy_kwh_per_1000.baseline == pytest.approx(32_000 * KWH)  # 64 per call of two texts
    assert found.energy_kwh_per_1000.compressed == pytest.approx(8_000 * KWH)
    assert found.emissions_g_per_1000.compressed == pytest.approx(8_000 * KWH * 700)
    assert found.break_even_inferences == pytest.approx(1.0 / (24 * KWH))
    assert found.range_kwh_per_1000.baseline == pytest.approx((0.032, 0.032))
    assert "paid back after 42 thousand texts" in out
    assert "700 g CO2e per kWh" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--country", "Germany"), "did you mean DEU"),
        (("--seconds", 3), "at least 10 per model"),
        ((), "holds no finished run"),
    ],
)
def test_the_command_refuses_bad_options(words, message, tmp_path, work, monkeypatch, capsys):
    status, _, err = run_command(monkeypatch, capsys, "energy", tmp_path, *words)
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert message in err


@pytest.mark.slow
def test_compress_measures_both_trainings_and_the_predictions(tmp_path, quick, work, monkeypatch, capsys):
    count_work(work, monkeypatch)
    fields = recipe_fields(write_task(tmp_path / "task"), tmp_path / "run", scratch_epochs=2, num_train_epochs=2)
    recipe = write_recipe(tmp_path / "recipe.yaml", fields)
    words = ("--measure_energy", "--energy_country", "IND", "--energy_seconds", "0.02")
    status, out, err = run_command(monkeypatch, capsys, "compress", recipe, *words)
    assert status == 0, err
    found = report.load(tmp_path / "run")
    for cost in (found.training.baseline, found.training.compressed):
        assert cost.energy_kwh is not None
        assert cost.emissions_g == pytest.approx(700 * cost.energy_kwh)
    assert (found.inference.batch_size, found.inference.sequence_length) == (1, 8)
    assert found.inference.energy_kwh_per_1000.baseline == pytest.approx(64_000 * KWH)
    assert "Energy, estimated" in out
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"baseline", "compressed", "masked", "logs", "recipe.yaml", "compression.json"}
    assert not [path for path in tmp_path.rglob("*") if "emissions" in path.name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--measure_energy", "--energy_country", "India"), "did you mean IND"),
        (("--measure_energy", "--energy_seconds", "1"), "at least 10"),
        (("--energy_country", "IND"), "together with measure_energy"),
    ],
)
def test_compress_refuses_before_any_work(words, message, tmp_path, work, monkeypatch, capsys):
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe_fields(write_task(tmp_path / "task"), tmp_path / "run"))
    status, _, err = run_command(monkeypatch, capsys, "compress", recipe, *words)
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert message in err
    assert not (tmp_path / "run").exists()
