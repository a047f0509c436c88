"""Card picture: where the parameters lie before and after, as two stacked bars in an SVG that needs nothing else."""

from __future__ import annotations

import io

from ..errors import InputError
from ..report.energy_text import in_words
from ..report.schema import CompressionReport, Pair
from ..utils.imports import require
from .card import parts

# Okabe and Ito's, told apart without red and green; what is written on each has a contrast of 4.5 or more.
COLOURS = {"embeddings": ("#0072B2", "white"), "encoder": ("#E69F00", "black"), "head": ("#009E73", "black")}
INK, PAPER, FAINT = "#222222", "#FFFFFF", "#666666"
WIDTH_INCHES, HEIGHT_INCHES = 8.0, 2.0
LEAST_SHARE = 0.2  # of the width; what is narrower has no room for its name
METADATA = ("Creator", "Date", "Format", "Type")  # left out: dates, and addresses of vocabularies


def draw_parameters(report: CompressionReport) -> str:
    """The bars of the baseline and of the compressed model, on one scale.

    Returns:
        SVG text, the same for the same numbers.

    Raises:
        InputError: the parameters were not counted, or matplotlib is not installed.
    """
    rows = [row for row in parts(report.parameters or Pair()) if row.name in COLOURS]
    if not rows:
        raise InputError(
            "The report has no numbers of parameters, so there is nothing to draw; leave the picture out."
        )
    require("matplotlib", extra="plot")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings = {"font.size": 10, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "trainer_ext"}
    with rc_context({**settings, "text.color": INK}):
        figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), facecolor=PAPER)
        ax = figure.add_axes((0.13, 0.05, 0.62, 0.75))
        bars = {"baseline": [row.before for row in rows], "compressed": [row.after for row in rows]}
        longest = max(max(map(sum, bars.values())), 1)
        for place, counts in enumerate(bars.values()):
            _bar(ax, place, dict(zip(COLOURS, counts, strict=True)), longest)
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
    return text[text.index("<svg") :]  # what stands before it names a file elsewhere


def _bar(ax, place: int, counts: dict[str, int], longest: int) -> None:
    """One bar, every part with its name and number: in the part where there is room, else beside the bar."""
    left, narrow = 0, []
    for name, count in counts.items():
        colour, ink = COLOURS[name]
        ax.barh(place, count, left=left, height=0.74, color=colour)
        if count >= LEAST_SHARE * longest:
            words = f"{name}\n{_short(count)}"
            ax.text(left + count / 2, place, words, color=ink, ha="center", va="center", linespacing=1.3)
        elif count:
            narrow.append(f"{name} {_short(count)}")
        left += count
    beside = (left + 0.015 * longest, place)
    lift = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    ax.annotate(_short(left), beside, xytext=(0, 7 if narrow else 0), fontweight="bold", **lift)
    ax.annotate("with " + ", ".join(narrow) if narrow else "", beside, xytext=(0, -7), fontsize=9, color=FAINT, **lift)


def _short(count: int) -> str:
    return in_words(count).replace(" thousand", " k").replace(" million", " M").replace(" billion", " G")
