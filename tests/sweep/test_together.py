"""Several searches on one folder: together they do the right number of runs, each waits for the last runs of the others,
and runs of a killed one are finished."""

import json
import threading
from types import SimpleNamespace

import pytest

from trainer_ext.errors import Busy
from trainer_ext.sweep import study
from trainer_ext.sweep.storage import VARIANTS, SweepDirectory
from trainer_ext.sweep.study import RangeSource, open_study
from trainer_ext.sweep.worker import ChildJob, Outcome, run_job

pytestmark = pytest.mark.slow

TRIALS = 6
FILE = SimpleNamespace(ranges={"prune_sparsity": [0.2, 0.8]}, trials=TRIALS)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where a run is finished when `finish` was called; its values are made up."""
    monkeypatch.setattr(study, "objectives", lambda place, job: [0.5, 2.0])
    return SweepDirectory(tmp_path)


def finish(place, job):
    run = place.run(job)
    run.root.mkdir()
    run.report.write_text("{}")
    (run.root / VARIANTS).write_text("[]")


def source(place) -> RangeSource:
    """As another start of the same sweep has it: with a connection of its own."""
    return RangeSource(FILE, place, open_study(place, f"sqlite:///{place.root / 'study.db'}"))


def states(place) -> list[str]:
    return [trial.state.name for trial in open_study(place, f"sqlite:///{place.root / 'study.db'}").get_trials()]


def take_all(source, place, taken):
    """A worker: takes and finishes runs until there is none."""
    while (job := source.take()) is not None:
        try:
            with place.claim(job.folder):
                if place.is_finished(job):
                    raise Busy
                taken.append(job.folder)
                finish(place, job)
        except Busy:
            source.give_back(job)
        else:
            source.give(Outcome(job, ok=True))


def test_several_searches_do_each_run_once(place):
    taken = []
    sources = [source(place) for _ in range(3)]
    workers = [threading.Thread(target=take_all, args=(one, place, taken)) for one in sources]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == [f"trial-{number}" for number in range(TRIALS)]
    assert states(place) == ["COMPLETE"] * TRIALS


def test_a_search_waits_for_the_last_runs_of_another(place):
    ours, theirs = source(place), source(place)
    jobs = [theirs.take() for _ in range(TRIALS)]
    for job in jobs[1:]:
        theirs.give(Outcome(job, ok=job is not jobs[1]))
    with place.claim(jobs[0].folder):  # they work on it
        waited = ours.take()
        assert waited == jobs[0]
        ours.give_back(waited)
        assert ours.take() == jobs[0]
        ours.give_back(waited)
    finish(place, jobs[0])
    theirs.give(Outcome(jobs[0], ok=True))
    assert ours.take() is None
    assert states(place) == ["COMPLETE", "FAIL", *["COMPLETE"] * (TRIALS - 2)]


def test_runs_of_a_killed_search_are_finished_or_reported(place):
    dead = source(place)
    finished, half = dead.take(), dead.take()
    finish(place, finished)
    ours, taken = source(place), []
    take_all(ours, place, taken)
    assert sorted(taken) == sorted(
        f"trial-{number}" for number in range(TRIALS) if f"trial-{number}" != finished.folder
    )
    assert half.folder in taken
    assert states(place) == ["COMPLETE"] * TRIALS


def test_a_child_process_does_not_repeat_a_run_that_was_finished_meanwhile(place, tmp_path):
    job = SimpleNamespace(folder="run")
    finish(place, job)
    with pytest.raises(Busy):
        run_job(ChildJob(str(tmp_path), "run", baseline="none"))
    assert json.loads((tmp_path / "run" / VARIANTS).read_text()) == []


def test_several_processes_may_open_a_new_database_at_once(place):
    """Optuna creates the tables without a lock, so another thread may find them half created."""
    failed, together = [], threading.Barrier(4)

    def open_at_once():
        for attempt in range(3):
            together.wait()
            try:
                open_study(place, f"sqlite:///{place.root / f'{attempt}.db'}")
            except Exception as error:
                failed.append(error)

    workers = [threading.Thread(target=open_at_once) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failed == []
