"""Place labels beside points so that they hide neither each other nor other points.

Pure geometry without randomness, so that the same numbers always give the same plot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# The sides of a point where its label may be, with the cost of each. A frontier leaves the upper right free.
SIDES = {
    (1, 1): 0.0,
    (0, 1): 6.0,
    (1, 0): 8.0,
    (-1, 1): 16.0,
    (1, -1): 30.0,
    (0, -1): 34.0,
    (-1, 0): 34.0,
    (-1, -1): 40.0,
}
DISTANCES = (0.0, 7.0, 15.0, 24.0, 34.0, 46.0, 60.0, 76.0, 94.0, 114.0, 136.0)
HIDES_MARKER, HIDES_LABEL, OUTSIDE = 5.0, 5.0, 8.0  # cost per unit of area


class Box(NamedTuple):
    """A rectangle; y goes up."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        """The area of the rectangle."""
        return (self.right - self.left) * (self.top - self.bottom)


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    bounds: Box,
    *,
    gap: float = 4.0,
) -> list[Box]:
    """Return a rectangle for each label, near its point.

    The lowest points come first, so on a frontier that falls to the right the labels of higher points move up.

    Args:
        points: what the labels belong to.
        sizes: width and height of each label.
        obstacles: what should not be hidden, including the markers of the points.
        bounds: what no label should leave.
        gap: smallest distance between a point and its label: half a marker.
    """
    found: dict[int, Box] = {}
    for index in sorted(range(len(points)), key=lambda index: points[index][1]):
        options = [
            (_beside(points[index], sizes[index], side, gap, distance), extra + distance)
            for side, extra in SIDES.items()
            for distance in DISTANCES
        ]
        taken = list(found.values())
        found[index] = min(options, key=lambda one: one[1] + _cost(one[0], obstacles, taken, bounds))[0]
    return [found[index] for index in range(len(points))]


def _cost(box: Box, obstacles: Sequence[Box], taken: Sequence[Box], bounds: Box) -> float:
    """Return the cost of what a label hides, and of its part outside the bounds."""
    hidden = HIDES_MARKER * sum(box.overlap(other) for other in obstacles)
    hidden += HIDES_LABEL * sum(box.overlap(other) for other in taken)
    return hidden + OUTSIDE * (box.area - box.overlap(bounds))


def _beside(
    point: tuple[float, float], size: tuple[float, float], side: tuple[int, int], gap: float, distance: float
) -> Box:
    """Return the rectangle of a label on one side of its point; with distance, diagonal ones move up or down only."""
    (x, y), (width, height), (across, up) = point, size, side
    aside, above = (gap, distance) if across and up else (gap + distance, gap + distance)
    left = x + {1: aside, 0: -width / 2, -1: -aside - width}[across]
    bottom = y + {1: above, 0: -height / 2, -1: -above - height}[up]
    return Box(left, bottom, left + width, bottom + height)
