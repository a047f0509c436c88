"""Labels lie near their points, inside the frame, and on nothing while there is room."""

from trainer_ext.sweep.plot_labels import Box, place_labels

FRAME = Box(0, 0, 400, 300)


def around(points, half=5):
    return [Box(x - half, y - half, x + half, y + half) for x, y in points]


def overlaps(boxes):
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlap(b) > 0]


def test_overlap():
    assert Box(0, 0, 4, 4).overlap(Box(2, 3, 9, 9)) == 2
    assert Box(0, 0, 4, 4).overlap(Box(4, 0, 8, 4)) == 0
    assert Box(0, 0, 4, 4).overlap(Box(5, 5, 6, 6)) == 0


def test_a_single_label_is_up_and_to_the_right():
    (box,) = place_labels([(100, 100)], [(60, 10)], around([(100, 100)]), FRAME, gap=6)
    assert box.left > 100
    assert 100 <= box.bottom < 115
    assert (box.right - box.left, box.top - box.bottom) == (60, 10)


def test_labels_of_a_steep_frontier_hide_neither_each_other_nor_a_point():
    points = [(200 + 3 * step, 200 - 14 * step) for step in range(7)]
    found = place_labels(points, [(90, 10)] * 7, around(points), FRAME, gap=6)
    assert overlaps(found) == []
    assert not any(box.overlap(mark) for box in found for mark in around(points))
    assert all(box.overlap(FRAME) == box.area for box in found)


def test_a_point_at_the_edge_has_its_label_inside():
    for point in ((398, 150), (398, 298), (2, 150), (200, 298), (398, 2)):
        (box,) = place_labels([point], [(80, 10)], around([point]), FRAME, gap=6)
        assert box.overlap(FRAME) == box.area, point


def test_without_room_every_label_still_has_a_place():
    points = [(10, 10)] * 40
    assert len(place_labels(points, [(90, 10)] * 40, around(points), Box(0, 0, 100, 40))) == 40
