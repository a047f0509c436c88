"""The best model of a sweep: the fastest that is not worse beyond noise, judged on held-out rows if there are any."""

from trainer_ext.sweep.results import BASELINE, SweepRow, choose, difference_of


def row(name, speed, difference, half=0.01, *, holdout=None, folder="x", **changes):
    held = None
    if holdout is not None:
        held = {"difference": holdout, "low": holdout - half, "high": holdout + half, "rows": 100.0}
    interval = {"difference": difference, "difference_low": difference - half, "difference_high": difference + half}
    return SweepRow(name=name, speedup={"32 x 64": speed}, folder=folder, holdout=held, **interval, **changes)


DENSE = SweepRow(name=BASELINE, value=0.8, speedup={"32 x 64": 1.0})


def test_the_fastest_within_noise_is_chosen():
    rows = [DENSE, row("a", 2.0, 0.0), row("b", 3.0, -0.009), row("c", 4.0, -0.011)]
    chosen, why = choose(rows)
    assert chosen.name == "b"
    assert "fastest at 32 x 64" in why
    assert "a little optimistic" in why


def test_held_out_rows_decide_if_there_are_any():
    rows = [DENSE, row("a", 2.0, -0.5, holdout=0.0), row("b", 3.0, 0.5, holdout=-0.5)]
    chosen, why = choose(rows)
    assert chosen.name == "a"
    assert "held out" in why
    assert difference_of(rows[2])[0] == -0.5


def test_if_all_are_worse_the_smallest_loss_is_chosen_and_named():
    chosen, why = choose([DENSE, row("a", 2.0, -0.2), row("b", 3.0, -0.1)])
    assert chosen.name == "b"
    assert why.startswith("every model is worse than the baseline beyond noise")


def test_models_that_were_not_kept_or_not_timed_are_not_chosen():
    assert choose([DENSE]) is None
    assert choose([DENSE, row("a", 2.0, 0.0, folder="")]) is None
    assert choose([DENSE, row("a", 2.0, 0.0)], shape="1 x 64") is None


def test_exported_files_can_be_chosen_and_the_shape_matters():
    slow = row("a", 2.0, 0.0)
    fast = row("a", 5.0, 0.0, runtime="openvino", precision="int8")
    assert choose([DENSE, slow, fast])[0] is fast
    assert choose([DENSE, slow, row("b", 1.5, 0.0)], shape="32 x 64")[0] is slow
