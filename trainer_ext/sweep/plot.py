"""Plot a sweep: quality with its interval against speed-up, size and energy, with the Pareto frontier, as PNG and SVG.

The same numbers always give the same picture. Colours tell runtimes apart (Okabe and Ito's palette), markers tell the
values of one setting apart, and better is always up and to the right.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from ..errors import InputError
from ..report.formatting import is_fraction, number
from ..utils.imports import require
from .plot_labels import Box, place_labels
from .results import SweepResult, SweepRow, axes_of, frontiers, last_shape
from .tables import in_percent, judged_on, metric_title, runtime_title

FORMATS = ("png", "svg")
# Per runtime one colour for each of two precisions; the baseline is grey.
COLOURS = {"torch": ("#0072B2", "#56B4E9"), "onnxruntime": ("#E69F00", "#D55E00"), "openvino": ("#009E73", "#CC79A7")}
GREY, INK, FAINT, SOFT = "#8A8A8A", "#222222", "#D9D9D9", "#666666"
DARK_COLOURS = frozenset({"#0072B2"})  # numbers on these are white, on all others black
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
# Factor of the area of a marker, and shift of its number in points, where the shape needs it.
MARKER_FIT = {"^": (1.35, -1.2), "v": (1.35, 1.2), "D": (0.8, 0.0), "P": (1.2, 0.0), "X": (1.2, 0.0)}
MARKER_AREA, RING_AREA = 80.0, 230.0  # in square points
LOG_FROM = 4.0  # ratio of the largest to the smallest value from which an axis is logarithmic
TICK_STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
# A gap from which on the models below it are drawn off the scale: as a fraction, and in widths of the largest interval.
GAP, GAP_IN_INTERVALS = 0.05, 1.5
NAMED_POINTS = 8  # up to here every point has its name beside it; if there are more, they are numbered
NAME_LENGTH, NAMES_PER_INCH = 44, 1.7
WIDTH, LEFT, RIGHT = 9.0, 0.7, 0.2  # lengths in inches
FIRST_PANEL, PANEL, BETWEEN = 3.7, 3.3, 0.62
LINE, FOOT = 0.17, 0.1
LEGEND_COLUMNS, KEY_COLUMNS, FOOTER_CHARACTERS = 4, 3, 150
DEVANAGARI = ("Noto Sans Devanagari", "Lohit Devanagari", "Mangal", "Nirmala UI", "Kohinoor Devanagari")


class Point(NamedTuple):
    """A row with its place in a panel; `value` is that of the main metric."""

    row: SweepRow
    x: float
    value: float


@dataclass(frozen=True)
class Panel:
    """Quality against one measurement."""

    name: str  # as `frontiers` has it
    label: str  # of the x axis
    points: list[Point]  # the rows for which both were measured
    best: list[Point]  # the frontier among them
    is_cost: bool  # whether less is better; the x axis then runs backwards


def panels(rows: Sequence[SweepRow]) -> list[Panel]:
    """Return the panels of speed-up (at the last shape), size and energy, each if it was measured."""
    shape = last_shape(rows)
    whose = "the" if sum(row.is_baseline for row in rows) <= 1 else "its"
    kinds: dict[str, tuple[str, Callable[[SweepRow], float | None]]] = {
        "speed-up": (
            f"speed-up over {whose} baseline in torch, {shape} (texts x tokens)",
            lambda row: row.speedup.get(shape),
        ),
        "MB": ("weights on disk, MB (less to the right)", lambda row: None if row.bytes is None else row.bytes / 1e6),
        "energy": (
            "energy of 1,000 predictions, Wh (less to the right)",
            lambda row: None if row.kwh_per_1000 is None else 1000 * row.kwh_per_1000,
        ),
    }
    found = []
    for name, best in frontiers(rows).items():
        label, measure = kinds[name]
        points = [
            Point(row, x, row.value) for row in rows if row.value is not None and (x := measure(row)) is not None
        ]
        on_frontier = [point for row in best for point in points if point.row is row]
        found.append(Panel(name, label, points, on_frontier, is_cost=name != "speed-up"))
    return found


@dataclass(frozen=True)
class Style:
    """How the rows of a sweep are drawn, the same in all panels."""

    title: str  # of the metric
    factor: float  # of its values: 100 for fractions, shown in per cent
    best: str | None  # title of the chosen row
    numbered: bool  # whether markers contain numbers; only the frontier is named then
    colours: dict[str, str]  # by runtime and precision
    axis: str | None  # the setting that markers stand for
    markers: dict[str, str]  # by value of that setting
    numbers: dict[str, str]  # by name of the model

    def colour(self, row: SweepRow) -> str:
        """Return the colour of a row."""
        return GREY if row.is_baseline else self.colours[runtime_title(row)]

    def marker(self, row: SweepRow) -> str:
        """Return the marker of a row."""
        return self.markers.get(row.settings.get(self.axis or "", ""), "o")


def style_of(result: SweepResult, *, numbered: bool) -> Style:
    """Return the style of a sweep."""
    rows, axis = result.rows, marker_axis(result.rows)
    return Style(
        title=metric_title(result),
        factor=100.0 if in_percent(result) else 1.0,
        best=result.best_title,
        numbered=numbered,
        colours=colours(rows),
        axis=axis,
        markers=dict(zip(_labels(rows, axis), MARKERS, strict=False)) if axis else {},
        numbers=model_numbers(rows),
    )


def colours(rows: Sequence[SweepRow]) -> dict[str, str]:
    """Return the colours by runtime and precision."""
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    for runtime, precision in dict.fromkeys((row.runtime, row.precision) for row in rows):
        hues, index = COLOURS.get(runtime, ()), seen.get(runtime, 0)
        found[f"{runtime} {precision}"] = hues[index] if index < len(hues) else GREY
        seen[runtime] = index + 1
    return found


def marker_axis(rows: Sequence[SweepRow]) -> str | None:
    """Return the setting that markers stand for: the teacher, or else the last one with few enough values."""
    fit = [axis for axis in axes_of(rows) if 2 <= len(_labels(rows, axis)) <= len(MARKERS)]
    return "teacher" if "teacher" in fit else (fit[-1] if fit else None)


def model_numbers(rows: Sequence[SweepRow]) -> dict[str, str]:
    """Return what is written into the markers of each model: B for the baseline (B1, B2, ... for several), then 1, 2, ..."""
    baselines = list(dict.fromkeys(row.name for row in rows if row.is_of_baseline))
    names = dict.fromkeys(row.name for row in rows if not row.is_of_baseline)
    letters = {name: f"B{index}" if len(baselines) > 1 else "B" for index, name in enumerate(baselines, start=1)}
    return letters | {name: str(index) for index, name in enumerate(names, start=1)}


def _labels(rows: Sequence[SweepRow], axis: str) -> list[str]:
    return list(dict.fromkeys(row.settings[axis] for row in rows if axis in row.settings))


def y_limits(rows: Sequence[SweepRow]) -> tuple[float, float]:
    """Return the lower and upper end of the quality axis.

    A model that has failed would press all others together. So if the metric is a fraction, models below a wide gap are
    left out; they are drawn at the lower edge.
    """
    known = sorted(((row.value, row) for row in rows if row.value is not None), key=lambda one: -one[0])
    ends = [(value if row.low is None else row.low, value if row.high is None else row.high) for value, row in known]
    kept = len(known)
    if is_fraction(known[0][1].metric_name):
        widest = max(GAP, GAP_IN_INTERVALS * max(high - low for low, high in ends))
        gaps = (before - after for (before, _), (after, _) in pairwise(known))
        kept = next((index for index, gap in enumerate(gaps, start=1) if gap > widest), kept)
    low, high = min(low for low, _ in ends[:kept]), max(high for _, high in ends)
    span = (high - low) or abs(high) or 1.0
    return low - 0.06 * span, high + 0.2 * span


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two positive ones, for a logarithmic axis."""
    for steps in reversed(TICK_STEPS):
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(found) <= 9:
            break
    return found


