"""The ranges of a search: the type of a field says whether whole numbers are meant, not how the numbers are written."""

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from trainer_ext import InputError
from trainer_ext.sweep.config import read_sweep_file
from trainer_ext.sweep.storage import SweepDirectory
from trainer_ext.sweep.study import RangeSource, open_study


@pytest.fixture
def read(tmp_path):
    """`read(**ranges)`: a sweep file with these ranges."""
    (tmp_path / "base.yaml").write_text("model_name_or_path: scratch\n")

    def make(**ranges):
        sweep = {"base": "base.yaml", "ranges": ranges, "trials": 3}
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
        return read_sweep_file(tmp_path / "sweep.yaml")

    return make


@pytest.fixture
def place(tmp_path):
    found = SweepDirectory(tmp_path / "out")
    found.shared.mkdir(parents=True)
    return found


def test_a_range_is_of_whole_numbers_only_if_the_field_is(read, place):
    file = read(distill_alpha=[0, 1], prune_layers=[0, 3], max_train_rows=[10, 2e1], bf16=[0, 1], seed=[1, 2, 3])
    source = RangeSource(file, place, open_study(place, None))
    trials = [source.take() for _ in range(3)]
    assert source._distributions == {
        "distill_alpha": FloatDistribution(0.0, 1.0),
        "prune_layers": IntDistribution(0, 3),
        "max_train_rows": IntDistribution(10, 20),
        "bf16": CategoricalDistribution([0, 1]),
        "seed": CategoricalDistribution([1, 2, 3]),
    }
    assert any(trial.fields["distill_alpha"] not in (0, 1) for trial in trials)


def test_a_search_goes_on_as_an_older_version_began_it(read, place):
    study = open_study(place, None)
    study.ask({"distill_alpha": IntDistribution(0, 1)})
    job = RangeSource(read(distill_alpha=[0, 1]), place, study).take()
    assert job.fields["distill_alpha"] in (0, 1)


@pytest.mark.parametrize("ends", [[0.5, 3], [1, 2.5]])
def test_fractions_of_a_whole_field_are_refused(read, ends):
    with pytest.raises(InputError, match=r"ranges\.prune_layers is \[.*\]; that field takes whole numbers") as told:
        read(prune_layers=ends)
    assert "\n" not in str(told.value)
