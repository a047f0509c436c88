"""Draw the parameters of both models as two stacked bars, in an SVG file that refers to nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..report.formatting import in_words
from ..report.schema import CompressionReport, Pair
from ..utils.imports import require
from .card import parameter_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito, which is safe for colour-blind readers; each text has a contrast of 4.5 or more.
COLOURS = {"embeddings": ("#0072B2", "white"), "encoder": ("#E69F00", "black"), "head": ("#009E73", "black")}
INK, PAPER, FAINT = "#222222", "#FFFFFF", "#666666"
WIDTH_INCHES, HEIGHT_INCHES = 8.0, 2.0
LEAST_SHARE = 0.2  # of the width; a narrower part has no room for its label
METADATA = ("Creator", "Date", "Format", "Type")  # left out: dates, and addresses of vocabularies


def draw_parameters(report: CompressionReport) -> str:
    """Draw the parameters of the baseline and of the compressed model on one scale.

    Returns:
        SVG text; the same numbers give the same text.

    Raises:
        InputError: The parameters were not counted, or matplotlib is not installed.
    """
    rows = [row for row in parameter_counts(report.parameters or Pair()) if row.name in COLOURS]
    if not rows:
        raise InputError("The report has no numbers of parameters to draw; leave the picture out.")
    require("matplotlib", extra="plot")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"font.size": 10, "font.family": "sans-serif", "text.color": INK}
    with rc_context({**style, "svg.fonttype": "none", "svg.hashsalt": "trainer_ext"}):
        figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), facecolor=PAPER)
        ax = figure.add_axes((0.13, 0.05, 0.62, 0.75))
        bars = {"baseline": [row.before for row in rows], "compressed": [row.after for row in rows]}
        longest = max(max(map(sum, bars.values())), 1)
        for position, counts in enumerate(bars.values()):
            _bar(ax, position, dict(zip(COLOURS, counts, strict=True)), longest)
        ax.set_yticks(range(len(bars)), bars)
        ax.set_xlim(0, longest)
        ax.set_ylim(1.5, -0.5)
        ax.set_xticks([])
        ax.tick_params(length=0, labelcolor=INK)
        ax.spines[:].set_visible(False)
        figure.text(0.013, 0.88, "Parameters", fontsize=12, fontweight="bold")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", facecolor=PAPER, metadata=dict.fromkeys(METADATA))
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # the XML declaration before it refers to a DTD on the web


def _bar(ax: Axes, position: int, counts: dict[str, int], longest: int) -> None:
    """Draw one bar; the label of a part is in the part if there is room, else to the right of the bar."""
    left = 0
    narrow: list[str] = []
    for name, count in counts.items():
        colour, ink = COLOURS[name]
        ax.barh(position, count, left=left, height=0.74, color=colour)
        if count >= LEAST_SHARE * longest:
            label = f"{name}\n{_short(count)}"
            ax.text(left + count / 2, position, label, color=ink, ha="center", va="center", linespacing=1.3)
        elif count:
            narrow.append(f"{name} {_short(count)}")
        left += count
    end = (left + 0.015 * longest, position)
    options: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    ax.annotate(_short(left), end, xytext=(0, 7 if narrow else 0), fontweight="bold", **options)
    ax.annotate("with " + ", ".join(narrow) if narrow else "", end, xytext=(0, -7), fontsize=9, color=FAINT, **options)


def _short(count: int) -> str:
    return in_words(count).replace(" thousand", " k").replace(" million", " M").replace(" billion", " G")
