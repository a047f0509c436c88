"""Sweep child: one run of a sweep in a process of its own, so that what fails, hangs or dies takes nothing else along.

    python -m trainer_ext.sweep.worker JOB.json PID_OF_THE_SWEEP

The exit status says how it ended: 0 finished, 1 a check failed, 2 bad input, 75 another process works on this run. A child
whose sweep is gone stops within a second, for nobody would record it: what it wrote is continued by the next start.

Sweep workers: so many runs at once, each a process of its own, until none is left.

A run that another process works on is left to it and looked at again later. What failed is tried once more, unless its
input was refused: that would fail again.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..errors import Diverged, InputError, one_line
from ..utils.files import write_json
from .config import Job
from .storage import SweepDirectory

BUSY = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True)
class ChildJob:
    """What a child is told.

    Attributes:
        root: of the sweep or group.
        folder: of the run below it.
        recipe: a YAML file with the resolved fields of the run.
        baseline: name of the folder of its baseline below `shared/`.
        baseline_recipe: a YAML file with the fields that the baseline is trained by.
        export: formats to write and judge.
        export_baseline: whether the same is done with the baseline: what int8 alone is worth.
        timed: whether exported files are timed at once, beside the baseline; a search decides by it.
        command: the command line of the sweep, for the report.
    """

    root: str
    folder: str
    recipe: str
    baseline: str
    baseline_recipe: str
    export: list[str] = field(default_factory=list)
    export_baseline: bool = False
    timed: bool = False
    command: str | None = None


def work(job: ChildJob) -> None:
    """Do one run to its end: baseline (if nobody has made it), compression, exports, judgement.

    Raises:
        InputError: something given cannot work.
        Busy: another process works on this run, or has finished it since this one was started.
    """
    from ..errors import Busy
    from .config import Job
    from .storage import SweepDirectory

    place = SweepDirectory(Path(job.root))
    with place.claim(job.folder):
        if place.is_finished(Job(job.folder)):
            raise Busy(job.folder)
        _baseline(place, job)
        _run(place, job)


def _baseline(place, job: ChildJob) -> None:
    """Train the shared baseline; who comes while another one does so waits for it."""
    from rich.console import Console

    from ..errors import Busy
    from ..pipeline.compress import train_baseline
    from ..pipeline.recipe import read_recipe
    from ..report.run_directory import RunDirectory

    run = RunDirectory(place.shared / job.baseline)
    while not run.baseline.is_dir():
        try:
            with place.claim(f"{job.baseline}.training"):
                recipe = read_recipe(job.baseline_recipe)
                train_baseline(recipe, run, console=Console(stderr=True))
        except Busy:
            time.sleep(1)


def _run(place, job: ChildJob) -> None:
    from rich.console import Console

    from ..export.formats import export
    from ..pipeline.compress import compress
    from ..pipeline.recipe import read_recipe
    from ..report.run_directory import RunDirectory, start_run
    from .collect import judge, write_variants
    from .storage import VARIANTS, link_tree

    console = Console(stderr=True)
    recipe, shared = read_recipe(job.recipe), RunDirectory(place.shared / job.baseline)
    run = RunDirectory(place.root / job.folder)
    start_run(run, recipe.resolved)
    link_tree(shared.baseline, run.baseline)
    link_tree(shared.log("baseline").parent, run.log("baseline").parent)
    compress(recipe, resume=True, command=job.command, inference_energy=False, console=console)
    parts = ["compressed", *(["baseline"] if job.export_baseline else [])]
    variants = []
    for part in parts if job.export else []:
        # Whatever int8 loses is to be seen in the table, not refused.
        export(run.root / part, job.export, max_drop=1.0, force=True, console=console)
        variants += judge(run, part, job.export, on_rows=lambda rows: None)
    if job.timed:
        from .collect import time_variants

        variants = time_variants(run, recipe, variants, console=console)
    write_variants(run.root / VARIANTS, variants)


def _leave_with_the_sweep(sweep: int) -> None:
    """End this process as soon as the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == sweep:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """Read the job, work, and say how it ended in the exit status and one last line."""
    from ..utils.logging import quiet

    _leave_with_the_sweep(int(arguments[1]))
    quiet()
    from ..errors import Busy, CheckFailed, ExportRefused

    values: dict[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        work(ChildJob(**values))
    except Busy:
        return BUSY
    except InputError as error:
        print(f"\n{one_line(error, most=1000)}", file=sys.stderr)
        return 2
    except (CheckFailed, Diverged, ExportRefused) as error:
        print(f"\n{one_line(error, most=1000)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))


TRIES = 2
REFUSED = 2  # exit status of bad input
_STEPS = re.compile(rb"(\d+)/(\d+) \[")  # as tqdm writes them


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `words` is the last line that it said, where it failed."""

    job: Job
    ok: bool
    words: str = ""
    seconds: float = 0.0


class JobSource(Protocol):
    """What is to be run: a list, or something that looks at results first."""

    def take(self) -> Job | None:
        """The next run; None where there is none now."""

    def give(self, outcome: Outcome) -> None:
        """A run has ended."""

    def give_back(self, job: Job) -> None:
        """Another process works on it."""


class Workers:
    """Runs what a source gives.

    Args:
        place: where the runs lie.
        describe: what a child is told of a run.
        console: where progress goes.
        on_finished: called after each run, one at a time; returns a line about it.
        total: how many runs there will be, at most.
    """

    def __init__(
        self,
        place: SweepDirectory,
        describe: Callable[[Job], ChildJob],
        *,
        console: Console,
        on_finished: Callable[[Outcome], str],
        total: int,
    ):
        self._place, self._describe, self._on_finished = place, describe, on_finished
        self._children: set[subprocess.Popen] = set()
        self._lock, self._stop, self._error = threading.Lock(), threading.Event(), None
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console)
        self._console, self._total = console, total

    def run(self, source: JobSource, *, workers: int, finished: Iterable[Job] = ()) -> None:
        """Work until the source has nothing left; an interruption ends the children too.

        Args:
            source: of runs.
            workers: how many at once.
            finished: runs that an earlier start finished, for the count.
        """
        done = len(list(finished))
        with self._progress:
            self._all = self._progress.add_task("runs", total=self._total, completed=done)
            threads = [
                threading.Thread(
                    target=self._work, args=(source, max(1, (os.cpu_count() or 1) // workers)), daemon=True
                )
                for _ in range(workers)
            ]
            try:
                for thread in threads:
                    thread.start()
                while any(thread.is_alive() for thread in threads):
                    time.sleep(0.2)
            finally:
                self._stop.set()
                for child in list(self._children):
                    child.terminate()
        if self._error is not None:
            raise self._error

    def _work(self, source: JobSource, threads: int) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    job = source.take()
                if job is None:
                    return
                if self._place.is_busy(job.folder):
                    outcome = None
                else:
                    outcome = self._tried(job, threads)
                if outcome is None:
                    time.sleep(2)
                with self._lock:
                    if outcome is None:
                        source.give_back(job)
                        continue
                    source.give(outcome)
                    line = self._on_finished(outcome)
                    self._progress.advance(self._all)
                    self._progress.console.print(Text(line, style="" if outcome.ok else "red"))
        except Exception as error:  # a thread's own would be lost: the one that waits raises it
            self._error = error
            self._stop.set()

    def _tried(self, job: Job, threads: int) -> Outcome | None:
        for attempt in range(TRIES):
            outcome, status = self._once(job, threads)
            if outcome is None or outcome.ok or status == REFUSED or self._stop.is_set():
                return outcome
            if attempt + 1 < TRIES:
                self._progress.console.print(Text(f"{job.name}: failed, tried again: {outcome.words}", style="yellow"))
        return outcome

    def _once(self, job: Job, threads: int) -> tuple[Outcome | None, int]:
        """One process; None where another one works on the run."""
        order, log = self._place.shared / "jobs" / f"{job.folder}.json", self._place.log(job.folder)
        write_json(order, asdict(self._describe(job)))
        log.parent.mkdir(parents=True, exist_ok=True)
        start, bar = time.monotonic(), self._progress.add_task(job.name, total=None)
        with log.open("ab") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", "trainer_ext.sweep.worker", str(order), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=_environment(threads),
            )
            self._children.add(child)
            while child.poll() is None:
                time.sleep(0.2)
                self._show_steps(bar, job.name, log)
            self._children.discard(child)
        self._progress.remove_task(bar)
        if child.returncode == BUSY:
            return None, BUSY
        ok = child.returncode == 0 and self._place.is_finished(job)
        words = "" if ok else _why(child.returncode, log)
        return Outcome(job, ok, words, time.monotonic() - start), child.returncode

    def _show_steps(self, bar, name: str, log: Path) -> None:
        """What the bar of the training in the log says."""
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 400))
            steps = _STEPS.findall(file.read())
        if steps:
            done, total = map(int, steps[-1])
            self._progress.update(bar, total=total, completed=done)


def _environment(threads: int) -> dict[str, str]:
    """As it is, with this package's place and so many threads, where nobody has said how many."""
    places = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"OMP_NUM_THREADS": str(threads), **os.environ, "PYTHONPATH": places, "TOKENIZERS_PARALLELISM": "false"}


def _why(status: int, log: Path) -> str:
    """What ended a child: the signal, which is often want of memory, or the last line that it said."""
    if status < 0:
        return f"killed by signal {-status} ({signal.strsignal(-status)}); {log.name} has what it said before"
    return _last_words(log) or f"ended with exit status {status}"


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
