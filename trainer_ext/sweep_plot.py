"""Sweep plot: quality with its interval against speed-up, size and energy, the frontier as a line, as PNG and SVG."""

from __future__ import annotations

import io
import textwrap
import warnings
from typing import Any

from .errors import InputError
from .extras import need
from .sweep_axes import INK, MARK, RING, SOFT, Look, draw_panel, look, short, shown
from .sweep_columns import judged_on, metric_title
from .sweep_panels import GREY, Panel, panels
from .sweep_rows import SweepResult

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
    need("matplotlib", extra="sweep")
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
