"""Label places: where words beside points go so that they hide neither each other nor other points; pure geometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Sides of a point where its label may begin, each with what it costs: up and to the right a frontier has nothing.
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
HIDES_MARK, HIDES_LABEL, LEAVES = 5.0, 5.0, 8.0  # per unit of area


class Box(NamedTuple):
    """A rectangle; y goes up."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: Box) -> float:
        """The area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        up = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(across, 0.0) * max(up, 0.0)

    @property
    def area(self) -> float:
        """Of the rectangle."""
        return (self.right - self.left) * (self.top - self.bottom)


def places(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    bounds: Box,
    *,
    gap: float = 4.0,
) -> list[Box]:
    """A rectangle for each label, near its point: the best of those that are still free, the lowest points first.

    On a frontier that falls to the right the labels of higher points then move up, out of the way of the lower ones'.

    Args:
        points: what the labels belong to.
        sizes: width and height of each label.
        obstacles: what should not be hidden, the points' own marks included.
        bounds: what no label should leave.
        gap: between a point and its label at least: half of a mark.
    """
    found: dict[int, Box] = {}
    for place in sorted(range(len(points)), key=lambda place: points[place][1]):
        ways = [
            (_beside(*points[place], *sizes[place], side, gap, distance), extra + distance)
            for side, extra in SIDES.items()
            for distance in DISTANCES
        ]
        taken = list(found.values())
        found[place] = min(ways, key=lambda way: way[1] + _harm(way[0], obstacles, taken, bounds))[0]
    return [found[place] for place in range(len(points))]


def _harm(box: Box, obstacles: Sequence[Box], taken: Sequence[Box], bounds: Box) -> float:
    """What a place hides or leaves."""
    hidden = HIDES_MARK * sum(box.shared(other) for other in obstacles)
    return hidden + HIDES_LABEL * sum(box.shared(other) for other in taken) + LEAVES * (box.area - box.shared(bounds))


def _beside(
    x: float, y: float, width: float, height: float, side: tuple[int, int], gap: float, distance: float
) -> Box:
    """The label's rectangle on one side of its point; one above or below it moves away up or down, not aside."""
    across, up = side
    aside, above = (gap, distance) if across and up else (gap + distance, gap + distance)
    left = x + {1: aside, 0: -width / 2, -1: -aside - width}[across]
    bottom = y + {1: above, 0: -height / 2, -1: -above - height}[up]
    return Box(left, bottom, left + width, bottom + height)
