"""The goal of a search: bad numbers are refused, and each verdict is tested at its limit."""

from __future__ import annotations

import pytest

from trainer_ext.errors import InputError
from trainer_ext.sweep.search.goal import Goal, Variant, cost, judge


def variant(difference, low, high, *, speedup=2.0, size=10, rows=200):
    return Variant("torch", size, speedup, difference / 100, low / 100, high / 100, rows)


REFUSED = {
    "less than no points": (
        ("smallest", -0.1, None),
        "--smallest-within must be a number of 0 or more, points that may be lost; it is -0.1",
    ),
    "points that are none": (("fastest", float("nan"), None), "--fastest-within must be a number of 0 or more"),
    "endless points": (("fastest", float("inf"), None), "--fastest-within must be a number of 0 or more"),
    "no points": (("smallest", None, 2.0), "--smallest-within must be a number"),
    "slower": (("best", None, 0.9), "--best-at must be a number of 1 or more, times the baseline's speed; it is 0.9"),
    "no speed": (("best", 0.5, None), "--best-at must be a number"),
    "both limits": (("best", 0.5, 2.0), "--best-at 2 takes no second limit"),
    "sure of a speed": (("best", None, 2.0, True), "--best-at 2 takes no second limit"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_values_are_refused(values, message):
    with pytest.raises(InputError) as caught:
        Goal(*values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("difference", "low", "high", "word", "accepted", "accepted_if_sure"),
    [
        (-0.2, -0.5, 0.1, "shown", True, True),
        (-0.2, -0.6, 0.1, "not refuted", True, False),
        (-0.5, -1.0, 0.0, "not refuted", True, False),  # on the limit
        (-0.6, -1.1, -0.5, "not refuted", False, False),
        (-0.9, -1.2, -0.6, "refuted", False, False),
        (1.0, 0.2, 1.8, "shown", True, True),
    ],
)
def test_the_interval_decides(difference, low, high, word, accepted, accepted_if_sure):
    for sure, expected in ((False, accepted), (True, accepted_if_sure)):
        verdict = judge(Goal("smallest", points=0.5, sure=sure), variant(difference, low, high))
        assert (verdict.word, verdict.accepted) == (word, expected)


def test_one_of_two_hundred_rows_is_half_a_point():
    lost = Variant("torch", 1, 1.0, 0.965 - 0.97, -0.02, 0.01, 200)  # not -0.005 but a little less
    assert lost.difference < -0.005
    assert judge(Goal("smallest", points=0.5), lost).accepted
    assert not judge(Goal("smallest", points=0.49), lost).accepted


def test_a_speed_is_reached_or_not():
    goal = Goal("best", speedup=2.0)
    assert judge(goal, variant(-9, -10, -8, speedup=2.0)).word == "fast enough"
    assert not judge(goal, variant(0, 0, 0, speedup=1.99)).accepted


def test_costs_put_the_better_first():
    small, fast, good = (
        variant(-0.4, -1, 1, speedup=2, size=5),
        variant(-0.4, -1, 1, speedup=3, size=9),
        variant(0.1, -1, 1, size=9),
    )
    for goal, best in (
        (Goal("smallest", points=1), small),
        (Goal("fastest", points=1), fast),
        (Goal("best", speedup=1), good),
    ):
        assert min((small, fast, good), key=lambda one, goal=goal: cost(goal, one)) is best
    lucky = variant(0.2, -1, 1, size=5)
    assert min((small, lucky), key=lambda one: cost(Goal("smallest", points=1), one)) is lucky


def test_losses_are_described_with_their_interval():
    assert variant(-0.51, -1.2, 0.2, rows=1818).words == "loses 0.5 points [-1.2, +0.2], n = 1,818"
    assert variant(0.5, -0.2, 1.2).words == "gains 0.5 points [-0.2, +1.2], n = 200"
    assert variant(-0.04, -0.2, 0.2).words == "loses nothing [-0.2, +0.2], n = 200"
    assert Goal("smallest", points=0.5).words == "the smallest within 0.5 points"
    assert Goal("best", speedup=4).words == "the best at 4x or faster"
