"""Format the numbers of a report for tables and model cards: names of metrics, percentages, intervals, energy."""

from __future__ import annotations

import math

from .schema import Inference, Interval, Pair, Quality, Scores

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "subset_accuracy": "all labels right",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "rmse": "RMSE",
    "mae": "MAE",
    "entity_f1": "entity F1",
    "token_accuracy": "token accuracy",
    "f1": "F1",
    "exact_match": "exact match",
    "agreement": "same answer",
}
NUMBERS = frozenset({"pearson", "spearman", "rmse", "mae"})


def is_fraction(name: str) -> bool:
    """Return whether a metric is shown in per cent; an unknown metric is shown as a plain number."""
    return name in TITLES and name not in NUMBERS


def metric_title(name: str) -> str:
    """Return the name of a metric as tables show it, with its unit."""
    return TITLES.get(name, name) + (" %" if is_fraction(name) else "")


def number(name: str, value: float, sign: str = "") -> str:
    """Return the value of a metric: a fraction in per cent, any other number with three significant digits.

    Args:
        name: of the metric.
        value: of the metric, or a difference of two.
        sign: how the sign is formatted, such as `+z`.
    """
    return f"{100 * value:{sign}.1f}" if is_fraction(name) else f"{value:{sign}.3g}"


def interval(name: str, bounds: Interval, sign: str = "") -> str:
    """Return an interval of a metric as `[low, high]`; the arguments are those of `number`."""
    return f"[{number(name, bounds[0], sign)}, {number(name, bounds[1], sign)}]"


def score(scores: Scores, name: str) -> str | None:
    """Return a metric with its 95 % interval if there is one; None if it was not measured."""
    value, bounds = scores.by_name.get(name), scores.ci95.get(name)
    if value is None:
        return None
    return number(name, value) + (f" {interval(name, bounds)}" if bounds else "")


def agreement(quality: Quality) -> str | None:
    """Return the share of equal predictions in per cent, with its interval if there is one; None if not measured."""
    if quality.agreement is None:
        return None
    bounds = quality.agreement_ci95
    return number("agreement", quality.agreement) + (f" {interval('agreement', bounds)}" if bounds else "")


def percent(fraction: float | None) -> str | None:
    """Return a fraction in per cent; None if it was not measured."""
    return None if fraction is None else f"{100 * fraction:.1f} %"


def short(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:.3g}"


def in_words(count: float) -> str:
    """Return a count, with two significant digits and a word from a thousand on: 850, 12 thousand, 1.2 million."""
    rounded = float(f"{count:.2g}")
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if rounded >= size:
            return f"{rounded / size:,g} {word}"
    return f"{math.ceil(count)}"


def overlap(first: Interval, second: Interval) -> bool:
    """Return whether two closed intervals have a value in common."""
    return max(first[0], second[0]) <= min(first[1], second[1])


def sides_overlap(ranges: Pair[Interval] | None) -> bool:
    """Return whether both models were measured and their ranges have a value in common."""
    return bool(ranges and ranges.baseline and ranges.compressed and overlap(ranges.baseline, ranges.compressed))


def about_energy(found: Inference, extra_kwh: float | None) -> list[str]:
    """Return the lines below an energy table: the hardware, the grid, and when the compression has paid for itself.

    Args:
        found: energy of predictions.
        extra_kwh: energy of the compression; None if it was not measured.
    """
    lines = []
    if found.hardware:
        lines.append(f"{found.hardware}; {found.batch_size} x {found.sequence_length} tokens per call")
    if found.country and found.grid_g_per_kwh is not None:
        lines.append(f"grid of {found.country}: {short(found.grid_g_per_kwh)} g CO2e per kWh")
    else:
        lines.append("no grams of CO2: the country was not given (ISO 3166 alpha-3, such as IND)")
    if extra_kwh is None:
        return [*lines, "paid back after: unknown, the energy of the training was not measured"]
    if sides_overlap(found.range_kwh_per_1000):
        return [*lines, "paid back after: unknown, what predictions save is within noise"]
    if found.break_even_inferences is None:
        return [*lines, "never paid back: a prediction draws no less than before"]
    return [*lines, f"the compression is paid back after {in_words(found.break_even_inferences)} texts"]
