"""Schedules: the ramp starts at 0, never falls, reaches its end exactly, and fits into the shortest run."""

import pytest

from trainer_ext.pruning.schedules import cubic_ramp, phase_steps


@pytest.mark.parametrize("max_steps", [1, 2, 3, 7, 10, 100, 688])
@pytest.mark.parametrize(("start", "end"), [(0, 1), (0.1, 0.6), (0.0, 0.001), (0.5, 0.6), (0.99, 1.0)])
def test_every_run_has_a_ramp_inside_it(max_steps, start, end):
    first, last = phase_steps(max_steps, start=start, end=end)
    assert 0 <= first < last <= max_steps
    assert isinstance(first, int)
    assert isinstance(last, int)


def test_phases_by_hand():
    assert phase_steps(1000, start=0.1, end=0.6) == (100, 600)
    assert phase_steps(10, start=0.0, end=1.0) == (0, 10)


@pytest.mark.parametrize(
    ("max_steps", "start", "end", "message"),
    [
        (0, 0.1, 0.6, "max_steps must be at least 1, got 0"),
        (10, 0.6, 0.6, "got start=0.6, end=0.6"),
        (10, 0.7, 0.6, "got start=0.7, end=0.6"),
        (10, -0.1, 0.6, "got start=-0.1"),
        (10, 0.1, 1.1, "end=1.1"),
        (10, float("nan"), 0.6, "start=nan"),
    ],
)
def test_bad_phases_are_an_error(max_steps, start, end, message):
    with pytest.raises(ValueError, match=message):
        phase_steps(max_steps, start=start, end=end)


def test_the_ramp_rises_from_zero_to_its_end():
    values = [cubic_ramp(step, first=10, last=60, final=0.8) for step in range(101)]
    assert values[:11] == [0.0] * 11
    assert values[60:] == [0.8] * 41
    assert all(later > earlier for earlier, later in zip(values[10:60], values[11:61], strict=True))
    steps = [later - earlier for earlier, later in zip(values[10:60], values[11:61], strict=True)]
    assert steps == sorted(steps, reverse=True)  # much at first, little at the end


def test_the_ramp_by_hand():
    assert cubic_ramp(5, first=0, last=10, final=0.8) == pytest.approx(0.8 * 7 / 8)
    assert cubic_ramp(1, first=0, last=4, final=0.64) == pytest.approx(0.64 - 0.27)


@pytest.mark.parametrize(("first", "last"), [(5, 5), (6, 5)])
def test_a_ramp_without_steps_is_an_error(first, last):
    with pytest.raises(ValueError, match=f"at least one step, got first={first}, last={last}"):
        cubic_ramp(5, first=first, last=last, final=0.5)
