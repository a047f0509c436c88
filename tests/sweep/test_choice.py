"""The best model of a sweep: the fastest that is not worse beyond noise, judged on held-out rows if there are any."""

from dataclasses import replace

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


def compressed(name, speed, value, lost, *, ms, half=0.02, **changes):
    """A model that is `lost` below its own baseline."""
    found = row(
        name, speed, -lost, value=value, low=value - half, high=value + half, rows=500, split="test", **changes
    )
    return replace(found, median_ms={"32 x 64": ms})


SEVERAL = [
    SweepRow(name=f"{BASELINE} (good)", value=0.9, speedup={"32 x 64": 1.0}),
    SweepRow(name=f"{BASELINE} (weak)", value=0.61, speedup={"32 x 64": 1.0}),
]


def test_of_several_baselines_the_best_one_counts():
    good, weak = compressed("good", 2.0, 0.895, 0.005, ms=50.0), compressed("weak", 3.0, 0.61, 0.0, ms=20.0)
    chosen, why = choose([*SEVERAL, good, weak])
    assert chosen.name == "good"
    assert "than its own baseline or the best one" in why
    assert choose([SEVERAL[0], good, weak])[0].name == "weak", "with a single baseline nothing else counts"
    assert choose([*SEVERAL, good, weak], seeds_alone=True)[0].name == "weak"


def test_a_model_within_its_interval_of_the_best_baseline_can_be_chosen_and_milliseconds_decide():
    good, near = compressed("good", 4.0, 0.895, 0.005, ms=50.0), compressed("near", 2.0, 0.885, 0.0, ms=20.0)
    assert choose([*SEVERAL, good, near])[0].name == "near", "its own baseline is the faster one"


def test_if_all_are_worse_than_the_best_baseline_the_nearest_one_is_chosen():
    good, weak = compressed("good", 2.0, 0.8, 0.1, ms=50.0), compressed("weak", 3.0, 0.61, 0.0, ms=20.0)
    chosen, why = choose([*SEVERAL, good, weak])
    assert chosen.name == "good"
    assert why.startswith("every model is worse beyond noise than its own baseline or the best one")


def test_held_out_rows_tell_the_best_baseline_too():
    def held(name, speed, value, lost, ms):
        found = compressed(name, speed, 0.9, 0.0, ms=ms, holdout=-lost)
        return replace(found, holdout=found.holdout | {"value": value, "value_high": value + 0.02})

    good, weak = held("good", 2.0, 0.895, 0.005, 50.0), held("weak", 3.0, 0.61, 0.0, 20.0)
    assert choose([*SEVERAL, good, weak])[0].name == "good"
