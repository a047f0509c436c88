"""Sweep study: Optuna's record of a sweep, and of a search what to try next.

Of a grid the runs are known; each becomes a trial when it has ended. Of ranges Optuna's TPE sampler says what to try,
with two aims: quality and speed-up. A trial that was running when its process was killed is taken up again: its number
names its folder, so that the run continues where it was.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from typing import Any

from ..errors import InputError, one_line
from ..utils.imports import require
from .config import Job, SweepFile, is_range
from .storage import SweepDirectory
from .worker import Outcome

EXTRA = "sweep"
AIMS = ("quality", "speedup")
OPENINGS = 5  # of two that make the tables of a new database at once, one fails and has to try again


def open_study(place: SweepDirectory, storage: str | None, *, name: str = "sweep", seed: int = 0):
    """The study of a sweep, made where it is new.

    Args:
        place: whose journal is the storage by default.
        storage: URL of a database that several machines may share, such as `postgresql://...`.
        name: of the study in that storage.
        seed: of the sampler.

    Raises:
        InputError: optuna is not installed, or the storage cannot be opened.
    """
    optuna = require("optuna", extra=EXTRA)
    from sqlalchemy.exc import DBAPIError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for attempt in range(1, OPENINGS + 1):
        try:
            if storage is None:
                from optuna.storages.journal import JournalFileBackend

                storage = optuna.storages.JournalStorage(JournalFileBackend(str(place.journal)))
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                # What constant_liar was called before Optuna 5.
                sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)
            return optuna.create_study(
                storage=storage,
                study_name=name,
                sampler=sampler,
                directions=["maximize"] * len(AIMS),
                load_if_exists=True,
            )
        except Exception as error:  # SQLAlchemy's, the file system's and Optuna's own have no common base
            if attempt < OPENINGS and isinstance(error, DBAPIError):
                time.sleep(0.3)
                continue
            raise InputError(
                f"--storage {storage}: Optuna cannot open it ({one_line(error)}); give a URL like sqlite:///study.db, "
                "or leave it out for a file in output_dir."
            ) from error


class GridSource:
    """The runs of a grid, in order; those that are finished are not given again."""

    def __init__(self, jobs: Iterable[Job], place: SweepDirectory, study):
        self._place, self._study = place, study
        self._waiting = list(jobs)

    def take(self) -> Job | None:
        """The next one that is not finished."""
        while self._waiting:
            job = self._waiting.pop(0)
            if not self._place.is_finished(job):
                return job
        return None

    def give(self, outcome: Outcome) -> None:
        """Written into the study."""
        import optuna

        about = _attributes(outcome)
        if outcome.ok:
            trial = optuna.trial.create_trial(values=_values(self._place, outcome.job), user_attrs=about)
        else:
            trial = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=about)
        self._study.add_trial(trial)

    def give_back(self, job: Job) -> None:
        """Looked at again when the others are through."""
        self._waiting.append(job)


class RangeSource:
    """Runs that the sampler chooses, until there are as many as asked for and all of them have ended.

    Whatever another sweep on this folder works on is waited for, and taken over where that one is gone.
    """

    def __init__(self, file: SweepFile, place: SweepDirectory, study):
        import optuna

        self._place, self._study, self._most = place, study, file.trials
        self._distributions = {name: _distribution(ends, optuna) for name, ends in file.ranges.items()}
        self._running = optuna.trial.TrialState.RUNNING
        self._ours: set[int] = set()  # what a worker of this sweep has

    def take(self) -> Job | None:
        """A new trial; then one that a dead process left; then, to be waited for, one that another sweep works on."""
        with self._place.asking():
            trial = self._study.ask(self._distributions) if self._is_more_wanted() else self._next_running()
        if trial is None:
            return None
        self._ours.add(trial.number)
        return range_job(trial.number, trial.params)

    def give(self, outcome: Outcome) -> None:
        """The sampler is told."""
        number = self._number(outcome.job)
        with self._place.asking():
            self._tell(number, outcome.job if outcome.ok else None)
        self._ours.discard(number)

    def give_back(self, job: Job) -> None:
        """Another process works on it, and will tell the sampler; looked at again when nothing else is left."""
        self._ours.discard(self._number(job))

    def _is_more_wanted(self) -> bool:
        return len(self._study.get_trials(deepcopy=False)) < self._most

    def _next_running(self):
        """Of the trials that no worker of this sweep has, one that nobody works on, else one that somebody does."""
        waiting = []
        for trial in self._study.get_trials(deepcopy=False, states=[self._running]):
            job = range_job(trial.number, trial.params)
            if trial.number in self._ours:
                continue
            if self._place.is_finished(job):  # the process that ran it did not come to tell
                self._tell(trial.number, job)
            else:
                waiting.append((self._place.is_busy(job.folder), trial.number, trial))
        return min(waiting)[2] if waiting else None

    def _tell(self, number: int, job: Job | None) -> None:
        """The values of a finished run; of one that failed, only that."""
        import optuna

        if job is not None:
            self._study.tell(number, _values(self._place, job), skip_if_finished=True)
        else:
            self._study.tell(number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)

    def _number(self, job: Job) -> int:
        return int(job.name.rpartition(" ")[2])

    def jobs(self) -> list[Job]:
        """All runs so far, in the order in which they were chosen."""
        return [range_job(trial.number, trial.params) for trial in self._study.get_trials(deepcopy=False)]


def range_job(number: int, params: dict[str, Any]) -> Job:
    """The run of a trial; its number makes the name one of a kind."""
    short = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in params.items()}
    return Job(f"trial {number}", short, dict(params))


def _distribution(ends: list, optuna):
    """Two whole numbers or two numbers are a range, anything else are choices."""
    if is_range(ends):
        if all(isinstance(one, int) for one in ends):
            return optuna.distributions.IntDistribution(*ends)
        return optuna.distributions.FloatDistribution(*map(float, ends))
    return optuna.distributions.CategoricalDistribution(ends)


def _attributes(outcome: Outcome) -> dict[str, Any]:
    """What the record says of a run beside its values."""
    said = {} if outcome.ok else {"failed": outcome.words}
    return {"run": outcome.job.name, "seconds": round(outcome.seconds, 1), **outcome.job.settings, **said}


def _values(place: SweepDirectory, job: Job) -> list[float]:
    """Quality, on the rows held out to choose by where there are any, and speed-up at the last shape."""
    from .collect import judged_by

    return judged_by(place, job)
