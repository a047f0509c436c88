"""Sweep study: Optuna's record of a sweep, and of a search what to try next.

Of a grid the runs are known; each becomes a trial when it has ended. Of ranges Optuna's TPE sampler says what to try,
with two aims: quality and speed-up. A trial that was running when its process was killed is taken up again: its number
names its folder, so that the run continues where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import InputError, one_line
from .extras import need
from .sweep_file import Job, SweepFile, is_range
from .sweep_place import SweepPlace
from .sweep_workers import Outcome

EXTRA = "sweep"
AIMS = ("quality", "speedup")


def open_study(place: SweepPlace, storage: str | None, *, name: str = "sweep", seed: int = 0):
    """The study of a sweep, made where it is new.

    Args:
        place: whose journal is the storage by default.
        storage: URL of a database that several machines may share, such as `postgresql://...`.
        name: of the study in that storage.
        seed: of the sampler.

    Raises:
        InputError: optuna is not installed, or the storage cannot be opened.
    """
    optuna = need("optuna", extra=EXTRA)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if storage is None:
            from optuna.storages.journal import JournalFileBackend

            storage = optuna.storages.JournalStorage(JournalFileBackend(str(place.journal)))
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)
        return optuna.create_study(
            storage=storage, study_name=name, sampler=sampler, directions=["maximize"] * len(AIMS), load_if_exists=True
        )
    except Exception as error:  # SQLAlchemy's, the file system's and Optuna's own have no common base
        raise InputError(
            f"--storage {storage}: Optuna cannot open it ({one_line(error)}); give a URL like sqlite:///study.db, or "
            "leave it out for a file in output_dir."
        ) from error


class GridSource:
    """The runs of a grid, in order; those that are finished are not given again."""

    def __init__(self, jobs: Iterable[Job], place: SweepPlace, study):
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
    """Runs that the sampler chooses, until there are as many as asked for."""

    def __init__(self, file: SweepFile, place: SweepPlace, study):
        import optuna

        self._place, self._study, self._most = place, study, file.trials
        self._distributions = {name: _distribution(ends, optuna) for name, ends in file.ranges.items()}
        self._numbers: dict[str, int] = {}
        running = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
        self._again = [self._job(trial.number, trial.params) for trial in running]

    def take(self) -> Job | None:
        """A trial that a dead process left, or a new one."""
        if self._again:
            return self._again.pop(0)
        if len(self._study.get_trials(deepcopy=False)) >= self._most:
            return None
        trial = self._study.ask(self._distributions)
        return self._job(trial.number, trial.params)

    def give(self, outcome: Outcome) -> None:
        """The sampler is told."""
        import optuna

        number = self._numbers[outcome.job.folder]
        if outcome.ok:
            self._study.tell(number, _values(self._place, outcome.job), skip_if_finished=True)
        else:
            self._study.tell(number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)

    def give_back(self, job: Job) -> None:
        """Another process works on it, and will tell the sampler."""

    def jobs(self) -> list[Job]:
        """All runs so far, in the order in which they were chosen."""
        return [self._job(trial.number, trial.params) for trial in self._study.get_trials(deepcopy=False)]

    def _job(self, number: int, params: dict[str, Any]) -> Job:
        job = range_job(number, params)
        self._numbers[job.folder] = number
        return job


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


def _values(place: SweepPlace, job: Job) -> list[float]:
    """Quality, on the rows held out to choose by where there are any, and speed-up at the last shape."""
    from .sweep_collect import judged_by

    return judged_by(place, job)
