"""Draw the paper's grid from a kept sweep: what each method loses when a quarter, half or three quarters of the encoder goes.

`make results` writes docs/pictures/grid-light.svg and grid-dark.svg from the first sweep of `ORDER` that was kept; without one,
or without labels in it, there is nothing to draw. The models are those that run in PyTorch in fp32, however they were trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.tools import drawing
from recipes.tools.sweep_tables import is_second_order
from trainer_ext.report.formatting import is_fraction, metric_title
from trainer_ext.sweep.config import read_sweep_file
from trainer_ext.sweep.results import SweepResult, SweepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "grid"
RECIPES = Path(__file__).parents[1]
# The sweeps that can be drawn, best first, and what their rows are.
ORDER = {
    "paper_grid-shc@full": "MahaNews headlines",
    "paper_grid-shc@small": "MahaNews headlines",
    "paper_grid-lpc@full": "MahaNews paragraphs",
    "paper_grid-lpc@small": "MahaNews paragraphs",
}
HINT = (
    "Trained in mixed precision, hollow marks in fp32. KD: the baseline is the teacher.\n"
    "Bars: paired 95 % intervals, where 0 is inside no loss can be shown."
)
SHARES = (0, 25, 50, 75)  # per cent of the encoder, as the axis names them
GROUP = 25  # per cent of the axis that belong to each
APART = 5  # per cent of the axis, from one method to the next beside it
SHADE = 0.3  # opacity of the ground behind every second share


@dataclass(frozen=True)
class Method:
    """A series: how its models were pruned and trained, and how it looks.

    Attributes:
        words: as the legend has it.
        second_order: whether second order chose what goes, rather than movement.
        teacher: whether the baseline taught it.
        mixed: whether it was trained in mixed precision; else its marks are hollow.
        marker: of matplotlib.
        colours: by theme.
    """

    words: str
    second_order: bool
    teacher: bool
    mixed: bool
    marker: str
    colours: Mapping[str, str]

    @property
    def key(self) -> tuple[bool, bool, bool]:
        """What tells it from the others, as `key_of` returns it."""
        return self.second_order, self.teacher, self.mixed


# Blue and orange are those of the first picture; green is Okabe and Ito's, darker on light ground.
_BLUE = {"light": "#0072B2", "dark": "#56B4E9"}
_GREEN = {"light": "#007A5A", "dark": "#3DD6A3"}
METHODS = (
    Method("movement, fp32", False, False, False, "o", _BLUE),
    Method("movement", False, False, True, "o", _BLUE),
    Method("movement + KD, fp32", False, True, False, "s", _GREEN),
    Method("movement + KD", False, True, True, "s", _GREEN),
    Method("second order + KD", True, True, True, "^", {"light": "#C2410C", "dark": "#FFA657"}),
)


@dataclass(frozen=True)
class Point:
    """One model.

    Attributes:
        method: words of its method.
        gone: share of the encoder's weights, in [0, 1].
        change: difference to the baseline in points, negative if something was lost.
        low: lower end of its paired 95 % interval.
        high: upper end.
    """

    method: str
    gone: float
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Grid:
    """What the picture shows.

    Attributes:
        title: the task.
        metric: with its unit.
        baseline: value of the metric in per cent.
        points: by method, and within each by the share that is gone.
        note: what it was measured on.
    """

    title: str
    metric: str
    baseline: float
    points: tuple[Point, ...]
    note: str


def key_of(row: SweepRow) -> tuple[bool, bool, bool]:
    """Return whether a model is of second order, has a teacher, and was trained in mixed precision."""
    labels = row.settings.values()
    return is_second_order(row), "KD" in labels, "mixed" in labels


def grid(sweeps: Mapping[str, SweepResult]) -> Grid | None:
    """Return what there is to draw; None without a kept sweep of the grid, or without labels.

    Args:
        sweeps: by name; the first of `ORDER` that has points is taken.
    """
    for name, title in ORDER.items():
        if name in sweeps and (found := _grid(sweeps[name], title)):
            return found
    return None


def _grid(result: SweepResult, title: str) -> Grid | None:
    base = next((row for row in result.rows if row.is_baseline and row.value is not None), None)
    points = tuple(point for method in METHODS for point in _points(result.rows, method))
    if base is None or base.value is None or not is_fraction(base.metric_name) or not points:
        return None
    return Grid(title, metric_title(base.metric_name), 100 * base.value, points, _note(result))


def _points(rows: Sequence[SweepRow], method: Method) -> list[Point]:
    found = [
        Point(
            method.words,
            row.sparsity,
            *(100 * value for value in (row.difference, row.difference_low, row.difference_high)),
        )
        for row in rows
        if row.is_plain and not row.is_baseline and key_of(row) == method.key
        if None not in (row.sparsity, row.difference, row.difference_low, row.difference_high)
    ]
    return sorted(found, key=lambda point: point.gone)


def _note(result: SweepResult) -> str:
    """Return test rows, seeds, epochs and machine."""
    tests = dict.fromkeys(f"n = {row.rows:,} {row.split} rows" for row in result.rows if row.rows)
    seeds = dict.fromkeys(f"seed {row.seed}" for row in result.rows if row.seed is not None)
    epochs = epochs_of(result)
    trained = [] if epochs is None else [f"{epochs} epochs"]
    machine = result.machine.partition(", load")[0].partition(";")[0]
    return f"{', '.join([*tests, *seeds, *trained])}; {machine}; {result.created[:10]}."


def epochs_of(result: SweepResult) -> str | None:
    """Return how long each model was trained, in epochs: as the command said, else the recipe at that scale; None if neither does."""
    if given := re.search(r"--num_train_epochs[ =](\S+)", result.command or ""):
        return given[1]
    if not (RECIPES / result.recipe).is_file():
        return None
    recipe = read_sweep_file(RECIPES / result.recipe)
    found = {**recipe.fields, **recipe.scales.get(result.scale or "", {})}.get("num_train_epochs")
    return None if found is None else str(found)


def heading(found: Grid) -> str:
    """Return the title of the picture."""
    return f"The paper's grid on {found.title}: what each method costs as more of the encoder goes"


def description(found: Grid) -> str:
    """Return in words what the picture shows."""
    lines = [
        f"{point.method}, {100 * point.gone:.0f} % gone: {signed(point.change)} [{signed(point.low)}, {signed(point.high)}]."
        for point in found.points
    ]
    start = f"Change of {found.metric.removesuffix(' %')} in points against the baseline of {found.baseline:.1f} %."
    return " ".join([start, *lines, HINT.replace("\n", " "), found.note])


def signed(points: float) -> str:
    """Return a change with one decimal and its sign, as print has it: a true minus, and no sign before zero."""
    text = f"{points:+z.1f}".replace("-", "\N{MINUS SIGN}")
    return text.lstrip("+") if text == "+0.0" else text


def digest(found: Grid) -> str:
    """Return what the numbers of the picture are called."""
    return drawing.digest(asdict(found))


def stale(sweeps: Mapping[str, SweepResult]) -> list[str]:
    """Return the files that were not drawn from the sweeps as they are, or are missing; none if there is nothing to draw."""
    found = grid(sweeps)
    return drawing.stale(NAME, digest(found)) if found else []


def write(sweeps: Mapping[str, SweepResult]) -> None:
    """Write both pictures, if there is something to draw."""
    if found := grid(sweeps):
        drawing.write(NAME, lambda theme: draw(found, theme))


def draw(found: Grid, theme: str) -> str:
    """Return the picture as SVG, on no ground of its own.

    Args:
        found: what it shows.
        theme: `light` or `dark`.
    """
    with drawing.settings(theme):
        made = figure(found, theme)
        return drawing.svg(made, title=heading(found), description=description(found), digest=digest(found))


def figure(found: Grid, theme: str) -> Figure:
    """Return the picture as a figure; it is to be made and drawn within `drawing.settings` of the theme."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    ax = figure.subplots()
    shown = [method for method in METHODS if any(point.method == method.words for point in found.points)]
    places = dict(zip(found.points, abscissas(found.points), strict=True))
    for method in shown:
        own = [point for point in found.points if point.method == method.words]
        _series(ax, method, own, x=[places[point] for point in own], colour=method.colours[theme])
    _axes(ax, found, drawing.THEMES[theme])
    ax.set_title(heading(found), loc="left", fontsize=10.5, pad=27)
    ax.legend(
        *ax.get_legend_handles_labels(),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(shown),
        frameon=False,
        borderaxespad=0.3,
        borderpad=0,
        handletextpad=0.2,
        columnspacing=1.6,
    )
    figure.supxlabel(f"{HINT}\n{found.note}", fontsize=9.5, linespacing=1.4)
    return figure


