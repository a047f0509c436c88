"""Calculator: what so many texts per day cost with each model, and when the compression has paid for itself.

It multiplies what the report has measured; what was not measured is not guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from captions import Refused

from trainer_ext.benchmark.energy import break_even
from trainer_ext.report.energy_text import overlap
from trainer_ext.report.schema import CompressionReport, Latency

MOST_TEXTS = 10**12
MOST_GRAMS = 5000  # per kWh; the dirtiest grids are near 1000
MS_PER_HOUR = 3_600_000
WORDS = {
    "en": {
        "texts": "Texts per day is {value}; give a number from 1 to {most:,}.",
        "grid": "Grid intensity is {value}; give grams of CO2e per kWh from 0 to {most:,}.",
    },
    "mr": {
        "texts": "दिवसाला मजकूर {value} आहे; 1 ते {most:,} मधील संख्या द्या.",
        "grid": "विजेची कार्बन तीव्रता {value} आहे; प्रति kWh 0 ते {most:,} ग्रॅम CO2e द्या.",
    },
}


@dataclass(frozen=True)
class Cost:
    """Of a day with one model; None where it was not measured.

    Attributes:
        hours: of one processor core, every thread counted; of the accelerator where the report's latency is of one.
        kwh: energy.
        grams: CO2 equivalent.
    """

    hours: float | None
    kwh: float | None
    grams: float | None


def check_day(texts: float | None, grid: float | None) -> None:
    """See that these can be computed with.

    Args:
        texts: per day.
        grid: grams of CO2 equivalent per kilowatt-hour; None or 0 where it is not known.

    Raises:
        Refused: one is out of its range, or there is no number of texts.
    """
    if texts is None or not 1 <= texts <= MOST_TEXTS:
        raise Refused(WORDS, "texts", value=texts, most=MOST_TEXTS)
    if grid is not None and not 0 <= grid <= MOST_GRAMS:
        raise Refused(WORDS, "grid", value=grid, most=MOST_GRAMS)


def measured_row(report: CompressionReport | None) -> Latency | None:
    """The latency that processor time is computed from: the report's first, which its energy was measured at too."""
    return report.latency[0] if report is not None and report.latency else None


def costs(report: CompressionReport | None, texts: float, grid: float | None) -> dict[str, Cost]:
    """A day with either model; arguments as in :func:`check_day`."""
    row = measured_row(report)
    energy = report.inference.energy_kwh_per_1000 if report is not None and report.inference is not None else None

    def cost(name: str) -> Cost:
        call_ms = getattr(row, f"{name}_ms", None)
        per_1000 = getattr(energy, name, None)
        hours = None if call_ms is None else texts / row.batch_size * call_ms * (row.threads or 1) / MS_PER_HOUR
        kwh = None if per_1000 is None else texts / 1000 * per_1000
        return Cost(hours, kwh, None if kwh is None or not grid else kwh * grid)

    return {name: cost(name) for name in ("baseline", "compressed")}


def paid_back(report: CompressionReport | None) -> tuple[str, float]:
    """After how many texts the energy of the compression is saved again.

    Returns:
        "after" and their number, or why there is none, with NaN: "unmeasured", "noise" where what the models draw
        cannot be told apart, "never" where nothing is saved.
    """
    inference = report.inference if report is not None else None
    cost = report.training.compressed if report is not None and report.training is not None else None
    energy = inference.energy_kwh_per_1000 if inference is not None else None
    if cost is None or cost.energy_kwh is None or energy is None or None in (energy.baseline, energy.compressed):
        return "unmeasured", math.nan
    ranges = inference.range_kwh_per_1000
    if ranges is not None and ranges.baseline and ranges.compressed and overlap(ranges.baseline, ranges.compressed):
        return "noise", math.nan
    texts = break_even(cost.energy_kwh, energy.baseline, energy.compressed)
    return ("never", math.nan) if texts is None else ("after", texts)
