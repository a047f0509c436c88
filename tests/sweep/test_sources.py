"""What the runs of a sweep read: other data or another model of the same name is another sweep, and a model that cannot be
opened is refused before any run starts."""

import json
import shutil
from io import StringIO

import pytest
from rich.console import Console

from tests.helpers.commands import FRAMES, TOPICS, recipe_fields, write_classifier, write_recipe, write_task
from trainer_ext import InputError
from trainer_ext.sweep.config import read_sweep_file
from trainer_ext.sweep.group import Group
from trainer_ext.sweep.runner import sweep
from trainer_ext.sweep.sources import Sources
from trainer_ext.sweep.storage import DEFINITION, SOURCES

TEXTS = [frame.format(word) for words in TOPICS.values() for word in words for frame in FRAMES]


@pytest.fixture
def group(tmp_path):
    """`group(*words, **axes)`: the group of a sweep with these axes; two runs that differ in sparsity if there are none."""
    write_task(tmp_path / "x/data")
    write_recipe(tmp_path / "base.yaml", recipe_fields(tmp_path / "x/data", tmp_path / "out"))

    def make(*words, **axes):
        axes = axes or {"prune_sparsity": [0.25, 0.5]}
        sweep = {"base": "base.yaml", "output_dir": str(tmp_path / "out"), "axes": axes}
        (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
        file = read_sweep_file(tmp_path / "sweep.yaml")
        return Group(file, "", [str(word) for word in words], None, None, Console(file=StringIO()))

    return make


@pytest.fixture
def model(tmp_path):
    """A fine-tuned classifier, the folder `a/best`."""
    return write_classifier(tmp_path / "a/best", TEXTS)


def test_other_data_of_the_same_name_is_another_sweep(group, tmp_path):
    same = shutil.copytree(tmp_path / "x/data", tmp_path / "moved/data")
    other = shutil.copytree(tmp_path / "x/data", tmp_path / "y/data")
    (other / "test.csv").write_text((other / "test.csv").read_text().replace("fruit", "metal", 1))
    first = group()
    name = first.study_name
    first.begin()
    assert name == group("--data_dir", other).study_name, "the study is named after what may be published"
    group("--data_dir", same).begin()
    with pytest.raises(InputError, match=r"holds another sweep \(data_dir differs\)"):
        group("--data_dir", other).begin()
    shutil.copy(other / "test.csv", tmp_path / "x/data")
    with pytest.raises(InputError, match=r"holds another sweep \(data_dir differs\)"):
        group().begin()


def test_another_model_of_the_same_name_is_another_sweep(group, tmp_path, model):
    words = ["--baseline_epochs", "1", "--model_name_or_path"]
    group(*words, model).begin()
    group(*words, shutil.copytree(model, tmp_path / "moved/best")).begin()
    other = shutil.copytree(model, tmp_path / "b/best")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match=r"holds another sweep \(model_name_or_path differs\)"):
        group(*words, other).begin()


def test_an_older_folder_without_digests_is_continued_and_gets_them(group, tmp_path):
    before = group()
    before.begin()
    file = before.directory.shared / DEFINITION
    older = json.loads(file.read_text())
    digests = older.pop(SOURCES)
    assert digests["prune_sparsity=0.25"].keys() >= {"data_dir", "model_name_or_path"}
    file.write_text(json.dumps(older))
    group().begin()
    assert json.loads(file.read_text())[SOURCES] == digests


def test_a_name_of_the_hub_stands_for_itself(group, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = group().recipe
    before = Sources().of(recipe)
    (tmp_path / "scratch").mkdir()
    assert Sources().of(recipe) == before, "no folder is meant"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model_name_or_path": "./mistyped"}, r"--model_name_or_path \./mistyped: there is no such folder"),
        ({"distill_teacher": "./gone"}, r"distill_teacher \./gone: there is no such folder"),
        ({"model_name_or_path": "./untold"}, r"The tokenizer of \./untold|There is no tokenizer with \./untold"),
    ],
)
def test_a_model_of_one_axis_that_cannot_be_opened_is_refused_before_any_run(
    group, tmp_path, monkeypatch, model, fields, told
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "untold").mkdir()
    shutil.copy(model / "config.json", tmp_path / "untold")
    group(x={"good": {"prune_sparsity": 0.5}, "KD": {"distill_teacher": str(model)}}).check_models()
    file = group(x={"good": {"prune_sparsity": 0.5}, "bad": {"prune_sparsity": 0.5, **fields}}).file
    with pytest.raises(InputError, match=told):
        sweep(file, console=Console(file=StringIO()))
    assert not (tmp_path / "out").exists(), "nothing is made"
