"""Sweep axes: one panel of a sweep's plot drawn: points with intervals and numbers, the frontier, names beside points.

Sweep panels: what a plot of a sweep shows: its axes, its names by number, a colour and a mark for each row.

Sweep plot: quality with its interval against speed-up, size and energy, the frontier as a line, as PNG and SVG.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..report.metric_names import is_fraction
from ..report.tables import number
from ..utils.imports import require
from .plot_labels import Box, places
from .results import BASELINE, SweepResult, SweepRow, axes_of, frontiers, shapes_of
from .tables import judged_on, metric_title, runtime_title

# Okabe and Ito's: one hue per runtime, its second one where it runs in two precisions; what is compared with in grey.
COLOURS = {
    "torch": ("#0072B2", "#56B4E9"),
    "onnxruntime": ("#E69F00", "#D55E00"),
    "openvino": ("#009E73", "#CC79A7"),
}
GREY = "#8A8A8A"
DARK = frozenset({"#0072B2"})  # white words are read on these, black ones on the others
MARKS = ("o", "s", "D", "^", "v", "P", "X")
LOG_FROM = 4.0  # largest over smallest value from which an axis is logarithmic
STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))
RUINED, INTERVALS = (
    0.05,
    1.5,
)  # a gap in the values, as a share or in widths of an interval, below which models are ruined


@dataclass(frozen=True)
class Panel:
    """Quality against one thing.

    Attributes:
        name: as `frontiers` has it.
        label: of the axis.
        across: its value for a row; None where it was not measured.
        rows: those that have both.
        best: the frontier among them.
        is_cost: whether less is better; such an axis runs backwards, so that better is always up and to the right.
    """

    name: str
    label: str
    across: Callable[[SweepRow], float | None]
    rows: list[SweepRow]
    best: list[SweepRow]
    is_cost: bool

    @property
    def is_log(self) -> bool:
        """Whether the axis is logarithmic."""
        values = [self.across(row) for row in self.rows]
        return min(values) > 0 and max(values) >= LOG_FROM * min(values)


def panels(rows: Sequence[SweepRow]) -> list[Panel]:
    """Speed-up at the last shape, size and energy, each where it was measured."""
    shape = next(reversed(shapes_of(rows)), None)
    kinds = {
        "speed-up": (
            f"speed-up over the baseline in torch, {shape} (texts x tokens)",
            lambda row: row.speedup.get(shape),
            False,
        ),
        "MB": ("weights on disk, MB (less to the right)", lambda row: row.bytes and row.bytes / 1e6, True),
        "energy": ("energy of 1,000 predictions, Wh (less to the right)", _watt_hours, True),
    }
    found = []
    for name, best in frontiers(rows).items():
        label, across, is_cost = kinds[name]
        kept = [row for row in rows if row.value is not None and across(row) is not None]
        found.append(Panel(name, label, across, kept, best, is_cost))
    return found


def numbers(rows: Sequence[SweepRow]) -> dict[str, str]:
    """By name of the model what is written into its marks: B for the baseline, then 1, 2, ..."""
    names = [name for name in dict.fromkeys(row.name for row in rows) if name != BASELINE]
    return {BASELINE: "B"} | {name: str(place) for place, name in enumerate(names, start=1)}


def colours(rows: Sequence[SweepRow]) -> dict[str, str]:
    """By runtime and precision."""
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    for runtime, precision in dict.fromkeys((row.runtime, row.precision) for row in rows):
        hues, place = COLOURS.get(runtime, ()), seen.get(runtime, 0)
        found[f"{runtime} {precision}"] = hues[place] if place < len(hues) else GREY
        seen[runtime] = place + 1
    return found


def marked_axis(rows: Sequence[SweepRow]) -> str | None:
    """The setting that the marks tell apart: the teacher, else the last one with few enough values; None for none."""
    values = {axis: set(_settings(rows, axis)) for axis in axes_of(rows)}
    fit = [axis for axis, found in values.items() if 2 <= len(found) <= len(MARKS)]
    return "teacher" if "teacher" in fit else (fit[-1] if fit else None)


def marks(rows: Sequence[SweepRow]) -> dict[str, str]:
    """By value of the marked setting; the first mark is also that of rows without one."""
    axis = marked_axis(rows)
    return dict(zip(_settings(rows, axis), MARKS, strict=False)) if axis else {}


def heights(rows: Sequence[SweepRow]) -> tuple[float, float]:
    """The lower and upper end of the axis of quality.

    A ruined model would press all others together: of a share, what lies below a wide gap is left out, and is drawn at
    the lower edge.
    """
    known = sorted((row for row in rows if row.value is not None), key=lambda row: -row.value)
    ends = [(_or(row.low, row.value), _or(row.high, row.value)) for row in known]
    kept = len(known)
    if is_fraction(known[0].metric or "accuracy"):
        gaps = (before.value - after.value for before, after in zip(known, known[1:], strict=False))
        most = max(RUINED, INTERVALS * max(high - low for low, high in ends))
        kept = next((place for place, gap in enumerate(gaps, start=1) if gap > most), kept)
    low, high = min(low for low, _ in ends[:kept]), max(high for _, high in ends)
    span = (high - low) or abs(high) or 1.0
    return low - 0.06 * span, high + 0.2 * span


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, for a logarithmic axis."""
    for steps in reversed(STEPS):
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(found) <= 9:
            break
    return found


