"""Markdown: tables of the results page, and how a number and its interval are written in all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainer_ext.report.metric_names import is_fraction

NOT_RUN, UNKNOWN = "not run", "–"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; with no rows only its head."""
    return "\n".join(map(_line, [headings, ["---"] * len(headings), *rows]))


def number(metric: str, value: float, sign: str = "") -> str:
    """A fraction in per cent, any other number as it is."""
    return f"{100 * value:{sign}.1f}" if is_fraction(metric) else f"{value:{sign}.3f}"


def with_interval(metric: str, value: float | None, low: float | None, high: float | None) -> str:
    """A value and its 95 % interval; the value alone where that is not known."""
    if value is None:
        return UNKNOWN
    text = number(metric, value)
    return text if low is None or high is None else f"{text} [{number(metric, low)}, {number(metric, high)}]"


def difference(metric: str, value: float | None, low: float | None, high: float | None) -> str:
    """A difference with its sign and its paired 95 % interval, called noise where that contains zero."""
    if value is None:
        return UNKNOWN
    text = number(metric, value, "+")
    if low is None or high is None:
        return text
    noise = ", noise" if low <= 0 <= high else ""
    return f"{text} [{number(metric, low, '+')}, {number(metric, high, '+')}]{noise}"


def times(value: float | None) -> str:
    """A speed-up."""
    return UNKNOWN if value is None else f"{value:.2f}x"


def per_cent(value: float | None, digits: int = 0) -> str:
    """A share."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def some(value: float | None, digits: int = 3) -> str:
    """A quantity to so many significant digits, never with an exponent for what people read: 0.00259, 12.3, 1,840."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}" if abs(value) >= 1e-4 else f"{value:.{digits - 1}e}"


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
