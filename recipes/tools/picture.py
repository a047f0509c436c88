"""Draw the picture of the README: accuracy lost against speed-up, from the result files, on light and on dark ground.

`python -m recipes.tools.picture` writes docs/pictures/frontier-light.svg and frontier-dark.svg; `make results` does so too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from recipes.tools import drawing, overview

NAME = "frontier"
SHAPE = "1 x 32"  # texts x tokens
# One colour per runtime and ground (Okabe and Ito's, lighter on dark ground).
COLOURS = {
    "light": {"PyTorch fp32": "#0072B2", "OpenVINO int8": "#C2410C"},
    "dark": {"PyTorch fp32": "#56B4E9", "OpenVINO int8": "#FFA657"},
}
RUNTIMES = {overview.DENSE: "PyTorch fp32", overview.EXPORT: "OpenVINO int8"}
TITLE = "Accuracy lost against speed-up"
NOTE = (
    "%: how much of the encoder is gone.  Bars: 95 % intervals, where 0 is inside no loss can be shown; "
    "of MahaNews pruned, the range of seeds."
)
TICKS = (1, 1.5, 2, 3, 4, 6, 8, 12, 16)
TOO_CLOSE = 0.8  # this share of the encoder lies between two others, whose labels it would cover


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
        title.replace("; ", ", "): sorted(
            (_point(one) for one in outcomes if one.gone != TOO_CLOSE), key=lambda point: point.speedup
        )
        for title, outcomes in islice(overview.panels().items(), 2)
    }


def _point(one: overview.Outcome) -> Point:
    label = f"{100 * one.gone:.0f} %" if one.gone else "dense"
    lost = (100 * value for value in (one.change, one.low, one.high))
    return Point(RUNTIMES[one.runtime], label, one.speedup[SHAPE], *lost)


def digest() -> str:
    """Return what the numbers of the picture are called."""
    return drawing.digest({title: [vars(point) for point in points] for title, points in panels().items()})


def stale() -> list[str]:
    """Return the files that were not drawn from the result files as they are, or are missing."""
    return drawing.stale(NAME, digest())


def write() -> None:
    """Write both pictures."""
    drawing.write(NAME, draw)


def description() -> str:
    """Return in words what the picture shows."""
    lines = [
        f"{title}, {point.runtime}, {point.label}: {point.speedup:.1f} times as fast, "
        f"{point.change:+.1f} points [{point.low:+.1f}, {point.high:+.1f}]."
        for title, points in panels().items()
        for point in points
    ]
    return " ".join([NOTE, *lines])


def draw(theme: str) -> str:
    """Return the picture as SVG, on no ground of its own.

    Args:
        theme: `light` or `dark`.
    """
    from matplotlib.figure import Figure

    with drawing.settings(theme) as ground:
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, (title, points) in zip(axes, panels().items(), strict=True):
            _panel(ax, title, points, ground.ink, ground.faint, COLOURS[theme])
        axes[0].set_ylabel("accuracy, change in points")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, title=NOTE, title_fontsize=9.5
        )
        return drawing.svg(figure, title=TITLE, description=description(), digest=digest())


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
            end = (point.speedup, point.high if above else point.low)
            drawing.label(ax, point.label, end, above=above, gap=5, size=10, colour=colour)
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.set_xscale("log")
    ax.set_xticks(TICKS, [f"{tick:g}x" for tick in TICKS])
    ax.set_xticks([], minor=True)
    ax.set_xlim(0.85, 24)
    ax.set_ylim(-3.0, 1.6)
    ax.set_xlabel("speed-up on a processor, one text of 32 tokens per call")
    ax.grid(color=faint, linewidth=0.6, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    write()
