"""Frontiers: accuracy at equal latency against values worked out by hand; a better peer is reported as better."""

import numpy as np
import pytest

from recipes.benchmarks.frontier import (
    ABOVE,
    BELOW,
    FASTER,
    NOISE,
    ON,
    Point,
    at_latency,
    compare,
    overall,
    pareto,
    verdict,
)


def point(name: str, latency: float, right: int, rows: int = 100) -> Point:
    """The first rows are answered rightly."""
    return Point(name, latency, (np.arange(rows) < right).astype(float))


def test_a_slower_point_that_is_no_better_is_not_on_the_frontier():
    points = [point("c", 3, 80), point("a", 1, 70), point("b", 2, 80), point("d", 4, 90), point("e", 4, 85)]
    assert [one.name for one in pareto(points)] == ["a", "b", "d"]
    assert pareto([]) == []


@pytest.mark.parametrize(
    ("latency", "accuracy"), [(0.9, None), (1, 0.7), (1.5, 0.75), (2, 0.8), (2.5, 0.825), (4, 0.9), (9, 0.9)]
)
def test_between_two_points_lies_the_line_and_right_of_the_last_it_is_level(latency, accuracy):
    # 2.5 is a quarter of the way from (2, 0.8) to (4, 0.9).
    found = at_latency(pareto([point("a", 1, 70), point("b", 2, 80), point("d", 4, 90)]), latency)
    assert (found if accuracy is None else found.mean()) == (None if accuracy is None else pytest.approx(accuracy))


@pytest.mark.parametrize(
    ("numbers", "word"),
    [((0.1, 0.02, 0.2), ABOVE), ((-0.1, -0.2, -0.02), BELOW), ((0.01, -0.01, 0.02), NOISE), ((0, 0, 0), ON)],
)
def test_the_interval_decides_the_word(numbers, word):
    assert verdict(*numbers) == word


def test_a_planted_better_peer_is_reported_as_better():
    ours = [point("small", 1, 60), point("large", 3, 80)]
    better = compare(ours, [point("peer", 2, 95)])
    # At the peer's 2 ms ours is halfway between 60 and 80; at our 3 ms the peer still has 95; at 1 ms it has nothing.
    assert [(one.point, one.ours, one.verdict) for one in better] == [
        ("small", True, FASTER),
        ("peer", False, BELOW),
        ("large", True, BELOW),
    ]
    assert [one.value for one in better] == [None, pytest.approx(-0.25), pytest.approx(-0.15)]
    assert better[1].ci95[1] < 0
    assert overall(better) == BELOW


def test_a_planted_worse_peer_is_reported_as_worse():
    found = compare([point("small", 1, 90), point("large", 3, 95)], [point("peer", 2, 50)])
    assert overall(found) == ABOVE
    assert {one.verdict for one in found} == {FASTER, ABOVE}


def test_a_peer_that_is_faster_than_all_of_ours_is_not_passed_over():
    found = compare([point("ours", 2, 90)], [point("fast", 1, 40), point("slow", 3, 80)])
    assert [(one.point, one.verdict) for one in found] == [("fast", FASTER), ("ours", ABOVE), ("slow", ABOVE)]
    assert overall(found) == FASTER


def test_the_same_answers_are_on_the_frontier_and_one_row_is_noise():
    assert overall(compare([point("ours", 1, 90)], [point("peer", 2, 90)])) == ON
    assert overall(compare([point("ours", 1, 90)], [point("peer", 2, 91)])) == NOISE


def test_differences_are_paired_by_row():
    right = np.zeros(1000)
    right[:500] = 1
    ours = right.copy()
    ours[500:510] = 1
    (first, _) = compare([Point("ours", 1, ours)], [Point("peer", 1, right)])
    assert first.value == pytest.approx(0.01)
    assert first.verdict == ABOVE  # of two independent samples of 1,000 rows a point would be noise


def test_what_both_may_use_ends_both_frontiers_and_is_not_compared():
    dense = point("dense", 4, 90)
    found = compare([point("ours", 2, 70)], [point("peer", 3, 84)], [dense])
    # At the peer's 3 ms ours is halfway between 70 and 90; at our 2 ms the peer has nothing.
    assert [(one.point, one.value and round(one.value, 6)) for one in found] == [("ours", None), ("peer", -0.04)]
    assert compare([point("ours", 2, 70)], [point("peer", 3, 84)])[1].value == pytest.approx(-0.14)