def _settings(rows: Sequence[SweepRow], axis: str) -> list[str]:
    return list(dict.fromkeys(row.settings[axis] for row in rows if axis in row.settings))


def _watt_hours(row: SweepRow) -> float | None:
    return None if row.kwh_per_1000 is None else 1000 * row.kwh_per_1000


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


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


FORMATS = ("png", "svg")
WIDTH, LEFT, RIGHT = 9.0, 0.7, 0.2  # inches
FIRST_PANEL, PANEL, BETWEEN = 3.7, 3.3, 0.62
LINE, FOOT = 0.17, 0.1
LEGEND_COLUMNS, KEY_COLUMNS, FOOTER_CHARACTERS = 4, 3, 150
ALL_NAMED = 8  # points up to which each has its name beside it; of more all are numbered
DEVANAGARI = ("Noto Sans Devanagari", "Lohit Devanagari", "Mangal", "Nirmala UI", "Kohinoor Devanagari")


def draw(result: SweepResult) -> dict[str, bytes]:
    """The picture by ending, the same for the same numbers; without pyplot, so that no display is looked for.

    Raises:
        InputError: matplotlib is not installed, or no row has both a quality and something to set it against.
    """
    found = panels(result.rows)
    if not found:
        raise InputError("No row has a quality and a speed-up, a size or an energy, so there is nothing to plot.")
    require("matplotlib", extra="sweep")
    from matplotlib import font_manager, rc_context

    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings = {
        "font.size": 8.5,
        "font.family": ["DejaVu Sans", *(name for name in DEVANAGARI if name in installed)],
        "svg.fonttype": "none",
        "svg.hashsalt": "trainer_ext",
        "text.parse_math": False,  # a $ in a name is a $
        "text.color": INK,
        "axes.labelcolor": INK,
    }
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")  # a box stands in its place
        figure = _figure(result, found)
        return {ending: _saved(figure, ending, result) for ending in FORMATS}


def describe(result: SweepResult) -> str:
    """What the picture shows, in words: the frontier of each panel."""
    parts = []
    for panel in panels(result.rows):
        names = ", ".join(f"{row.title} ({shown(row)} at {panel.across(row):.3g})" for row in panel.best)
        parts.append(f"{metric_title(result)} against {panel.label}; on the frontier: {names}.")
    return " ".join(parts)


