"""Record a sweep in an Optuna study, and let Optuna choose the runs of a search over ranges.

The runs of a grid are known; each becomes a trial when it has ended. Over ranges, Optuna's TPE sampler chooses the fields of
the next run, with two objectives: quality and speed-up (Bergstra et al., "Algorithms for Hyper-Parameter Optimization",
2011). A trial whose process was killed is continued: its number is the name of its folder.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InputError, one_line
from ..utils.imports import require
from .collect import objectives
from .config import Job, SweepFile, is_range, is_whole
from .storage import SweepDirectory
from .worker import Outcome

if TYPE_CHECKING:
    import optuna

EXTRA = "sweep"
TRIES = 5  # to open a new database: if two processes create its tables at once, one of them fails


def open_study(directory: SweepDirectory, storage: str | None, *, name: str = "sweep", seed: int = 0) -> optuna.Study:
    """Open the study of a sweep; create it if it is new.

    The storage is the URL of a database that several machines may share, such as `postgresql://...`, or by default the
    journal file of the directory.

    Raises:
        InputError: Optuna is not installed, or the storage cannot be opened.
    """
    require("optuna", extra=EXTRA)
    import optuna
    from sqlalchemy.exc import DBAPIError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    attempt = 0
    while True:
        attempt += 1
        try:
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                # Optuna 5 has another name for constant_liar.
                sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)
            return optuna.create_study(
                storage=_journal(directory) if storage is None else storage,
                study_name=name,
                sampler=sampler,
                directions=["maximize", "maximize"],
                load_if_exists=True,
            )
        except Exception as error:  # SQLAlchemy's, the file system's and Optuna's own have no common base class
            if attempt == TRIES or not isinstance(error, DBAPIError):
                raise InputError(
                    f"--storage {storage or directory.journal}: Optuna cannot open it ({one_line(error)}); give a URL "
                    "like sqlite:///study.db, or leave it out for a file in output_dir."
                ) from error
            time.sleep(0.3)


def _journal(directory: SweepDirectory) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(directory.journal)))


class GridSource:
    """The runs of a grid, in order, without those that are finished."""

    def __init__(self, jobs: Iterable[Job], directory: SweepDirectory, study: optuna.Study):
        self._directory, self._study = directory, study
        self._waiting = list(jobs)

    def take(self) -> Job | None:
        """Return the next run that is not finished."""
        while self._waiting:
            job = self._waiting.pop(0)
            if not self._directory.is_finished(job):
                return job
        return None

    def give(self, outcome: Outcome) -> None:
        """Record a run in the study."""
        from optuna.trial import TrialState, create_trial

        job = outcome.job
        about = {"run": job.name, "seconds": round(outcome.seconds, 1), **job.settings}
        if outcome.ok:
            trial = create_trial(values=objectives(self._directory, job), user_attrs=about)
        else:
            trial = create_trial(state=TrialState.FAIL, user_attrs=about | {"failed": outcome.message})
        self._study.add_trial(trial)

    def give_back(self, job: Job) -> None:
        """Look at a run again after all others."""
        self._waiting.append(job)


class RangeSource:
    """Runs that the sampler chooses, until there are enough and all of them have ended.

    A run that another sweep on this folder works on is waited for, and continued if that sweep was killed.
    """

    def __init__(self, file: SweepFile, directory: SweepDirectory, study: optuna.Study):
        self._directory, self._study, self._trials = directory, study, file.trials
        self._distributions = {name: _distribution(name, choices) for name, choices in file.ranges.items()}
        for trial in study.get_trials(deepcopy=False):  # a search goes on as it was begun, by an older version too
            self._distributions |= trial.distributions
        self._ours: set[int] = set()  # trials that a worker of this sweep does

    def take(self) -> Job | None:
        """Return a new trial; else one that a killed sweep has left; else one that another sweep works on."""
        with self._directory.search_lock():
            if len(self._study.get_trials(deepcopy=False)) < self._trials:
                trial = self._study.ask(self._distributions)
                job = range_job(trial.number, trial.params)
            elif (left := self._next_running()) is not None:
                job = left
            else:
                return None
        self._ours.add(_number(job))
        return job

    def give(self, outcome: Outcome) -> None:
        """Tell the sampler the result of a run."""
        with self._directory.search_lock():
            self._tell(outcome.job, ok=outcome.ok)
        self._ours.discard(_number(outcome.job))

    def give_back(self, job: Job) -> None:
        """Leave a run to the process that works on it; look at it again when nothing else is left."""
        self._ours.discard(_number(job))

    def jobs(self) -> list[Job]:
        """Return all runs so far, in the order in which they were chosen."""
        return [range_job(trial.number, trial.params) for trial in self._study.get_trials(deepcopy=False)]

    def _next_running(self) -> Job | None:
        """Return a running trial that no worker of this sweep does, if possible one that nobody works on."""
        from optuna.trial import TrialState

        waiting = []
        for trial in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            job = range_job(trial.number, trial.params)
            if trial.number in self._ours:
                continue
            if self._directory.is_finished(job):  # it ended, but its process was killed before it told the sampler
                self._tell(job, ok=True)
            else:
                waiting.append((self._directory.is_busy(job.folder), trial.number, job))
        return min(waiting)[2] if waiting else None

    def _tell(self, job: Job, *, ok: bool) -> None:
        from optuna.trial import TrialState

        if ok:
            self._study.tell(_number(job), objectives(self._directory, job), skip_if_finished=True)
        else:
            self._study.tell(_number(job), state=TrialState.FAIL, skip_if_finished=True)


def range_job(number: int, params: dict[str, Any]) -> Job:
    """Return the run of a trial; the number in its name makes it unique."""
    short = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in params.items()}
    return Job(f"trial {number}", short, dict(params))


def _number(job: Job) -> int:
    return int(job.name.rpartition(" ")[2])


def _distribution(name: str, choices: list) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not is_range(name, choices):
        return CategoricalDistribution(choices)
    low, high = choices
    return IntDistribution(int(low), int(high)) if is_whole(name) else FloatDistribution(float(low), float(high))
