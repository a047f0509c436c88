"""Sweep axes: one panel of a sweep's plot drawn: points with intervals and numbers, the frontier, names beside points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .label_places import Box, places
from .metric_names import is_fraction
from .sweep_columns import metric_title, runtime_title
from .sweep_panels import DARK, GREY, Panel, colours, heights, marked_axis, marks, numbers, ticks
from .sweep_rows import SweepResult, SweepRow
from .tables import number

INK, FAINT, SOFT = "#222222", "#D9D9D9", "#666666"
MARK, RING = 80.0, 230.0  # areas in square points
SHAPELY = {
    "^": (1.35, -1.2),
    "v": (1.35, 1.2),
    "D": (0.8, 0.0),
    "P": (1.2, 0.0),
    "X": (1.2, 0.0),
}  # area, shift of words
LONGEST_NAME, NAMES_PER_INCH = 44, 1.7


@dataclass(frozen=True)
class Look:
    """How the rows of a sweep are drawn, in all panels alike.

    Attributes:
        title: of the metric.
        factor: by which its values are multiplied: 100 for shares, shown in per cent.
        best: title of the chosen row.
        numbered: whether marks hold numbers, so that only the frontier is named.
    """

    title: str
    factor: float
    best: str | None
    numbered: bool
    colours: dict[str, str]
    marks: dict[str, str]
    axis: str | None
    numbers: dict[str, str]

    def colour(self, row: SweepRow) -> str:
        """By runtime; of the baseline grey."""
        return GREY if row.is_baseline else self.colours[runtime_title(row)]


def look(result: SweepResult, *, numbered: bool) -> Look:
    """That of a sweep."""
    rows = result.rows
    share = all(is_fraction(row.metric or "accuracy") for row in rows)
    best = (result.best or {}).get("title")
    of_rows = (colours(rows), marks(rows), marked_axis(rows), numbers(rows))
    return Look(metric_title(result), 100.0 if share else 1.0, best, numbered, *of_rows)


def draw_panel(ax: Any, panel: Panel, style: Look) -> None:
    """Fill axes with a panel."""
    low, high = (style.factor * end for end in heights(panel.rows))
    ax.set_ylim(low, high)
    _across(ax, panel)
    _frontier(ax, panel, style.factor, low)
    lowest = low + 0.03 * (high - low)
    front = {row.title for row in panel.best}
    spots = [(row, panel.across(row), max(style.factor * row.value, lowest)) for row in panel.rows]
    for row, x, y in sorted(spots, key=lambda spot: spot[0].title in front):
        _interval(ax, row, x, style, low)
        _mark(ax, row, x, y, style, on_frontier=row.title in front)
        if style.factor * row.value < lowest:
            words = f"↓ {shown(row)}"
            ax.annotate(words, (x, y), xytext=(7, 0), textcoords="offset points", fontsize=6, va="center", color=SOFT)
    named = [spot for spot in spots if spot[0].title in front | {style.best} or not style.numbered]
    if len(named) > NAMES_PER_INCH * ax.get_window_extent().width / ax.figure.dpi:
        ends = {panel.best[0].title, panel.best[-1].title, style.best}
        named = [spot for spot in spots if spot[0].title in ends]
    _names(ax, named, spots, style)
    ax.set_ylabel(f"{style.title}, %" if style.factor == 100 else style.title)
    ax.set_xlabel(panel.label)
    ax.grid(color=FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, colors=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)


def shown(row: SweepRow) -> str:
    """The value as tables show it."""
    return number(row.metric or "accuracy", row.value)


def short(name: str) -> str:
    """A long name without its middle: what tells models apart stands at both ends."""
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _across(ax: Any, panel: Panel) -> None:
    """The horizontal axis, with room at its ends, more of it at the right for names."""
    values = [panel.across(row) for row in panel.rows]
    worst, best = sorted((min(values), max(values)), reverse=panel.is_cost)
    if panel.is_log:
        low, high = sorted((worst / (best / worst) ** 0.05, best * (best / worst) ** 0.12))
        ax.set_xscale("log")
        ax.minorticks_off()
        found = ticks(low, high)
        ax.set_xticks(found, [f"{value:,g}" for value in found])
    else:
        room = (best - worst) or 0.8 * (abs(best) or 1.0) * (-1 if panel.is_cost else 1)
        low, high = sorted((worst - 0.05 * room, best + 0.12 * room))
        ax.locator_params(axis="x", nbins=7)
    ax.set_xlim((high, low) if panel.is_cost else (low, high))


def _frontier(ax: Any, panel: Panel, factor: float, low: float) -> None:
    """A step down from each point to the next: what can be had at each price; below it the baseline and its interval."""
    points = sorted(((panel.across(row), factor * row.value) for row in panel.best), key=lambda point: -point[1])
    steps = [(ax.get_xlim()[0], points[0][1]), *points, (points[-1][0], low)]
    ax.plot(*zip(*steps, strict=True), drawstyle="steps-pre", color=INK, linewidth=0.9, alpha=0.75, zorder=2.5)
    for row in panel.rows:
        if row.is_baseline:
            ax.axhline(factor * row.value, color=GREY, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
            if row.low is not None and row.high is not None:
                ax.axhspan(factor * row.low, factor * row.high, color=GREY, alpha=0.13, linewidth=0, zorder=0.5)


def _interval(ax: Any, row: SweepRow, x: float, style: Look, low: float) -> None:
    if row.low is not None and row.high is not None and style.factor * row.high > low:
        ends = [style.factor * row.low, style.factor * row.high]
        ax.plot([x, x], ends, color=style.colour(row), linewidth=0.9, alpha=0.4, zorder=2)


def _mark(ax: Any, row: SweepRow, x: float, y: float, style: Look, *, on_frontier: bool) -> None:
    colour, place = style.colour(row), 4 if on_frontier else 3
    edge = {"edgecolors": INK, "linewidths": 1.2} if on_frontier else {"edgecolors": "white", "linewidths": 0.5}
    mark = style.marks.get(row.settings.get(style.axis), "o")
    area, lift = SHAPELY.get(mark, (1.0, 0.0))
    ax.scatter(x, y, s=area * MARK, c=colour, marker=mark, zorder=place, **edge)
    if row.title == style.best:
        ax.scatter(x, y, s=RING, marker="o", facecolors="none", edgecolors=INK, linewidths=1.0, zorder=place)
    if style.numbered:
        ink = "white" if colour in DARK else "black"
        words = style.numbers[row.name]
        at = {"xytext": (0, lift), "textcoords": "offset points", "ha": "center", "va": "center_baseline"}
        ax.annotate(words, (x, y), fontsize=5.5, color=ink, zorder=place + 0.5, **at)


def _names(ax: Any, named: list, spots: list, style: Look) -> None:
    """Names beside their points, with a thin line to the point."""
    renderer, points_per_pixel = ax.figure.canvas.get_renderer(), 72 / ax.figure.dpi
    texts, sizes = [], []
    line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    for row, x, y in named:
        weight = "bold" if row.title == style.best else "normal"
        ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
        words = {"fontsize": 7, "fontweight": weight, "zorder": 2.8, "annotation_clip": False, "bbox": ground}
        text = ax.annotate(
            short(row.name), (x, y), xytext=(0, 0), textcoords="offset points", arrowprops=line, **words
        )
        box = text.get_window_extent(renderer)
        texts.append(text)
        sizes.append((box.width + 2, box.height))
    half, ring = 0.5 * MARK**0.5 / points_per_pixel, 0.5 * RING**0.5 / points_per_pixel
    at = [tuple(ax.transData.transform(spot[1:])) for spot in named]
    marked = [(ring if row.title == style.best else half, *ax.transData.transform((x, y))) for row, x, y in spots]
    obstacles = [Box(x - size, y - size, x + size, y + size) for size, x, y in marked]
    frame = ax.get_window_extent(renderer)
    found = places(at, sizes, obstacles, Box(frame.x0, frame.y0, frame.x1, frame.y1), gap=half + 2)
    for text, (x, y), box in zip(texts, at, found, strict=True):
        text.xyann = ((box.left - x) * points_per_pixel, (box.bottom - y) * points_per_pixel)
