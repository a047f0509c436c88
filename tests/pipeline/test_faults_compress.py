"""Faults in compress: killed at the end of any stage, the same command goes on, and what was finished is never touched."""

import json

import pytest

from tests.helpers.commands import assert_same_weights, recipe_fields, write_recipe
from tests.helpers.damage import bytes_of, last_line
from tests.helpers.killing import KILLED
from trainer_ext.report.run_directory import RunDirectory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # on a busy machine: eight starts and two fresh processes in one fixture
# The place, and what lies there afterwards.
PLACES = [
    ({"rename": "*/run/recipe.yaml"}, []),
    ({"open": "*/baseline/checkpoint-*/trainer_state.json", "bytes": 90, "nth": 2}, ["checkpoints/baseline"]),
    ({"rename": "*/run/baseline"}, ["logs/baseline.json", ".baseline.part/model.safetensors"]),
    ({"remove": "*/checkpoints/baseline"}, ["baseline", "checkpoints/baseline"]),
    ({"rename": "*/run/masked"}, ["baseline", "checkpoints/compressed", ".masked.part/model.safetensors"]),
    ({"call": ["pruning/shrinking.py", 12]}, ["baseline", "masked", "checkpoints/compressed"]),
    ({"rename": "*/run/compressed"}, ["masked", "logs/compressed.json", ".compressed.part/model.safetensors"]),
    ({"rename": "*/compressed/README.md"}, ["masked", "compressed", "compressed/.README.md.*.part", "checkpoints"]),
]


@pytest.fixture(scope="module")
def killed(forks, finished_run, tmp_path_factory):
    """A run that was killed at all of these places: its recipe file, its folder, and what the last start said."""
    folder = tmp_path_factory.mktemp("killed")
    fields = recipe_fields(finished_run.parent / "data", folder / "run")
    recipe, run = write_recipe(folder / "recipe.yaml", fields), RunDirectory(folder / "run")
    refused = None
    for place, there in PLACES:
        whole = [path for path in (run.baseline, run.masked, run.compressed) if path.is_dir()]
        before = {name: value for name, value in bytes_of(*whole).items() if not name.endswith(".part")}
        ended = forks.command("compress", recipe, *(["--resume"] if run.holds_run else []), die=place)
        assert ended.status in KILLED, (place, ended.errors[-2000:])
        assert [name for name in there if not any(run.root.glob(name))] == [], place
        after = bytes_of(*whole)
        assert {name: after[name] for name in before} == before, place
        if refused is None and run.holds_run:
            refused = forks.command("compress", recipe)
    return recipe, run, refused, forks.command("compress", recipe, "--resume")


def test_it_ends_with_the_same_bits(killed, finished_run):
    _, run, _, last = killed
    assert last.status == 0, last.errors[-2000:]
    assert_same_weights(finished_run, run.root)


def test_nothing_is_left_over_and_nothing_lacks(killed, finished_run):
    _, run, _, _ = killed
    ours, whole = ({str(p.relative_to(root)) for p in root.rglob("*")} for root in (run.root, finished_run))
    assert ours == whole
    ours, whole = (json.loads((root / "compression.json").read_text()) for root in (run.root, finished_run))
    assert ours["quality"] == whole["quality"]
    assert ours["sparsity"] == whole["sparsity"]


def test_without_resume_it_is_refused_in_one_line(killed):
    _, _, refused, _ = killed
    assert refused.status == 2
    assert len(refused.errors.strip().splitlines()) == 1
    assert "already holds a run; continue it with --resume" in refused.errors


def test_a_finished_one_says_so(killed, forks):
    """And checkpoints go, where it was killed before it removed them."""
    recipe, run, _, _ = killed
    before = bytes_of(run.root)
    (run.checkpoints("compressed") / "checkpoint-4").mkdir(parents=True)
    again = forks.command("compress", recipe, "--resume")
    assert (again.status, last_line(again.errors)) == (0, "")
    assert bytes_of(run.root) == before
    assert not (run.root / "checkpoints").exists()
