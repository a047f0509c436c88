"""Energy: kWh and grams by arithmetic; no country is guessed, and nothing is written, sent or logged."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.metering import KWH
from trainer_ext import InputError
from trainer_ext.benchmark import energy
from trainer_ext.benchmark.energy import check_country, measured
from trainer_ext.callbacks import training_energy

ROOT = Path(__file__).parents[2]
# Trains with our callback, or measures with the online tracker of codecarbon; prints the network addresses that were
# contacted, and whether the handler of SIGINT was kept.
SCRIPT = """
import json, signal, socket, sys
reached, handlers = [], []
before = signal.getsignal(signal.SIGINT)  # a shell may have had it ignored
def refuse(*address, **_):
    reached.append(str(address))
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
if sys.argv[1] == "ours":
    from tests.helpers.training import make_trainer
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from trainer_ext import EmissionsCallback
    class Look(TrainerCallback):
        def on_step_end(self, *_, **__):
            handlers.append(signal.getsignal(signal.SIGINT) is before)
    options = {"args_class": TrainingArguments, "max_steps": 3, "save_strategy": "steps", "save_steps": 2}
    trainer = make_trainer(".", Trainer, callbacks=[EmissionsCallback("IND"), Look()], **options)
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "energy_kwh" in entry]
else:
    from codecarbon import EmissionsTracker
    tracker = EmissionsTracker(allow_multiple_runs=False)
    tracker.start()
    handlers.append(signal.getsignal(signal.SIGINT) is before)
    entries = [{"emissions_g": tracker.stop()}]
print(json.dumps([reached, handlers, entries]))
"""


def files_in(folder):
    """Return the names of all files, without checkpoints."""
    return {file.name for file in folder.rglob("*") if file.is_file() and "checkpoint-" not in str(file)}


def run_in_empty_home(tmp_path, kind):
    """Run the script in an empty home folder; return addresses, handlers, log entries, standard error and new files."""
    folders = {name: tmp_path / kind / name for name in ("cwd", "home", "tmp")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    # The lock of another tracker, and a configuration that sends, writes and uses another grid: ours must ignore both.
    if kind == "ours":
        (folders["tmp"] / ".codecarbon.lock").touch()
    (folders["home"] / ".codecarbon.config").write_text(
        "[codecarbon]\nemissions_endpoint = http://127.0.0.1:9\noutput_methods = csv\nallow_multiple_runs = false\n"
        "force_carbon_intensity_g_co2e_kwh = 1\nelectricitymaps_api_token = x\nco2_signal_api_token = x\n"
        if kind == "ours"
        else "[codecarbon]\n"
    )
    before = files_in(tmp_path)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.upper().startswith("CODECARBON")},
        **{"HOME": str(folders["home"]), "TMPDIR": str(folders["tmp"]), "HF_HUB_OFFLINE": "1"},
        **{"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TRANSFORMERS_VERBOSITY": "error"},
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind], cwd=folders["cwd"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return *json.loads(done.stdout.splitlines()[-1]), done.stderr, files_in(tmp_path) - before


@pytest.mark.slow
def test_nothing_is_written_sent_or_logged(tmp_path):
    reached, handlers, entries, words, files = run_in_empty_home(tmp_path, "ours")
    assert reached == []
    assert handlers
    assert all(handlers), "the handler of SIGINT was replaced"
    assert "codecarbon" not in words
    assert not files
    assert [entry["step"] for entry in entries] == [2, 3, 3]
    kwh, grams = training_energy(entries)
    assert kwh > 0
    assert grams == pytest.approx(713 * kwh, rel=0.01), "the grid of India, not that of the settings file"


def test_the_online_tracker_is_noticed(tmp_path):
    """Negative control: the online tracker uses the network, writes a file, logs and replaces the handler of SIGINT."""
    reached, handlers, _, words, files = run_in_empty_home(tmp_path, "stock")
    assert reached
    assert not any(handlers)
    assert "codecarbon" in words
    assert "emissions.csv" in files


def test_a_real_measurement():
    with measured() as meter:
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            pass
    found = meter.energy
    assert 0.4 < found.seconds < 20
    assert 0 < found.energy_kwh < 1e-3, "more than a kilowatt for some seconds"
    assert (found.emissions_g, found.grid_g_per_kwh, found.country) == (None, None, None)
    assert found.hardware


def test_grams_are_kilowatt_hours_times_the_grid(work):
    with measured(country="DEU") as meter:
        work.do(5)
    found = meter.energy
    assert found.energy_kwh == pytest.approx(5 * KWH)
    assert found.emissions_g == pytest.approx(5 * KWH * 400)
    assert found.grid_g_per_kwh == pytest.approx(400)
    assert found.country == "DEU"


def test_without_a_country_there_are_no_grams(work):
    with measured() as meter:
        work.do()
    assert meter.energy.energy_kwh == pytest.approx(KWH)
    assert meter.energy.emissions_g is None
    assert work.trackers[0]["country_iso_code"] is None, "a country from a settings file would be a guess"


@pytest.mark.parametrize(
    ("processor", "estimated"),
    [
        ("CPU(Intel Rapl)", False),
        ("CPU(Cpu Load)", True),
        ("CPU(Some CPU > 45W)", True),
        ("Raspberry (x > CPU)", False),
    ],
)
def test_energy_without_a_counter_is_estimated(processor, estimated, work):
    work.processor = processor
    with measured() as meter:
        pass
    assert meter.energy.estimated is estimated


def test_an_error_stops_the_measurement(work):
    def fail():
        work.do(2)
        raise RuntimeError("as planned")

    with pytest.raises(RuntimeError, match="as planned"), measured() as meter:
        fail()
    assert meter.energy.energy_kwh == pytest.approx(2 * KWH)


@pytest.mark.parametrize(
    ("country", "hint"), [("ind", "IND"), ("IN", "IND"), ("India", "IND"), ("germany", "DEU"), ("??", "a code like")]
)
def test_an_unknown_country_is_refused_with_a_suggestion(country, hint, work):
    with pytest.raises(InputError, match=f"Unknown country .*{hint}"):
        check_country(country)


def test_without_codecarbon_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(InputError, match=r"pip install 'trainer-ext\[emissions\]'"):
        check_country(None)


def test_codecarbon_knows_every_counter():
    """A renamed counter would turn a measurement into an estimate without notice."""
    hardware = pytest.importorskip("codecarbon.external.hardware")
    for mode in ("intel_rapl", "intel_power_gadget", "windows_emi"):
        cpu = object.__new__(hardware.CPU)
        cpu._mode = mode
        assert cpu.description().startswith(energy._COUNTERS)
    assert {"AppleSiliconChip", "Raspberry"} <= set(vars(hardware)) & set(energy._COUNTERS)
