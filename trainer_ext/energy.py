"""Energy: what a stretch of work drew, in kWh, and in grams of CO2 where the country is given; by codecarbon, offline.

Only its offline tracker is used: the online one asks the network where it is and, without an answer, says Canada.
Nothing is written, nothing is sent, and no lock is taken, so that several runs may measure at once.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import InputError
from .extras import need

EXTRA = "emissions"
# How codecarbon describes hardware that counts its own energy; any other processor is estimated from its load.
_COUNTERS = ("CPU(Intel Rapl)", "CPU(Intel Power Gadget)", "CPU(Windows Emi)", "AppleSiliconChip", "Raspberry")


@dataclass(frozen=True)
class Energy:
    """What was drawn by processor, memory and accelerators.

    Attributes:
        energy_kwh: kilowatt-hours.
        emissions_g: grams of CO2 equivalent, `energy_kwh * grid_g_per_kwh`; None without a country.
        seconds: how long it was measured.
        grid_g_per_kwh: the grid intensity of the country that was used; None without one.
        country: ISO 3166 alpha-3 code, as it was given.
        estimated: the processor has no counter that can be read. Memory is estimated everywhere.
        hardware: the processor, accelerators, and how codecarbon read each.
    """

    energy_kwh: float
    emissions_g: float | None
    seconds: float
    grid_g_per_kwh: float | None
    country: str | None
    estimated: bool
    hardware: str


def check_country(country: str | None) -> None:
    """See before any work that energy can be measured and that the country's grid is known.

    Args:
        country: ISO 3166 alpha-3 code; None measures kWh alone.

    Raises:
        InputError: codecarbon is not installed, or has no such country.
    """
    mixes = need("codecarbon", extra=EXTRA).input.DataSource().get_global_energy_mix_data()
    if country is None or country in mixes:
        return
    words = {word.lower(): code for code, mix in mixes.items() for word in (code, mix["country_name"])}
    near = difflib.get_close_matches(country.lower(), words, n=1)
    hint = f"did you mean {words[near[0]]}?" if near else "use a code like IND, DEU or USA."
    raise InputError(f"Unknown country {country!r}, expected an ISO 3166 alpha-3 code; {hint}")


class Meter:
    """Measures from `start` to `stop`; `energy` is then what was drawn in between.

    Args:
        country: ISO 3166 alpha-3 code for grams; None measures kWh alone. It is never guessed.
        whole_machine: count every process of this machine. The default counts this process and its children: on a
            shared machine it is charged for its own processor time and not for what others do. A hardware counter knows
            no processes and always counts all of them; accelerators likewise.

    Raises:
        InputError: see `check_country`.
    """

    def __init__(self, country: str | None = None, *, whole_machine: bool = False):
        check_country(country)
        self.country, self.energy = country, None
        self._mode = "machine" if whole_machine else "process"
        self._tracker = None

    def start(self) -> None:
        """Start anew; the first time in a process it takes some seconds to look at the hardware, which do not count."""
        codecarbon = need("codecarbon", extra=EXTRA)
        logging.getLogger("codecarbon").setLevel(logging.ERROR)  # it speaks before it reads log_level
        # Settings that lie on the machine may describe the hardware; where it stands and what is sent is decided here.
        self._tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=self.country,
            tracking_mode=self._mode,
            output_methods=[],
            log_level="error",
            allow_multiple_runs=True,  # else it takes a lock file and the handlers of SIGINT and SIGTERM
            electricitymaps_api_token="",
            **dict.fromkeys(
                (
                    *("cloud_provider", "cloud_region", "region", "country_2letter_iso_code"),
                    *("emissions_endpoint", "force_carbon_intensity_g_co2e_kwh"),
                )
            ),
        )
        self._tracker.get_detected_hardware()  # `start` would swallow the error
        self._tracker.start()

    def stop(self) -> Energy:
        """Stop, and say what was drawn since `start`."""
        self._tracker.stop()
        data = self._tracker.final_emissions_data
        parts = [part.description() for part in self._tracker._hardware]  # no public name says how it was read
        grams = None if self.country is None else 1000 * data.emissions
        self.energy = Energy(
            energy_kwh=data.energy_consumed,
            emissions_g=grams,
            seconds=data.duration,
            grid_g_per_kwh=grams / data.energy_consumed if grams else None,
            country=self.country,
            estimated=not any(part.startswith(_COUNTERS) for part in parts),
            hardware=", ".join(filter(None, [data.cpu_model, data.gpu_model, *parts])),
        )
        self._tracker = None
        return self.energy


@contextlib.contextmanager
def measured(country: str | None = None, *, whole_machine: bool = False) -> Iterator[Meter]:
    """Measure what happens inside; the arguments are those of `Meter`.

    Example:
        >>> with measured(country="IND") as meter:
        ...     work()
        >>> meter.energy.energy_kwh
    """
    meter = Meter(country, whole_machine=whole_machine)
    meter.start()
    try:
        yield meter
    finally:
        meter.stop()