def _saved(figure: Any, ending: str, result: SweepResult) -> bytes:
    words = {"Title": f"Sweep: {result.recipe}", "Description": describe(result)}
    nothing = {"Date": None, "Creator": None} if ending == "svg" else {"Software": None}
    file = io.BytesIO()
    figure.savefig(file, format=ending, dpi=160, facecolor="white", metadata={**words, **nothing})
    found = file.getvalue()
    return found[found.index(b"<svg") :] if ending == "svg" else found  # what stands before it names a file elsewhere


def _figure(result: SweepResult, found: list[Panel]) -> Any:
    """Title and legend, the first panel, the others beside each other below it, the key of the numbers, the footer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    numbered = any(len(panel.rows) > ALL_NAMED for panel in found)
    style = look(result, numbered=numbered)
    names = {name: words for name, words in style.numbers.items() if any(row.name == name for row in result.rows)}
    key = [f"{words}  {short(name)}" for name, words in names.items()] if numbered else []
    footer = _footer(result)
    handles = _handles(result, style)
    head = 0.55 + 1.15 * LINE * -(-len(handles) // LEGEND_COLUMNS)
    foot = FOOT + LINE * len(footer) + (FOOT + LINE * -(-len(key) // KEY_COLUMNS) if key else 0)
    rows = [FIRST_PANEL, *([PANEL] if found[1:] else [])]
    height = head + sum(rows) + BETWEEN * len(rows) + foot
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)  # knows how wide words are

    def write(x: float, y: float, words: str, **more: Any) -> None:
        figure.text(x / WIDTH, y / height, words, va="top", **more)

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
    for place, panel in enumerate(found):
        if place == 0:
            box = (LEFT, bottom, inner, FIRST_PANEL)
        else:
            box = (LEFT + (place - 1) * (width + LEFT), bottom - BETWEEN - PANEL, width, PANEL)
        ax = figure.add_axes((box[0] / WIDTH, box[1] / height, box[2] / WIDTH, box[3] / height))
        draw_panel(ax, panel, style)
    each = -(-len(key) // KEY_COLUMNS)
    for place, words in enumerate(key):
        column, line = divmod(place, each)
        write(0.1 + column * WIDTH / KEY_COLUMNS, foot - LINE * line, words, fontsize=7)
    for line, words in enumerate(footer):
        write(0.1, LINE * (len(footer) - line) + 0.04, words, fontsize=6.5, color=SOFT)
    return figure


def _title(result: SweepResult, found: list[Panel]) -> str:
    words = {"speed-up": "speed-up", "MB": "size", "energy": "energy"}
    *most, last = [words[panel.name] for panel in found]
    against = f"{', '.join(most)} and {last}" if most else last
    title = f"{metric_title(result)} against {against}: {short(result.recipe)}"
    return title[:1].upper() + title[1:] + (f", scale {short(result.scale)}" if result.scale else "")


def _footer(result: SweepResult) -> list[str]:
    where = judged_on(result)
    lines = [f"{where}; lines: 95 % intervals" if where else "lines: 95 % intervals", result.machine]
    return [part for line in lines for part in textwrap.wrap(line, FOOTER_CHARACTERS)]


def _handles(result: SweepResult, style: Look) -> list[Any]:
    """What the colours, the marks and the lines mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    size = MARK**0.5 * 0.8
    plain = {"linestyle": "none", "markeredgecolor": "white", "markersize": size}
    found = [Line2D([], [], color=INK, linewidth=0.9, label="frontier (dark rim): no other is better in both")]
    if any(row.is_baseline for row in result.rows):
        found.append(Patch(facecolor=GREY, alpha=0.3, label="baseline, 95 % interval"))
    if style.best:
        ring = {"markerfacecolor": "none", "markeredgecolor": INK, "markersize": 0.7 * RING**0.5}
        found.append(Line2D([], [], linestyle="none", marker="o", label="chosen", **ring))
    found += [Line2D([], [], marker="o", color=hue, label=name, **plain) for name, hue in style.colours.items()]
    found += [
        Line2D([], [], marker=mark, color=SOFT, label=short(f"{style.axis}: {name}"), **plain)
        for name, mark in style.marks.items()
    ]
    return found
