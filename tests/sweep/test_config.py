"""Sweep files: the runs of a grid in order, which fields win, and an error for every mistake before a run starts."""

import pytest
import yaml

from trainer_ext import InputError
from trainer_ext.sweep.config import (
    Job,
    baseline_fields,
    common_fields,
    is_sweep_file,
    only_groups,
    read_sweep_file,
    recipe_from,
    run_fields,
)

RECIPE = {"model_name_or_path": "scratch", "prune_method": "movement", "num_train_epochs": 8, "max_length": 64}
GRID = {
    "base": "base.yaml",
    "output_dir": "runs/grid",
    "fields": {"seed": 3},
    "scales": {"small": {"num_train_epochs": 2}},
    "axes": {
        "sparsity": {"0 %": {"prune_method": "none"}, "25 % removed": {"prune_sparsity": 0.25}},
        "teacher": {"none": {}, "KD": {"distill_teacher": "self"}},
    },
}


@pytest.fixture
def write(tmp_path):
    """`write(**changes)`: the grid with these keys changed, beside its recipe; None takes a key out."""
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(RECIPE | {"scales": {"tiny": {"max_length": 8}}}))

    def make(**changes):
        values = {key: value for key, value in (GRID | changes).items() if value is not None}
        (tmp_path / "grid.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return tmp_path / "grid.yaml"

    return make


def test_a_grid_combines_every_label_with_every_other(write):
    file = read_sweep_file(write())
    assert [job.name for job in file.jobs()] == ["0 %, none", "0 %, KD", "25 % removed, none", "25 % removed, KD"]
    last = file.jobs()[-1]
    assert last.settings == {"sparsity": "25 % removed", "teacher": "KD"}
    assert last.fields == {"prune_sparsity": 0.25, "distill_teacher": "self"}
    assert last.folder == "25-removed-kd"
    assert file.varied == {"prune_method", "prune_sparsity", "distill_teacher"}


def test_a_list_is_short_for_one_field(write):
    file = read_sweep_file(write(axes={"prune_sparsity": [0.25, 0.5]}))
    assert [(job.name, job.fields) for job in file.jobs()] == [
        ("prune_sparsity=0.25", {"prune_sparsity": 0.25}),
        ("prune_sparsity=0.5", {"prune_sparsity": 0.5}),
    ]


def test_skip_leaves_runs_out(write):
    file = read_sweep_file(write(skip=[{"sparsity": "0 %", "teacher": "none"}]))
    assert [job.name for job in file.jobs()] == ["0 %, KD", "25 % removed, none", "25 % removed, KD"]


def test_folder_names_keep_other_scripts():
    assert Job("२५ % कमी, KD").folder == "२५-कमी-kd"
    assert Job("///").folder == "run"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axis": {}}, "unknown key 'axis'; did you mean 'axes'"),
        ({"base": None}, "base is not given"),
        ({"base": "gone.yaml"}, "there is no recipe"),
        ({"axes": None}, "either axes"),
        ({"ranges": {"prune_sparsity": [0.1, 0.5]}}, "either axes"),
        ({"axes": None, "ranges": {"prune_sparsity": [0.1, 0.5]}}, "trials is 0"),
        ({"axes": None, "ranges": {"prune_sparsity": 0.5}, "trials": 2}, r"ranges.prune_sparsity is 0.5"),
        ({"axes": {"sparsity": 0.5}}, "axes.sparsity must be a list"),
        ({"axes": {"sparsity": {"a": 3}}}, "axes.sparsity must be a list"),
        ({"axes": {"x": {"A b": {}, "a-B": {}}}}, "two labels give the same folder 'a-b'"),
        ({"axes": {"x": {"best": {}, "b": {}}}}, "the folder 'best' is reserved"),
        ({"skip": [{"sparsity": "26 %"}]}, "there is no such label"),
        ({"skip": [{"teacher": "KD"}, {"teacher": "none"}]}, "skip leaves no run"),
        ({"export": ["onnx-int4"]}, "export must be a list of onnx, onnx-int8"),
        ({"fields": ["a"]}, "fields must be a mapping"),
        ({"scales": {"small": 3}}, "scales.small must be a mapping"),
        ({"groups": {"A": {}, "a": {}}}, "two labels give the same folder 'a'"),
    ],
)
def test_every_mistake_is_named(write, changes, words):
    read_sweep_file(write())  # the control: nothing is wrong without the change
    with pytest.raises(InputError, match=words):
        read_sweep_file(write(**changes))