def draw_panel(ax: Any, panel: Panel, style: Style) -> None:
    """Draw a panel into matplotlib axes."""
    low, high = (style.factor * end for end in y_limits([point.row for point in panel.points]))
    ax.set_ylim(low, high)
    _draw_x_axis(ax, panel)
    _draw_frontier(ax, panel, style.factor, low)
    lowest = low + 0.03 * (high - low)
    front = {point.row.title for point in panel.best}
    spots = [(row, x, max(style.factor * value, lowest)) for row, x, value in panel.points]
    for row, x, value in sorted(panel.points, key=lambda point: point.row.title in front):
        y = max(style.factor * value, lowest)
        _draw_point(ax, row, x, y, style, low, on_frontier=row.title in front)
        if y > style.factor * value:
            text, at = f"↓ {number(row.metric_name, value)}", {"xytext": (7, 0), "textcoords": "offset points"}
            ax.annotate(text, (x, y), fontsize=6, va="center", color=SOFT, **at)
    named = [spot for spot in spots if spot[0].title in front | {style.best} or not style.numbered]
    if len(named) > NAMES_PER_INCH * ax.get_window_extent().width / ax.figure.dpi:
        ends = {panel.best[0].row.title, panel.best[-1].row.title, style.best}
        named = [spot for spot in spots if spot[0].title in ends]
    _draw_names(ax, named, spots, style)
    ax.set_ylabel(f"{style.title}, %" if style.factor == 100 else style.title)
    ax.set_xlabel(panel.label)
    ax.grid(color=FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, colors=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)


