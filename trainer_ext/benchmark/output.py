"""Write the results of a benchmark: as JSON, as a plot, and into the report of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import report
from ..errors import InputError
from ..report.run_directory import RunDirectory
from ..report.tables import BUSY_MACHINE
from ..utils.files import write_json
from ..utils.imports import require
from .runner import Benchmark, BenchmarkRow
from .tables import by_workload, machine, merged, milliseconds, report_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg")
# One colour per runtime, from the palette of Okabe and Ito for colour-blind readers; the first target is grey.
COLOURS = {"torch": "#0072B2", "onnxruntime": "#E69F00", "openvino": "#009E73"}
FIRST, INK, FAINT = "#8A8A8A", "#222222", "#D9D9D9"
BAR_INCHES, WIDTH_INCHES, LONGEST_NAME = 0.3, 9.0, 38


def check_files(
    paths: Sequence[str], *, texts: Path | None, json: Path | None, plot: Path | None, run: Path | None
) -> None:
    """Check before anything is measured that every result can be written.

    Args:
        paths: models to time.
        texts: the file whose texts are read, if any.
        json: file for all numbers.
        plot: `.png` or `.svg` file.
        run: folder of the run whose report gets the times.

    Raises:
        InputError: A folder does not exist or is read-only, the suffix of the plot is unknown, matplotlib is not
            installed, or there is no report.
    """
    if plot:
        if plot.suffix not in ENDINGS:
            raise InputError(f"--plot {plot}: the name must end in {' or '.join(ENDINGS)}.")
        require("matplotlib", extra="plot")
    for option, file in (("--json", json), ("--plot", plot)):
        if file and (file.is_dir() or not os.access(file.parent, os.W_OK)):
            raise InputError(f"{option} {file}: cannot be written; give a file in a folder that exists.")
    if run is None:
        return
    if texts:
        raise InputError("--save stores times of one length each, --texts has many lengths; leave out one of them.")
    found = RunDirectory(run.expanduser())
    if len(paths) > 1 or not (found.holds_run and found.report.is_file()):
        raise InputError("--save adds to the compression.json of a run; give one finished run and nothing else.")
    report.load(found.report)


def write_files(results: Benchmark, *, json: Path | None, plot: Path | None, run: Path | None) -> None:
    """Write the results; the arguments are those of `check_files`."""
    if json:
        write_json(json, asdict(results))
    if plot:
        draw_plot(results, plot)
    if run:
        found = RunDirectory(run.expanduser())
        before = report.load(found.report)
        report.save(replace(before, latency=merged(before.latency, report_rows(results))), found.root)


def draw_plot(results: Benchmark, file: Path) -> None:
    """Plot the times: one panel per batch size and length, one bar per target with its 95th percentile and speed-up.

    Args:
        results: of a benchmark.
        file: `.png` or `.svg` file.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not pyplot, which looks for a display
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = by_workload(results)
    bars = [len(rows) for rows in panels.values()]
    margin = 0.75  # inches between panels, for a title and an axis
    height = sum(bars) * BAR_INCHES + len(bars) * margin + 0.9
    with rc_context({"font.size": 9, "svg.fonttype": "none", "text.color": INK, "axes.labelcolor": INK}):
        figure = Figure(figsize=(WIDTH_INCHES, height), layout=ConstrainedLayoutEngine(h_pad=0.1))
        axes = figure.subplots(len(bars), squeeze=False, height_ratios=bars)[:, 0]
        for ax, (title, rows) in zip(axes, panels.items(), strict=True):
            _panel(ax, title, rows)
        axes[-1].set_xlabel("milliseconds per call: median, whisker to the 95th percentile")
        figure.suptitle("Latency of a forward pass", x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.supxlabel(machine(results), x=0.01, ha="left", fontsize=7, color="#666666")
        figure.savefig(file, dpi=160, facecolor="white")


def _panel(ax: Axes, title: str, rows: list[BenchmarkRow]) -> None:
    places = range(len(rows))
    medians = [row.median_ms for row in rows]
    late = [max(row.p95_ms - row.median_ms, 0.0) for row in rows]
    colours = [FIRST, *(COLOURS.get(row.entry.runtime, FIRST) for row in rows[1:])]
    ax.barh(places, medians, color=colours, height=0.68, zorder=2)
    ax.errorbar(
        medians, places, xerr=[[0.0] * len(rows), late], fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.5, zorder=3
    )
    for place, row, whisker in zip(places, rows, late, strict=True):
        text = f"{row.speedup:.2f}x   {milliseconds(row.median_ms)} ms" + (f"   {BUSY_MACHINE}" if row.busy else "")
        ax.annotate(
            text,
            (row.median_ms + whisker, place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # no grid line through the text
        )
    ax.set_yticks(places, [f"{_short(row.entry.name)}   {row.entry.runtime_title}" for row in rows])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.27 * max(median + whisker for median, whisker in zip(medians, late, strict=True)))
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
    ax.grid(axis="x", color=FAINT, linewidth=0.7, zorder=0)
    ax.tick_params(length=0, colors=INK)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.spines["left"].set_color(FAINT)


def _short(name: str) -> str:
    """Shorten a long name in the middle; models usually differ at both ends."""
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"
