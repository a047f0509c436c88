"""A fake codecarbon for the tests of energy: one unit of work takes one milliwatt-hour."""

import sys
from types import SimpleNamespace

KWH = 1e-6
MIXES = {
    "IND": {"country_name": "India", "carbon_intensity": 700.0},
    "DEU": {"country_name": "Germany", "carbon_intensity": 400.0},
}


class Work:
    """Counts units of work; `trackers` are the settings of every tracker."""

    def __init__(self):
        self.done, self.trackers, self.processor = 0, [], "CPU(Cpu Load)"

    def do(self, amount=1):
        """Do some work."""
        self.done += amount


def fake_codecarbon(monkeypatch) -> Work:
    """Replace codecarbon; kWh depend only on `Work.do`."""
    work = Work()

    class Tracker:
        def __init__(self, **settings):
            work.trackers.append(settings)
            self._grid = (
                MIXES[settings["country_iso_code"]]["carbon_intensity"] if settings["country_iso_code"] else 475
            )
            self._hardware = [SimpleNamespace(description=lambda: work.processor)]

        def get_detected_hardware(self):
            return {}

        def start(self):
            self._before = work.done

        def stop(self):
            kwh = KWH * (work.done - self._before)
            self.final_emissions_data = SimpleNamespace(
                energy_consumed=kwh,
                emissions=kwh * self._grid / 1000,
                duration=1.0,
                cpu_model="Some CPU",
                gpu_model="",
            )

    source = SimpleNamespace(get_global_energy_mix_data=lambda: MIXES)
    module = SimpleNamespace(OfflineEmissionsTracker=Tracker, input=SimpleNamespace(DataSource=lambda: source))
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    return work