def _draw_x_axis(ax: Any, panel: Panel) -> None:
    """Set the limits and ticks of the x axis, with room at its ends, more of it at the right for names."""
    values = [point.x for point in panel.points]
    worst, best = sorted((min(values), max(values)), reverse=panel.is_cost)
    if min(values) > 0 and max(values) >= LOG_FROM * min(values):
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


def _draw_frontier(ax: Any, panel: Panel, factor: float, low: float) -> None:
    """Draw the frontier as steps down from point to point, and the baseline with its interval behind it."""
    points = sorted(((x, factor * value) for _, x, value in panel.best), key=lambda point: -point[1])
    steps = [(ax.get_xlim()[0], points[0][1]), *points, (points[-1][0], low)]
    ax.plot(*zip(*steps, strict=True), drawstyle="steps-pre", color=INK, linewidth=0.9, alpha=0.75, zorder=2.5)
    for row, _, value in panel.points:
        if row.is_baseline:
            ax.axhline(factor * value, color=GREY, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
            if row.low is not None and row.high is not None:
                ax.axhspan(factor * row.low, factor * row.high, color=GREY, alpha=0.13, linewidth=0, zorder=0.5)


def _draw_point(ax: Any, row: SweepRow, x: float, y: float, style: Style, low: float, *, on_frontier: bool) -> None:
    """Draw the interval of a row, its marker, the ring around the chosen one, and its number."""
    colour, order = style.colour(row), 4 if on_frontier else 3
    if row.low is not None and row.high is not None and style.factor * row.high > low:
        ends = [style.factor * row.low, style.factor * row.high]
        ax.plot([x, x], ends, color=colour, linewidth=0.9, alpha=0.4, zorder=2)
    edge = {"edgecolors": INK, "linewidths": 1.2} if on_frontier else {"edgecolors": "white", "linewidths": 0.5}
    marker = style.marker(row)
    area, lift = MARKER_FIT.get(marker, (1.0, 0.0))
    ax.scatter(x, y, s=area * MARKER_AREA, c=colour, marker=marker, zorder=order, **edge)
    if row.title == style.best:
        ax.scatter(x, y, s=RING_AREA, marker="o", facecolors="none", edgecolors=INK, linewidths=1.0, zorder=order)
    if style.numbered:
        ink = "white" if colour in DARK_COLOURS else "black"
        at = {"xytext": (0, lift), "textcoords": "offset points", "ha": "center", "va": "center_baseline"}
        ax.annotate(style.numbers[row.name], (x, y), fontsize=5.5, color=ink, zorder=order + 0.5, **at)


def _draw_names(ax: Any, named: list, spots: list, style: Style) -> None:
    """Write names beside their points, each with a thin line to its point."""
    renderer, points_per_pixel = ax.figure.canvas.get_renderer(), 72 / ax.figure.dpi
    texts, sizes = [], []
    line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    background = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
    at = {"xytext": (0, 0), "textcoords": "offset points", "arrowprops": line}
    for row, x, y in named:
        font = {"fontsize": 7, "fontweight": "bold" if row.title == style.best else "normal"}
        look = {**font, "zorder": 2.8, "annotation_clip": False, "bbox": background}
        text = ax.annotate(shorten(row.name), (x, y), **at, **look)
        box = text.get_window_extent(renderer)
        texts.append(text)
        sizes.append((box.width + 2, box.height))
    half, ring = 0.5 * MARKER_AREA**0.5 / points_per_pixel, 0.5 * RING_AREA**0.5 / points_per_pixel
    points = [tuple(ax.transData.transform(spot[1:])) for spot in named]
    marked = [(ring if row.title == style.best else half, *ax.transData.transform((x, y))) for row, x, y in spots]
    obstacles = [Box(x - size, y - size, x + size, y + size) for size, x, y in marked]
    frame = ax.get_window_extent(renderer)
    found = place_labels(points, sizes, obstacles, Box(frame.x0, frame.y0, frame.x1, frame.y1), gap=half + 2)
    for text, (x, y), box in zip(texts, points, found, strict=True):
        text.xyann = ((box.left - x) * points_per_pixel, (box.bottom - y) * points_per_pixel)


def shorten(name: str) -> str:
    """Return a long name without its middle, since models differ at both ends of their names."""
    half = (NAME_LENGTH - 1) // 2
    return name if len(name) <= NAME_LENGTH else f"{name[:half]}…{name[-half:]}"


def draw(result: SweepResult) -> dict[str, bytes]:
    """Return the plot by file ending; pyplot is not used, so no display is needed.

    Raises:
        InputError: matplotlib is not installed, or no row has a quality and another measurement.
    """
    found = panels(result.rows)
    if not found:
        raise InputError("No row has a quality and a speed-up, a size or an energy, so there is nothing to plot.")
    require("matplotlib", extra="sweep")
    from matplotlib import font_manager, rc_context

    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings = rc_context(
        {
            "font.size": 8.5,
            "font.family": ["DejaVu Sans", *(name for name in DEVANAGARI if name in installed)],
            "svg.fonttype": "none",
            "svg.hashsalt": "trainer_ext",
            "text.parse_math": False,  # a $ in a name is a $
            "text.color": INK,
            "axes.labelcolor": INK,
        }
    )
    with settings, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")  # such a letter becomes a box
        figure = _figure(result, found)
        return {ending: _save(figure, ending, result) for ending in FORMATS}


def describe(result: SweepResult) -> str:
    """Return what the plot shows in words: the frontier of each panel."""
    parts = []
    for panel in panels(result.rows):
        names = ", ".join(f"{row.title} ({number(row.metric_name, value)} at {x:.3g})" for row, x, value in panel.best)
        parts.append(f"{metric_title(result)} against {panel.label}; on the frontier: {names}.")
    return " ".join(parts)


def _save(figure: Any, ending: str, result: SweepResult) -> bytes:
    about = {"Title": f"Sweep: {result.recipe}", "Description": describe(result)}
    omitted = {"Date": None, "Creator": None} if ending == "svg" else {"Software": None}
    file = io.BytesIO()
    figure.savefig(file, format=ending, dpi=160, facecolor="white", metadata={**about, **omitted})
    found = file.getvalue()
    return found[found.index(b"<svg") :] if ending == "svg" else found  # before it is the address of a DTD


def _figure(result: SweepResult, found: list[Panel]) -> Any:
    """Lay out title, legend, the first panel, the others below it, the key of the numbers, and the footer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    numbered = any(len(panel.points) > NAMED_POINTS for panel in found)
    style = style_of(result, numbered=numbered)
    present = {row.name for row in result.rows}
    key = [f"{text}  {shorten(name)}" for name, text in style.numbers.items() if name in present] if numbered else []
    footer = _footer(result)
    handles = _legend_handles(result, style)
    head = 0.55 + 1.15 * LINE * -(-len(handles) // LEGEND_COLUMNS)
    foot = FOOT + LINE * len(footer) + (FOOT + LINE * -(-len(key) // KEY_COLUMNS) if key else 0)
    rows = [FIRST_PANEL, *([PANEL] if found[1:] else [])]
    height = head + sum(rows) + BETWEEN * len(rows) + foot
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)  # measures text

    def write(x: float, y: float, text: str, **options: Any) -> None:
        figure.text(x / WIDTH, y / height, text, va="top", **options)

    write(0.1, height - 0.12, _title(result, found), fontsize=12, fontweight="bold")
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.38 / height),
        ncols=LEGEND_COLUMNS,
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.5,
        borderaxespad=0.2,
    )
    inner, bottom = WIDTH - LEFT - RIGHT, height - head - FIRST_PANEL
    width = (inner - LEFT * (len(found) - 2)) / max(len(found) - 1, 1)
    for index, panel in enumerate(found):
        if index == 0:
            box = (LEFT, bottom, inner, FIRST_PANEL)
        else:
            box = (LEFT + (index - 1) * (width + LEFT), bottom - BETWEEN - PANEL, width, PANEL)
        ax = figure.add_axes((box[0] / WIDTH, box[1] / height, box[2] / WIDTH, box[3] / height))
        draw_panel(ax, panel, style)
    for index, text in enumerate(key):
        column, line = divmod(index, -(-len(key) // KEY_COLUMNS))
        write(0.1 + column * WIDTH / KEY_COLUMNS, foot - LINE * line, text, fontsize=7)
    for line, text in enumerate(footer):
        write(0.1, LINE * (len(footer) - line) + 0.04, text, fontsize=6.5, color=SOFT)
    return figure


def _title(result: SweepResult, found: list[Panel]) -> str:
    *most, last = ["size" if panel.name == "MB" else panel.name for panel in found]
    against = f"{', '.join(most)} and {last}" if most else last
    title = f"{metric_title(result)} against {against}: {shorten(result.recipe)}"
    return title[:1].upper() + title[1:] + (f", scale {shorten(result.scale)}" if result.scale else "")


def _footer(result: SweepResult) -> list[str]:
    where = judged_on(result)
    lines = [f"{where}; lines: 95 % intervals" if where else "lines: 95 % intervals", result.machine]
    return [part for line in lines for part in textwrap.wrap(line, FOOTER_CHARACTERS)]


def _legend_handles(result: SweepResult, style: Style) -> list[Any]:
    """Return the meaning of the lines, colours and markers."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    plain: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "white", "markersize": 0.8 * MARKER_AREA**0.5}
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": INK, "markersize": 0.7 * RING_AREA**0.5}
    found: list[Line2D | Patch] = [
        Line2D([], [], color=INK, linewidth=0.9, label="frontier (dark rim): no other is better in both")
    ]
    if any(row.is_baseline for row in result.rows):
        found.append(Patch(facecolor=GREY, alpha=0.3, label="baseline, 95 % interval"))
    if style.best:
        found.append(Line2D([], [], linestyle="none", marker="o", label="chosen", **ring))
    found += [Line2D([], [], marker="o", color=hue, label=name, **plain) for name, hue in style.colours.items()]
    found += [
        Line2D([], [], marker=marker, color=SOFT, label=shorten(f"{style.axis}: {name}"), **plain)
        for name, marker in style.markers.items()
    ]
    return found