def abscissas(points: Sequence[Point]) -> list[float]:
    """Return where on the axis of per cent each model stands: the share that is gone, aside of its neighbours.

    Args:
        points: in the order in which those of one share stand side by side, `APART` from one to the next, their middle there.
    """
    groups = [min(SHARES, key=lambda share: abs(share - 100 * point.gone)) for point in points]
    found = []
    for number, (point, group) in enumerate(zip(points, groups, strict=True)):
        before, beside = groups[:number].count(group), groups.count(group)
        found.append(100 * point.gone + APART * (before - (beside - 1) / 2))
    return found


def _series(ax: Axes, method: Method, points: Sequence[Point], *, x: Sequence[float], colour: str) -> None:
    """Draw the models of a method, each with its change at the end of its interval."""
    reach = [[point.change - point.low for point in points], [point.high - point.change for point in points]]
    ax.plot(
        *(x, [point.change for point in points], method.marker),
        color=colour,
        markerfacecolor=colour if method.mixed else "none",
        markeredgewidth=1.6,
        label=method.words,
        markersize=7,
        zorder=3,
    )
    ax.errorbar(
        *(x, [point.change for point in points], reach),
        fmt="none",
        ecolor=colour,
        elinewidth=1.6,
        capsize=3.5,
        capthick=1.6,
        zorder=3,
    )
    for place, point in zip(x, points, strict=True):
        above = point.high >= 0  # so that no number stands on the line at 0
        end = (place, point.high if above else point.low)
        drawing.label(ax, signed(point.change), end, above=above, gap=4, size=9.5, colour=colour)


def _axes(ax: Axes, found: Grid, ground: drawing.Theme) -> None:
    for share in SHARES[::2]:
        ax.axvspan(share - GROUP / 2, share + GROUP / 2, color=ground.faint, alpha=SHADE, linewidth=0, zorder=0)
    ax.axhline(0, color=ground.ink, linewidth=1.2, zorder=2)
    ax.annotate(
        f"baseline\n{found.baseline:.1f} %",
        (1, 0),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
    )
    ax.set_xlim(SHARES[0] - GROUP / 2, SHARES[-1] + GROUP / 2)
    ax.set_xticks(SHARES, [f"{share} %" if share else "0 %, trained on as long" for share in SHARES])
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("share of the encoder's weights that is gone")
    ax.margins(y=0.13)
    ax.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
    ax.set_ylabel(f"{found.metric.removesuffix(' %')}, change in points")
    ax.spines[["top", "right", "bottom"]].set_visible(False)
