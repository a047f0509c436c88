"""Draw the picture of the README: accuracy lost against speed-up, from the result files, on light and on dark ground.

`python -m recipes.tools.picture` writes docs/pictures/frontier-light.svg and frontier-dark.svg; `make results` does so too.
Each file names the numbers that it was drawn from by a digest, so that a test finds a stale one whatever matplotlib's version.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from recipes.tools import overview

FOLDER = Path(__file__).parents[2] / "docs/pictures"
SHAPE = "1 x 32"  # texts x tokens
# Ink, faint lines, and one colour per runtime (Okabe and Ito's, lighter on dark ground).
THEMES = {
    "light": ("#24292f", "#d0d7de", {"PyTorch fp32": "#0072B2", "OpenVINO int8": "#C2410C"}),
    "dark": ("#e6edf3", "#3d444d", {"PyTorch fp32": "#56B4E9", "OpenVINO int8": "#FFA657"}),
}
RUNTIMES = {overview.DENSE: "PyTorch fp32", overview.EXPORT: "OpenVINO int8"}
TITLE = (
    "%: how much of the encoder is gone.  Bars: 95 % intervals, where 0 is inside no loss can be shown; "
    "of MahaNews pruned, the range of two seeds."
)
TICKS = (1, 1.5, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Point:
    """One model in one runtime: speed-up over the dense model in PyTorch, and the change of accuracy in points.

    Attributes:
        runtime: as the legend has it.
        label: what was removed.
        speedup: for one text per call.
        change: points, negative if accuracy was lost.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    runtime: str
    label: str
    speedup: float
    change: float
    low: float
    high: float


def panels() -> dict[str, list[Point]]:
    """Return the points by the title of their panel: the first two tasks of the table at the top of recipes/README.md."""
    return {
        title.replace("; ", ", "): sorted(map(_point, outcomes), key=lambda point: point.speedup)
        for title, outcomes in islice(overview.panels().items(), 2)
    }


def _point(one: overview.Outcome) -> Point:
    label = f"{100 * one.gone:.0f} %" if one.gone else "dense"
    lost = (100 * value for value in (one.change, one.low, one.high))
    return Point(RUNTIMES[one.runtime], label, one.speedup[SHAPE], *lost)


def digest() -> str:
    """Return what the numbers of the picture are called."""
    text = json.dumps({title: [vars(point) for point in points] for title, points in panels().items()})
    return sha256(text.encode()).hexdigest()[:16]


def stale() -> list[str]:
    """Return the files that were not drawn from the result files as they are, or are missing."""
    files = [FOLDER / f"frontier-{theme}.svg" for theme in THEMES]
    return [file.name for file in files if not file.is_file() or digest() not in file.read_text(encoding="utf-8")]


def write() -> None:
    """Write both pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        (FOLDER / f"frontier-{theme}.svg").write_text(draw(theme), encoding="utf-8")


def draw(theme: str) -> str:
    """Return the picture as SVG, on no ground of its own.

    Args:
        theme: `light` or `dark`.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ink, faint, colours = THEMES[theme]
    settings = {
        "font.size": 10,
        "font.family": "sans-serif",
        "svg.fonttype": "none",
        "svg.hashsalt": "trainer_ext",
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), ink),
        "axes.edgecolor": faint,
    }
    with rc_context(settings):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, (title, points) in zip(axes, panels().items(), strict=True):
            _panel(ax, title, points, ink, faint, colours)
        axes[0].set_ylabel("accuracy, change in points")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, title=TITLE, title_fontsize=9.5
        )
        made = io.StringIO()
        figure.savefig(made, format="svg", transparent=True, metadata={"Date": None, "Description": digest()})
    return re.sub(r"[ \t]+$", "", made.getvalue(), flags=re.MULTILINE)


def _panel(ax, title: str, points: list[Point], ink: str, faint: str, colours: dict[str, str]) -> None:
    ax.axhline(0, color=ink, linewidth=1, alpha=0.6, zorder=1)
    for runtime, colour in colours.items():
        own = [point for point in points if point.runtime == runtime]
        x, y = [point.speedup for point in own], [point.change for point in own]
        reach = [[point.change - point.low for point in own], [point.high - point.change for point in own]]
        ax.errorbar(
            x, y, yerr=reach, fmt="o-", color=colour, label=runtime, linewidth=1.8, elinewidth=1.1, capsize=3, zorder=3
        )
        for number, point in enumerate(own):
            above = number % 2 == 0  # neighbours would overlap
            ax.annotate(
                point.label,
                (point.speedup, point.high if above else point.low),
                xytext=(0, 5 if above else -5),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize=10,
                color=colour,
            )
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.set_xscale("log")
    ax.set_xticks(TICKS, [f"{tick:g}x" for tick in TICKS])
    ax.set_xticks([], minor=True)
    ax.set_xlim(0.85, 24)
    ax.set_ylim(-2.6, 1.6)
    ax.set_xlabel("speed-up on a processor, one text of 32 tokens per call")
    ax.grid(color=faint, linewidth=0.6, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    write()
