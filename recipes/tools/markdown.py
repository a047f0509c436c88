"""Write Markdown tables, numbers with their intervals, and the generated parts of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainer_ext.report.formatting import is_fraction

NOT_RUN, UNKNOWN = "not run", "–"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; without rows only its head."""
    return "\n".join(map(_line, [headings, ["---"] * len(headings), *rows]))


def number(metric: str, value: float, sign: str = "") -> str:
    """Format a value of a metric: a fraction in per cent, any other number with three decimals."""
    return f"{100 * value:{sign}.1f}" if is_fraction(metric) else f"{value:{sign}.3f}"


def with_interval(metric: str, value: float | None, low: float | None, high: float | None) -> str:
    """Format a value and its 95 % interval, if that is known."""
    if value is None:
        return UNKNOWN
    text = number(metric, value)
    return text if low is None or high is None else f"{text} [{number(metric, low)}, {number(metric, high)}]"


def difference(metric: str, value: float | None, low: float | None, high: float | None) -> str:
    """Format a difference and its paired 95 % interval; it is called noise if the interval contains zero."""
    if value is None:
        return UNKNOWN
    text = number(metric, value, "+")
    if low is None or high is None:
        return text
    noise = ", noise" if low <= 0 <= high else ""
    return f"{text} [{number(metric, low, '+')}, {number(metric, high, '+')}]{noise}"


def times(value: float | None) -> str:
    """Format a speed-up."""
    return UNKNOWN if value is None else f"{value:.2f}x"


def per_cent(value: float | None, digits: int = 0) -> str:
    """Format a fraction in per cent."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def some(value: float | None, digits: int = 3) -> str:
    """Format a quantity with some significant digits, with an exponent only below 0.0001: 0.00259, 12.3, 1,840."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}" if abs(value) >= 1e-4 else f"{value:.{digits - 1}e}"


def replace_part(page: str, name: str, content: str) -> str:
    """Replace what is between the markers `<!-- NAME: start -->` and `<!-- NAME: end -->` of a page.

    Args:
        page: The whole page.
        name: The name in the markers.
        content: The new Markdown.

    Raises:
        ValueError: The markers are missing.
    """
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    before, found_start, rest = page.partition(start)
    _, found_end, after = rest.partition(end)
    if not found_start or not found_end:
        raise ValueError(f"The page must contain {start!r} and {end!r}; the table goes between them.")
    return f"{before}{start}\n{content.rstrip()}\n{end}{after}"


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
