"""Show accuracy against speed-up for the models of a sweep, as a picture and as a table with the same values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape

from core import captions
from core.sweep import Point, frontier

from charts.markup import note, table

HEIGHT, TOP, BOTTOM = 340, 40, 290  # pixels; the sides are in per cent, so that text keeps its size on a phone
LEFT, RIGHT = 16.0, 94.0
LABEL, LABEL_WIDTH = 15, 30.0  # height in pixels, width in per cent
LONGEST_NAME = 40
ALL_NAMED = 12  # with more points, only the frontier and the chosen point have their names in the picture
SMALLEST, LARGEST = 6.0, 14.0  # radius in pixels; the smallest can still be clicked
Scale = Callable[[float], float]
WORDS = {
    "en": {
        "title": "Accuracy against speed-up of {count} models; a larger circle is a larger model",
        "accuracy": "accuracy, %",
        "agreement": "same answer, %",
        "agreed_title": "Same answer as the baseline against speed-up of {count} models; a larger circle is a larger model",
        "agreed_means": "Best: no other model both answers more texts as the baseline does and is faster. The texts had no "
        "labels. Lines are 95 % intervals.",
        "speedup": "speed-up",
        "model": "model",
        "best": "best",
        "yes": "yes",
        "best_means": "Best: no other model is both more accurate and faster. Lines are 95 % intervals.",
        "open": "Click a filled circle, or choose below, to load that model here.",
        "all": "All {count} models",
        "exported": "For an exported file, the page loads the PyTorch model of its run.",
    },
    "mr": {
        "title": "{count} मॉडेलची अचूकता आणि वेगवाढ; मोठे वर्तुळ म्हणजे मोठे मॉडेल",
        "accuracy": "अचूकता, %",
        "agreement": "तेच उत्तर, %",
        "agreed_title": "{count} मॉडेलची मूळ मॉडेलसारखी उत्तरे आणि वेगवाढ; मोठे वर्तुळ म्हणजे मोठे मॉडेल",
        "agreed_means": "सर्वोत्तम: मूळ मॉडेलसारखी अधिक उत्तरे देणारे आणि वेगवान असे दुसरे नाही. मजकुरांना लेबले नव्हती. रेषा "
        "म्हणजे 95 % अंतराल.",
        "speedup": "वेगवाढ",
        "model": "मॉडेल",
        "best": "सर्वोत्तम",
        "yes": "होय",
        "best_means": "सर्वोत्तम: याहून अचूक आणि वेगवान असे दुसरे नाही. रेषा म्हणजे 95 % अंतराल.",
        "open": "ते मॉडेल येथे उघडण्यासाठी भरीव वर्तुळावर क्लिक करा किंवा खाली निवडा.",
        "all": "सर्व {count} मॉडेल",
        "exported": "निर्यात केलेल्या फाइलसाठी, ती ज्या रनपासून बनली तो PyTorch मध्ये उघडतो.",
    },
}
say = partial(captions.say, WORDS)
# Send clicks on points that have models to Python, with the index of the point in the file.
ON_CLICK = """element.addEventListener('click', (event) => {
    const point = event.target.closest('[data-point]');
    if (point) trigger('select', {index: Number(point.dataset.point)});
});"""


def pareto(points: list[Point], language: str, chosen: int | None = None) -> str:
    """Show the picture and its table.

    Args:
        points: The points of the sweep, at least one.
        language: Language of the captions.
        chosen: Index of the point whose models the page shows.
    """
    across = scale([1.0, *(point.speedup for point in points)], LEFT, RIGHT)
    up = scale([end for point in points for end in (point.accuracy_low, point.accuracy_high)], BOTTOM, TOP)
    places = [(across(point.speedup), up(point.accuracy)) for point in points]
    best = frontier(points)
    corners = [places[points.index(point)] for point in best]
    many = len(points) > ALL_NAMED
    largest = max(point.megabytes for point in points)
    marks = "".join(
        _mark(point, place, up, index=index, largest=largest, chosen=index == chosen, best=many and point in best)
        for index, (point, place) in enumerate(zip(points, places, strict=True))
    )
    line = "".join(
        f"<line class='frontier' x1='{x1:.2f}%' y1='{y1:.1f}' x2='{x2:.2f}%' y2='{y2:.1f}'/>"
        for (x1, y1), (x2, y2) in zip(corners, corners[1:], strict=False)
    )
    labelled = named(points, chosen)
    heights = apart([places[index] for index in labelled])
    names = "".join(
        _name(points[index], places[index][0], height, index, chosen=index == chosen)
        for index, height in zip(labelled, heights, strict=True)
    )
    agreed = any(point.is_agreement for point in points)
    title = say(language, "agreed_title" if agreed else "title", count=len(points))
    folders = [point.folder for point in points if point.folder]
    notes = (
        ["agreed_means" if agreed else "best_means"]
        + ["open"] * bool(folders)
        + ["exported"] * (len(set(folders)) < len(folders))
    )
    rows = _table(points, language)
    if many:
        rows = f"<details><summary>{say(language, 'all', count=len(points))}</summary>{rows}</details>"
    return (
        f"<svg class='pareto{' many' if many else ''}' width='100%' height='{HEIGHT}' role='img' aria-label='{title}'>"
        f"{_axes(points, across, up, language)}{line}{names}{marks}</svg>"
        f"{note(' '.join(say(language, key) for key in notes))}{rows}"
    )


def named(points: list[Point], chosen: int | None) -> list[int]:
    """Return the indices of the points that have their names in the picture.

    These are all points, or if they are too many the frontier (of a long frontier its ends) and the chosen point.
    """
    if len(points) <= ALL_NAMED:
        return list(range(len(points)))
    best = frontier(points)
    best = best if len(best) <= ALL_NAMED else [best[0], best[-1]]
    return [index for index, point in enumerate(points) if index == chosen or any(point is one for one in best)]


def scale(values: list[float], start: float, end: float) -> Scale:
    """Return a linear function from the range of the values to [start, end]; a single value is mapped to the middle."""
    low, high = min(values), max(values)
    return lambda value: start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)


def apart(places: list[tuple[float, float]]) -> list[float]:
    """Return the heights of labels at `(per cent, pixels)`, moved up where two labels would overlap."""
    moved: dict[int, float] = {}
    for index, (x, y) in sorted(enumerate(places), key=lambda item: -item[1][1]):
        near = [height for other, height in moved.items() if abs(places[other][0] - x) < LABEL_WIDTH]
        moved[index] = min([y, *(height - LABEL for height in near)])
    return [moved[index] for index in range(len(places))]


def _mark(
    point: Point, place: tuple[float, float], up: Scale, *, index: int, largest: float, chosen: bool, best: bool
) -> str:
    """Return the interval as a line and the model as a circle; its area shows the size, filled ones can be opened."""
    x, y = place
    radius = max(SMALLEST, LARGEST * (point.megabytes / largest) ** 0.5)
    kind = f"{'kept' if point.folder else 'gone'}{' chosen' if chosen else ''}{' best' if best else ''}"
    return (
        f"<line class='interval' x1='{x:.2f}%' x2='{x:.2f}%' y1='{up(point.accuracy_low):.1f}' "
        f"y2='{up(point.accuracy_high):.1f}'/>"
        f"<circle class='{kind}' cx='{x:.2f}%' cy='{y:.1f}' r='{radius:.1f}'{_click(point, index)}>"
        f"<title>{escape(point.name)}</title></circle>"
    )


def _name(point: Point, x: float, y: float, index: int, *, chosen: bool) -> str:
    """Return the name of a point, on the side where there is room."""
    half = (LONGEST_NAME - 1) // 2  # names differ at both ends
    name = point.name if len(point.name) <= LONGEST_NAME else f"{point.name[:half]}…{point.name[-half:]}"
    shift, anchor = (-10, "end") if x > 60 else (10, "start")
    return (
        f"<text class='name{' chosen' if chosen else ''}' x='{x:.2f}%' y='{y:.1f}' dx='{shift}' dy='-14' text-anchor='{anchor}'{_click(point, index)}>"
        f"{escape(name)}</text>"
    )


def _click(point: Point, index: int) -> str:
    return f" data-point='{index}'" if point.folder else ""


def _axes(points: list[Point], across: Scale, up: Scale, language: str) -> str:
    """Return the horizontal axis and the ends of both scales."""
    speedups = [1.0, *(point.speedup for point in points)]
    ends = min(point.accuracy_low for point in points), max(point.accuracy_high for point in points)
    speeds = "".join(
        f"<text x='{across(value):.2f}%' y='{BOTTOM + 24}' text-anchor='middle'>{value:.{1 if value >= 10 else 2}f}x</text>"
        for value in (min(speedups), max(speedups))
    )
    accuracies = "".join(f"<text x='0' y='{up(value) + 5:.1f}'>{100 * value:.1f}</text>" for value in ends)
    return (
        f"<line class='axis' x1='{LEFT - 4}%' x2='100%' y1='{BOTTOM + 6}' y2='{BOTTOM + 6}'/>{speeds}{accuracies}"
        f"<text x='{(LEFT + RIGHT) / 2}%' y='{HEIGHT - 4}' text-anchor='middle'>{say(language, 'speedup')}</text>"
        f"<text x='0' y='14'>{say(language, _measure(points))}</text>"
    )


def _measure(points: list[Point]) -> str:
    """Return the key of what is compared: the accuracy, or without labels how often a model answers as the baseline."""
    return "agreement" if any(point.is_agreement for point in points) else "accuracy"


def _table(points: list[Point], language: str) -> str:
    """Return everything that the picture shows as a table."""
    best = {id(point) for point in frontier(points)}
    columns = [say(language, key) for key in ("model", _measure(points), "speedup", "best")]
    rows = "".join(
        f"<tr><th scope='row'>{escape(point.name)}</th><td>{100 * point.accuracy:.1f} "
        f"[{100 * point.accuracy_low:.1f},&nbsp;{100 * point.accuracy_high:.1f}]</td><td>{point.speedup:.2f}x</td>"
        f"<td>{say(language, 'yes') if id(point) in best else ''}</td><td>{point.megabytes:.1f}</td></tr>"
        for point in points
    )
    return table("numbers barred", [*columns, "MB"], rows)
