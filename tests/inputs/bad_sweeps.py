"""Bad sweep files: they name something that is missing, vary something that cannot vary, or have a wrong shape."""

from __future__ import annotations

from tests.inputs.ground import Bad

SWEEPS = {
    "no file": Bad(lambda g: ["sweep", g.root / "none.yaml"], ("none.yaml",)),
    "a recipe": Bad(lambda g: ["sweep", g.recipe()[1]], ("recipe.yaml is a recipe",)),
    "a goal for a sweep file": Bad(lambda g: [*g.sweep(), "--best-at", 2], ("sweep.yaml is a sweep file",)),
    "unknown key": Bad(lambda g: g.sweep(axis={}), ("'axis'", "did you mean 'axes'")),
    "base is a number": Bad(lambda g: g.sweep(base=5), ("base", "5")),
    "base is not there": Bad(lambda g: g.sweep(base="../gone.yaml"), ("../gone.yaml",)),
    "base is no recipe": Bad(lambda g: [g.sweep()[0], _base(g, "[1, 2]")], ("recipe.yaml", "list")),
    "base is a bomb": Bad(lambda g: [g.sweep()[0], _base(g, "a: &a [*a]")], ("recipe.yaml", "aliases")),
    "output is a number": Bad(lambda g: g.sweep(output_dir=5), ("output_dir", "5")),
    "output is a list": Bad(lambda g: g.sweep(output_dir=["a"]), ("output_dir", "['a']")),
    "output is a file": Bad(lambda g: g.sweep(output_dir=str(g.file("taken", "x"))), ("taken",)),
    "no axes": Bad(lambda g: g.sweep(axes=None), ("either axes",)),
    "axes are a list": Bad(lambda g: g.sweep(axes=["a"]), ("axes", "['a']")),
    "an axis of nothing": Bad(lambda g: g.sweep(axes={"prune_sparsity": []}), ("axes.prune_sparsity", "[]")),
    "an axis that is no field": Bad(
        lambda g: g.sweep(axes={"prune_sparsty": [0.1, 0.2]}), ("prune_sparsty", "did you mean")
    ),
    "a value out of range": Bad(lambda g: g.sweep(axes={"prune_sparsity": [0.5, 1.5]}), ("prune_sparsity", "1.5")),
    "a value that is no number": Bad(
        lambda g: g.sweep(axes={"prune_sparsity": [0.5, float("nan")]}), ("prune_sparsity", "nan")
    ),
    "a label with a list": Bad(lambda g: g.sweep(axes={"x": {"a": [1]}}), ("axes.x",)),
    "labels of one folder": Bad(lambda g: g.sweep(axes={"x": {"A b": {}, "a/B": {}}}), ("'a-b'",)),
    "a label with dots": Bad(lambda g: g.sweep(axes={"x": {"../../best": {}, "b": {}}}), ("'best'",)),
    "too many runs": Bad(lambda g: g.sweep(axes={f"x{n}": {"a": {}, "b": {}, "c": {}} for n in range(20)}), ("runs",)),
    "skip is a word": Bad(lambda g: g.sweep(skip="x"), ("skip", "'x'")),
    "skip of no label": Bad(lambda g: g.sweep(skip=[{"prune_sparsity": "0.9"}]), ("skip", "0.9")),
    "ranges and axes": Bad(lambda g: g.sweep(ranges={"seed": [1, 2]}, trials=2), ("either axes",)),
    "ranges backwards": Bad(
        lambda g: g.sweep(axes=None, ranges={"prune_sparsity": [0.8, 0.2]}, trials=2), ("prune_sparsity", "0.8")
    ),
    "range nan": Bad(
        lambda g: g.sweep(axes=None, ranges={"prune_sparsity": [0.1, float("nan")]}, trials=2),
        ("prune_sparsity", "nan"),
    ),
    "range inf": Bad(
        lambda g: g.sweep(axes=None, ranges={"learning_rate": [0.1, float("inf")]}, trials=2), ("learning_rate", "inf")
    ),
    "range outside": Bad(
        lambda g: g.sweep(axes=None, ranges={"prune_sparsity": [0.1, 2.0]}, trials=2), ("prune_sparsity", "2.0")
    ),
    "range no field": Bad(
        lambda g: g.sweep(axes=None, ranges={"prune_sparsty": [0.1, 0.2]}, trials=2), ("prune_sparsty",)
    ),
    "one choice": Bad(lambda g: g.sweep(axes=None, ranges={"seed": [1]}, trials=2), ("ranges.seed", "[1]")),
    "no trials": Bad(lambda g: g.sweep(axes=None, ranges={"seed": [1, 2]}), ("trials", "0")),
    "trials true": Bad(lambda g: g.sweep(axes=None, ranges={"seed": [1, 2]}, trials=True), ("trials", "True")),
    "trials negative": Bad(lambda g: g.sweep(axes=None, ranges={"seed": [1, 2]}, trials=-3), ("trials", "-3")),
    "export": Bad(lambda g: g.sweep(export=["onnx-int4"]), ("onnx-int4",)),
    "export of lists": Bad(lambda g: g.sweep(export=[["onnx"]]), ("export", "[['onnx']]")),
    "fields list": Bad(lambda g: g.sweep(fields=["a"]), ("fields", "['a']")),
    "field unknown": Bad(lambda g: g.sweep(fields={"prune_methd": "movement"}), ("prune_methd", "did you mean")),
    "scales": Bad(lambda g: g.sweep(scales={"small": 3}), ("scales.small", "3")),
    "no such scale": Bad(lambda g: [*g.sweep(scales={"small": {}}), "--scale", "huge"], ("huge", "small")),
    "groups of one folder": Bad(lambda g: g.sweep(groups={"A": {}, "a": {}}), ("'a'",)),
    "group with missing data": Bad(lambda g: g.sweep(groups={"A": {"test_file": "gone.csv"}, "B": {}}), ("gone.csv",)),
    "group number": Bad(lambda g: g.sweep(groups={"A": 3}), ("groups.A", "3")),
    "a field that varies": Bad(lambda g: [*g.sweep(), "--prune_sparsity", 0.3], ("--prune_sparsity",)),
    "bad data": Bad(lambda g: [*g.sweep(), "--data_dir", g.root / "nowhere"], ("nowhere",)),
    "goal no data": Bad(
        lambda g: ["sweep", g.recipe(data_dir=str(g.root / "nowhere"))[1], "--best-at", 2], ("nowhere",)
    ),
    "goal holdout": Bad(lambda g: ["sweep", g.recipe(holdout_share=0.9)[1], "--best-at", 2], ("holdout_share", "0.9")),
}


def _base(ground, text):
    """Return the sweep file, with another recipe as its base."""
    file = ground.sweep()[1]
    ground.file("recipe.yaml", text)
    return file
