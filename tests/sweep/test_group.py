"""A group of a sweep: an older folder is continued when fields at their defaults are all that differs."""

import json
from io import StringIO

import pytest
from rich.console import Console

from tests.helpers.commands import recipe_fields as tiny_fields, write_recipe, write_task
from trainer_ext import InputError
from trainer_ext.pipeline.recipe import defaults_of, recipe_fields
from trainer_ext.sweep.config import baseline_fields, read_sweep_file
from trainer_ext.sweep.group import Group
from trainer_ext.sweep.search.goal import Goal
from trainer_ext.sweep.storage import DEFINITION

LISTED = ("--energy_seconds", "60", "--baseline_epochs", "0", "--max_grad_norm", "1.0")


@pytest.fixture
def group(tmp_path):
    """`group(*words)`: the group of a sweep of two runs."""
    write_task(tmp_path)
    write_recipe(tmp_path / "base.yaml", tiny_fields(tmp_path, tmp_path / "out"))
    sweep = {"base": "base.yaml", "output_dir": str(tmp_path / "out"), "axes": {"prune_sparsity": [0.25, 0.5]}}
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))

    def make(*words):
        return Group(read_sweep_file(tmp_path / "sweep.yaml"), "", words, None, None, Console(file=StringIO()))

    return make


def names(one):
    """The names of the study and of the baseline."""
    return one.study_name, one.directory.baseline(baseline_fields(one.common, one.jobs[0])).root.name


@pytest.mark.parametrize("listed_before", [True, False])
def test_an_older_folder_is_continued_whether_or_not_it_lists_defaults(group, listed_before):
    """As when a recipe of the package gains a line for a new field, or loses one."""
    before = group(*(LISTED if listed_before else ()))
    before.begin(goal=Goal("smallest", points=1.0))
    file = before.directory.shared / DEFINITION
    older = json.loads(file.read_text())
    assert ("energy_seconds" in older["common"]) == listed_before
    del older["goal"]["sure"]  # a field of the goal that the older version did not have
    file.write_text(json.dumps(older))
    now = group(*(() if listed_before else LISTED))
    now.begin(goal=Goal("smallest", points=1.0))
    assert names(now) == names(before), "so that no baseline is trained again, and the study goes on"
    assert now.common.keys() == before.common.keys()
    with pytest.raises(InputError, match=r"holds another sweep \(goal: sure differs\)"):
        group().begin(goal=Goal("smallest", points=1.0, sure=True))
    with pytest.raises(InputError, match=r"holds another sweep \(common: energy_seconds differs\)"):
        group("--energy_seconds", "90").begin(goal=Goal("smallest", points=1.0))


def test_a_sweep_is_not_mixed_with_its_model(group, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    output = ("--output_dir", str(tmp_path / "model"))
    for words, says in (
        (("--model_name_or_path", str(tmp_path / "model"), *output), "is the folder of the model .*; choose another"),
        (output, "is the folder of a model"),
        (("--distill_teacher", str(tmp_path / "model"), *output), "is the folder of the teacher"),
    ):
        with pytest.raises(InputError, match=says):
            group(*words)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"], "nothing is made"


def test_every_field_of_a_recipe_has_a_default_to_compare_with():
    found = defaults_of(recipe_fields().values())
    assert found.keys() == recipe_fields().keys()
    assert (found["latency_batch_sizes"], found["energy_seconds"], found["class_names"]) == ([1, 32], 60.0, [])
