"""Compute what a number of texts per day costs with each model, and when the compression has paid for itself.

All values come from the report of the run; what was not measured is not estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.captions import Refused
from trainer_ext.benchmark.energy import break_even
from trainer_ext.report.formatting import sides_overlap
from trainer_ext.report.schema import CompressionReport, Latency

MOST_TEXTS = 10**12
MOST_GRAMS = 5000  # per kWh; the highest values of real grids are near 1000
MS_PER_HOUR = 3_600_000
WORDS = {
    "en": {
        "texts": "Texts per day is {value}; enter a number from 1 to {most:,}.",
        "grid": "Grid intensity is {value}; enter grams of CO2e per kWh from 0 to {most:,}.",
    },
    "mr": {
        "texts": "दिवसाला मजकूर {value} आहे; 1 ते {most:,} मधील संख्या द्या.",
        "grid": "विजेची कार्बन तीव्रता {value} आहे; प्रति kWh 0 ते {most:,} ग्रॅम CO2e द्या.",
    },
}


@dataclass(frozen=True)
class Cost:
    """The cost of one day with one model; a value is None if it was not measured.

    Attributes:
        hours: Processor time, the sum over threads; or accelerator time if the latency was measured on one.
        kwh: Energy.
        grams: Grams of CO2 equivalent.
    """

    hours: float | None
    kwh: float | None
    grams: float | None


def check_day(texts: float | None, grid: float | None) -> float:
    """Check the inputs of the calculator.

    Args:
        texts: Number of texts per day.
        grid: Grams of CO2 equivalent per kilowatt-hour; None or 0 if not known.

    Returns:
        The number of texts.

    Raises:
        Refused: A number is out of range, or the number of texts is missing.
    """
    if texts is None or not 1 <= texts <= MOST_TEXTS:
        raise Refused(WORDS, "texts", value=texts, most=MOST_TEXTS)
    if grid is not None and not 0 <= grid <= MOST_GRAMS:
        raise Refused(WORDS, "grid", value=grid, most=MOST_GRAMS)
    return texts


def measured_row(report: CompressionReport | None) -> Latency | None:
    """Return the latency to compute time from: the first of the report, at whose size the energy was measured too."""
    return report.latency[0] if report is not None and report.latency else None


def costs(report: CompressionReport | None, texts: float, grid: float | None) -> dict[str, Cost]:
    """Return the cost of a day with each model; arguments as in :func:`check_day`."""
    row = measured_row(report)
    energy = report.inference.energy_kwh_per_1000 if report is not None and report.inference is not None else None

    def cost(name: str) -> Cost:
        call_ms = getattr(row, f"{name}_ms", None)
        per_1000 = getattr(energy, name, None)
        hours = None
        if row is not None and call_ms is not None:
            hours = texts / row.batch_size * call_ms * (row.threads or 1) / MS_PER_HOUR
        kwh = None if per_1000 is None else texts / 1000 * per_1000
        return Cost(hours, kwh, None if kwh is None or not grid else kwh * grid)

    return {name: cost(name) for name in ("baseline", "compressed")}


def paid_back(report: CompressionReport | None) -> tuple[str, float]:
    """Compute after how many texts the energy of the compression has been saved.

    Returns:
        "after" and the number of texts; or the reason why there is none, and NaN: "unmeasured", "noise" if the energy of
        the two models does not differ by more than noise, "never" if nothing is saved.
    """
    inference = report.inference if report is not None else None
    training = report.training.compressed if report is not None and report.training is not None else None
    energy = inference.energy_kwh_per_1000 if inference is not None else None
    if inference is None or energy is None or energy.baseline is None or energy.compressed is None:
        return "unmeasured", math.nan
    if training is None or training.energy_kwh is None:
        return "unmeasured", math.nan
    if sides_overlap(inference.range_kwh_per_1000):
        return "noise", math.nan
    texts = break_even(training.energy_kwh, energy.baseline, energy.compressed)
    return ("never", math.nan) if texts is None else ("after", texts)
