"""Energy words: what the figures of an energy table rest on, and when a compression has paid for itself."""

from __future__ import annotations

import math

from .schema import Inference


def about_energy(found: Inference, extra_kwh: float | None) -> list[str]:
    """Lines to go with the figures.

    Args:
        found: what predictions draw.
        extra_kwh: what the compression drew in training; None if it was not measured.
    """
    lines = []
    if found.hardware:
        lines.append(f"{found.hardware}; {found.batch_size} x {found.sequence_length} tokens per call")
    if found.country:
        lines.append(f"grid of {found.country}: {short(found.grid_g_per_kwh)} g CO2e per kWh")
    else:
        lines.append("no grams of CO2: the country was not given (ISO 3166 alpha-3, such as IND)")
    return [*lines, _paid_back(found, extra_kwh)]


def _paid_back(found: Inference, extra_kwh: float | None) -> str:
    ranges = found.range_kwh_per_1000
    if extra_kwh is None:
        return "paid back after: unknown, the energy of the training was not measured"
    if ranges and overlap(ranges.baseline, ranges.compressed):
        return "paid back after: unknown, what predictions save is within noise"
    if found.break_even_inferences is None:
        return "never paid back: a prediction draws no less than before"
    return f"the compression is paid back after {in_words(found.break_even_inferences)} texts"


def overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two ranges, [lowest, highest], have a value in common."""
    return max(first[0], second[0]) <= min(first[1], second[1])


def in_words(count: float) -> str:
    """A count with two significant digits from a thousand on: 850, 12 thousand, 1.2 million."""
    rounded = float(f"{count:.2g}")
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if rounded >= size:
            return f"{rounded / size:,g} {word}"
    return f"{math.ceil(count)}"


def short(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:.3g}"
