"""Plot accuracy against latency for the benchmark of peers: a line for each method, a panel for each view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recipes.benchmarks.frontier import Point, pareto
from recipes.benchmarks.peers_arms import OURS
from recipes.benchmarks.peers_table import baseline_point, estimate, points, title, views

# Okabe and Ito's colours for colour-blind readers; ours is dark, thick and drawn last.
OUR_COLOUR, DENSE, FAINT = "#222222", "#8A8A8A", "#D9D9D9"
PEER_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#666633")
MARKS = "ovs^DPh"


def plot(record: dict[str, Any], files: list[Path]) -> None:
    """Draw the frontiers into .png or .svg files; without pyplot, so no display is needed."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = views(record)
    methods = list(points(record, shown[0]))
    peers = [method for method in methods if method != OURS]
    style = {peer: (PEER_COLOURS[i % len(MARKS)], MARKS[i % len(MARKS)]) for i, peer in enumerate(peers)} | {
        OURS: (OUR_COLOUR, "*")
    }
    with rc_context({"font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 4.2 * ((len(shown) + 1) // 2)), layout="constrained")
        axes = figure.subplots((len(shown) + 1) // 2, 2, squeeze=False).flatten()
        for ax, view in zip(axes, shown, strict=False):
            known, dense = points(record, view), baseline_point(record, view)
            for method in [*peers, OURS]:
                if method in known:
                    _line(ax, method, known[method], dense, *style[method], ours=method == OURS)
            low, high = estimate(dense.correct)[1:]
            ax.axhspan(100 * low, 100 * high, color=FAINT, alpha=0.4, zorder=0)
            ax.plot(dense.latency, 100 * dense.accuracy, "X", color=DENSE, label="baseline, with its 95 % band")
            ax.set_title(title(view), loc="left", fontsize=10, fontweight="bold")
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter("{x:g}")
            ax.tick_params(axis="x", which="minor", labelsize=7)
            ax.set_xlabel("milliseconds per call")
            ax.set_ylabel("accuracy, %")
            ax.grid(color=FAINT, linewidth=0.6, which="both", zorder=0)
            ax.spines[["top", "right"]].set_visible(False)
        for ax in axes[len(shown) :]:
            ax.set_axis_off()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(
            "Accuracy against latency; a line is the frontier of a method and the baseline", x=0.01, ha="left"
        )
        for file in files:
            figure.savefig(file, dpi=150, facecolor="white")


def _line(ax, method: str, own: list[Point], dense: Point, colour: str, mark: str, *, ours: bool) -> None:
    reached = pareto([*own, dense])
    order = 4 if ours else 3
    ax.plot(
        [point.latency for point in own],
        [100 * point.accuracy for point in own],
        mark,
        color=colour,
        markersize=11 if ours else 6,
        zorder=order,
        label=method,
    )
    ax.plot(
        [point.latency for point in reached],
        [100 * point.accuracy for point in reached],
        color=colour,
        linewidth=2.2 if ours else 1.2,
        zorder=order,
    )