def test_a_sweep_file_differs_from_a_recipe(write):
    assert is_sweep_file(write())
    assert not is_sweep_file(write().with_name("base.yaml"))


def test_later_fields_win(write):
    file = read_sweep_file(write(groups={"A": {"max_length": 32}, "B": {}}))
    assert common_fields(file, "B", [], None)["num_train_epochs"] == 8
    assert common_fields(file, "B", [], None)["seed"] == 3
    assert common_fields(file, "A", [], None)["max_length"] == 32
    assert common_fields(file, "A", [], "small")["num_train_epochs"] == 2
    assert common_fields(file, "A", ["--num_train_epochs", "1"], "small")["num_train_epochs"] == 1
    assert common_fields(file, "B", [], "tiny")["max_length"] == 8  # a scale of the recipe


def test_some_groups_of_a_file(write):
    file = read_sweep_file(write(groups={"A": {"max_length": 32}, "B": {}, "C": {}}))
    assert only_groups(file, []) == file
    some = only_groups(file, ["C", "A"])
    assert list(some.groups) == ["C", "A"]
    assert common_fields(some, "A", [], None)["max_length"] == 32
    with pytest.raises(InputError, match=r"grid.yaml: there is no group 'D'; it has the groups A, B, C\."):
        only_groups(file, ["A", "D"])
    for name in ("", "A"):
        with pytest.raises(InputError, match=f"no group {name!r}; it has no groups; leave --group out"):
            only_groups(read_sweep_file(write()), [name])


def test_an_unknown_scale_and_a_varied_field_are_refused(write):
    file = read_sweep_file(write())
    with pytest.raises(InputError, match="--scale huge: grid.yaml has small, tiny"):
        common_fields(file, "", [], "huge")
    with pytest.raises(InputError, match="--prune_sparsity cannot be given, because grid.yaml varies it"):
        common_fields(file, "", ["--prune_sparsity", "0.3"], None)


def test_runs_share_the_teacher_cache_and_a_run_without_compression_is_a_control(write, tmp_path):
    file = read_sweep_file(write())
    common = common_fields(file, "", [], None)
    dense, taught, _, both = (run_fields(common, job, tmp_path / "x", tmp_path / "answers") for job in file.jobs())
    assert dense["control"] is True
    assert not {"control", "distill_cache_dir"} & ({*taught, *both} - {"distill_cache_dir"})
    assert taught["distill_cache_dir"] == both["distill_cache_dir"] == str(tmp_path / "answers")
    assert recipe_from(both | {"data_dir": "d"}).training.prune_sparsity == 0.25


@pytest.mark.parametrize("name", ["prune_sparsity", "prune_speedup"])
def test_a_run_with_a_target_and_no_method_is_no_control(tmp_path, name):
    fields = run_fields({}, Job("x", fields={name: 1.5 if name == "prune_speedup" else 0.5}), tmp_path, tmp_path)
    assert "control" not in fields
    assert run_fields({}, Job("x", fields={}), tmp_path, tmp_path)["control"] is True


def test_a_baseline_is_shared_unless_the_axis_changes_its_training(write):
    file = read_sweep_file(write())
    common = common_fields(file, "", [], None)
    assert len({str(baseline_fields(common, job)) for job in file.jobs()}) == 1
    other = Job("seed 4", fields={"seed": 4, "prune_sparsity": 0.25})
    assert baseline_fields(common, other)["seed"] == 4
    assert "prune_sparsity" not in baseline_fields(common, other)
    exported = Job("z", fields={"export_formats": ["onnx"]})
    assert baseline_fields({**common, "export_formats": ["onnx"]}, exported) == baseline_fields(common, Job("y"))
    assert baseline_fields(common, Job("x", fields={"learning_rate": 1.0})) == baseline_fields(common, Job("y"))
