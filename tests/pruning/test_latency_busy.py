"""A latency table that other work disturbed: said, refused where that is asked for, and measured again when it is quiet."""

import json

import pytest

from tests.helpers.training import arguments, new_model
from tests.pruning.test_latency_table import SPEED
from trainer_ext.benchmark.busy import Watch
from trainer_ext.pruning import latency_table, prepare
from trainer_ext.pruning.prepare import TABLE_NAME, prepare_model

FIELDS = {**SPEED, "prune_method": "obs", "prune_speedup": 1.05}


@pytest.fixture
def disturb(monkeypatch):
    """`disturb(True)`: from now on every timing finds the machine busy; pauses take no time. Returns the tables measured."""
    measured = []

    def counted(shapes, place, rounds, on_step, watch=None):
        """The times of an ideal machine, so that the speed-up is in reach however busy this one is."""
        measured.append(rounds)
        shares = {name: name.partition(" ")[2] for name in shapes}
        return {
            name: 1.0 + (4 * float(share) + 5 if share else 9 * (name != "empty")) for name, share in shares.items()
        }

    monkeypatch.setattr(latency_table, "_median_ms", counted)
    monkeypatch.setattr("trainer_ext.benchmark.busy.pause", lambda seconds: None)

    def set_to(busy):
        monkeypatch.setattr(Watch, "is_busy", busy)
        return measured

    return set_to


def table_of(folder):
    return json.loads((folder / TABLE_NAME).read_text())


def test_a_busy_machine_is_said_and_the_run_goes_on(disturb, tmp_path, caplog):
    measured = disturb(True)
    model = prepare_model(new_model(), arguments(tmp_path, **FIELDS))
    assert len(measured) == 2, "it is repeated once"
    assert table_of(tmp_path)["busy"]
    assert model.config.pruning["latency"]["busy"]
    assert prepare.BUSY in caplog.text
    assert "give a sparsity instead" in caplog.text
    caplog.clear()
    prepare_model(new_model(), arguments(tmp_path, **FIELDS))
    assert (len(measured), prepare.BUSY in caplog.text) == (2, True), "the kept table is used, and it is said again"


def test_where_it_is_refused_the_line_has_the_ways_out_and_a_quiet_machine_is_timed_anew(disturb, tmp_path, caplog):
    measured, refuse = disturb(True), arguments(tmp_path, **FIELDS, prune_latency_busy="refuse")
    for _ in range(2):  # also the table that was kept
        with pytest.raises(ValueError, match=r"prune_sparsity=0\.5.*--force"):
            prepare_model(new_model(), refuse)
    assert len(measured) == 4
    disturb(False)
    prepare_model(new_model(), refuse)
    assert len(measured) == 5
    assert "busy" not in table_of(tmp_path)
    assert caplog.text == ""


def test_a_quiet_table_has_the_fields_that_it_always_had(disturb, tmp_path):
    assert disturb(False) == []
    prepare_model(new_model(), arguments(tmp_path, **FIELDS))
    assert set(table_of(tmp_path)) == {"table", "dense_ms"}
