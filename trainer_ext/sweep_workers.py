"""Sweep workers: so many runs at once, each a process of its own, until none is left.

A run that another process works on is left to it and looked at again later. What failed is tried once more, unless its
input was refused: that would fail again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from .files import write_json
from .sweep_child import BUSY, ChildJob
from .sweep_file import Job
from .sweep_place import SweepPlace

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


class Source(Protocol):
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
        place: SweepPlace,
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

    def run(self, source: Source, *, workers: int, finished: Iterable[Job] = ()) -> None:
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

    def _work(self, source: Source, threads: int) -> None:
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
                [sys.executable, "-m", "trainer_ext.sweep_child", str(order), str(os.getpid())],
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
    places = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"OMP_NUM_THREADS": str(threads), **os.environ, "PYTHONPATH": places, "TOKENIZERS_PARALLELISM": "false"}


def _why(status: int, log: Path) -> str:
    """What ended a child: the signal, which is often want of memory, or the last line that it said."""
    if status < 0:
        return f"killed by signal {-status} ({signal.strsignal(-status)}); {log.name} has what it said before"
    return _last_words(log) or f"ended with exit status {status}"


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
