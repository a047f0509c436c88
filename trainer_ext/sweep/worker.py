"""Do the runs of a sweep, several at once, each in a process of its own, so that a crash stops nothing else.

The pool starts each run as

    python -m trainer_ext.sweep.worker JOB.json PID_OF_THE_SWEEP

The exit status of that process is 0 (finished), 1 (a check failed), 2 (bad input) or 75 (another process works on this run).
It stops within a second after the sweep has ended; the next start continues from its checkpoints.
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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..errors import Busy, CheckFailed, Diverged, ExportRefused, InputError, one_line
from ..export.formats import export
from ..pipeline.compress import compress, train_baseline, try_before_training
from ..pipeline.recipe import read_recipe
from ..pipeline.text_length import as_started
from ..report.run_directory import RunDirectory, start_run
from ..tasks.evaluate import Answers
from ..utils.files import write_bytes, write_json
from ..utils.imports import quiet
from .collect import evaluate_exports, time_variants, write_variants
from .config import Job
from .storage import VARIANTS, SweepDirectory, link_tree

CHECK_FAILED, BAD_INPUT, BUSY = 1, 2, 75  # exit statuses; 75 is EX_TEMPFAIL of sysexits.h
TRIES = 2
_STEPS = re.compile(rb"(\d+)/(\d+) \[")  # as tqdm writes them


@dataclass(frozen=True)
class ChildJob:
    """What a child process needs to know about its run."""

    root: str  # folder of the sweep or group
    folder: str  # name of the run's folder
    baseline: str  # name of the folder of its baseline below `shared/`
    export: list[str] = field(default_factory=list)  # formats to export and evaluate
    export_baseline: bool = False  # whether to do the same with the baseline, to see the effect of int8 alone
    timed: bool = False  # whether to time the exported files at once; a search decides by these times
    command: str | None = None  # the command line of the sweep, for the report


def run_job(job: ChildJob) -> None:
    """Do one run: train the baseline if it is missing, compress, export and evaluate.

    Raises:
        InputError: The recipe or its data cannot work.
        Busy: Another process works on this run, or has finished it since this one was started.
    """
    directory = SweepDirectory(Path(job.root))
    with directory.claim(job.folder):
        if directory.is_finished(Job(job.folder)):
            raise Busy(job.folder)
        console = Console(stderr=True)
        recipe, run = read_recipe(directory.recipe(job.folder)), RunDirectory(directory.root / job.folder)
        if not (directory.shared / job.baseline / "baseline").is_dir():
            try_before_training(recipe, run, console=console)  # else `compress` does, after the hours of the baseline
        baseline = _train_baseline(directory, job, console)
        recipe = as_started(recipe, baseline)
        start_run(run, recipe.resolved)
        link_tree(baseline.baseline, run.baseline)
        if baseline.vocabulary.is_dir():  # cut before the training of the baseline
            link_tree(baseline.vocabulary, run.vocabulary)
        write_bytes(run.log("baseline"), baseline.log("baseline").read_bytes())
        answers: Answers = {}
        options: dict[str, Any] = {"force": True, "console": console, "answers": answers}
        compress(recipe, resume=True, command=job.command, inference_energy=False, **options)
        variants = []
        for part in ("compressed", "baseline") if job.export_baseline else ("compressed",):
            if job.export:
                # The table shows what int8 loses; a large loss is no reason to refuse the file.
                export(run.root / part, job.export, max_drop=1.0, **options)
                variants += evaluate_exports(run, part, job.export, on_rows=lambda rows: None, answers=answers)
        if job.timed:
            variants = time_variants(run, recipe, variants, console=console)
        write_variants(run.root / VARIANTS, variants)


def _train_baseline(directory: SweepDirectory, job: ChildJob, console: Console) -> RunDirectory:
    """Return the shared baseline; train it, or wait while another process does."""
    run = RunDirectory(directory.shared / job.baseline)
    while not run.baseline.is_dir():
        try:
            with directory.claim(f"{job.baseline}.training"):
                train_baseline(read_recipe(directory.recipe(job.baseline)), run, console=console)
        except Busy:
            time.sleep(1)
    return run


def main(arguments: list[str]) -> int:
    """Do the run of a job file, print the message of an error as the last line, and return the exit status."""
    _stop_with(int(arguments[1]))
    quiet()
    try:
        run_job(ChildJob(**json.loads(Path(arguments[0]).read_text(encoding="utf-8"))))
    except Busy:
        return BUSY
    except (InputError, CheckFailed, Diverged, ExportRefused) as error:
        sys.stderr.write(f"\n{one_line(error, most=1000)}\n")
        return BAD_INPUT if isinstance(error, InputError) else CHECK_FAILED
    return 0


def _stop_with(parent: int) -> None:
    """End this process as soon as its parent has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `message` is its last line of output if it failed."""

    job: Job
    ok: bool
    message: str = ""
    seconds: float = 0.0


class JobSource(Protocol):
    """Decides which runs are done: a list, or a search that looks at results first."""

    def take(self) -> Job | None:
        """Return the next run; None if there is none now."""

    def give(self, outcome: Outcome) -> None:
        """Report that a run has ended."""

    def give_back(self, job: Job) -> None:
        """Report that another process works on this run, so that it is offered again later."""


class WorkerPool:
    """Runs the jobs of a source.

    A run that another process works on is looked at again later. A run that failed is tried once more, unless its input
    was refused.

    Args:
        directory: of the sweep.
        describe: returns what the child process of a run needs.
        console: shows progress.
        on_finished: called after each run, one at a time; returns a line about it.
        total: the largest possible number of runs.
    """

    def __init__(
        self,
        directory: SweepDirectory,
        describe: Callable[[Job], ChildJob],
        *,
        console: Console,
        on_finished: Callable[[Outcome], str],
        total: int,
    ):
        self._directory, self._describe, self._on_finished = directory, describe, on_finished
        self._children: set[subprocess.Popen] = set()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._error: Exception | None = None
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console)
        self._bar = self._progress.add_task("runs", total=total)

    def run(self, source: JobSource, *, workers: int, finished: Iterable[Job] = ()) -> None:
        """Work until the source has no more runs; an interruption ends the child processes too."""
        cores = max(1, (os.cpu_count() or 1) // workers)
        with self._progress:
            self._progress.update(self._bar, completed=len(list(finished)))
            threads = [threading.Thread(target=self._work, args=(source, cores), daemon=True) for _ in range(workers)]
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

    def _work(self, source: JobSource, cores: int) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    job = source.take()
                if job is None:
                    return
                outcome = None if self._directory.is_busy(job.folder) else self._try(job, cores)
                if outcome is None:
                    time.sleep(2)
                with self._lock:
                    if outcome is None:
                        source.give_back(job)
                        continue
                    source.give(outcome)
                    line = self._on_finished(outcome)
                    self._progress.advance(self._bar)
                    self._progress.console.print(Text(line, style="" if outcome.ok else "red"))
        except Exception as error:  # an exception in a thread would be lost; `run` raises it
            self._error = error
            self._stop.set()

    def _try(self, job: Job, cores: int) -> Outcome | None:
        """Return how a run ended, at the second attempt if need be; None if another process works on it."""
        for attempt in range(1, TRIES + 1):
            outcome, status = self._run_child(job, cores)
            if outcome is None or outcome.ok or status == BAD_INPUT or self._stop.is_set():
                break
            if attempt < TRIES:
                text = f"{job.name}: failed, trying again: {outcome.message}"
                self._progress.console.print(Text(text, style="yellow"))
        return outcome

    def _run_child(self, job: Job, cores: int) -> tuple[Outcome | None, int]:
        order = self._directory.shared / "jobs" / f"{job.folder}.json"
        log = self._directory.log(job.folder)
        write_json(order, asdict(self._describe(job)))
        log.parent.mkdir(parents=True, exist_ok=True)
        start, bar = time.monotonic(), self._progress.add_task(job.name, total=None)
        with log.open("ab") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", "trainer_ext.sweep.worker", str(order), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=_environment(cores),
            )
            self._children.add(child)
            while child.poll() is None:
                time.sleep(0.2)
                self._show_steps(bar, log)
            self._children.discard(child)
        self._progress.remove_task(bar)
        status = child.returncode
        if status == BUSY:
            return None, status
        ok = status == 0 and self._directory.is_finished(job)
        return Outcome(job, ok, "" if ok else _why_failed(status, log), time.monotonic() - start), status

    def _show_steps(self, bar: TaskID, log: Path) -> None:
        """Show the progress bar of the training, as the log has it."""
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 400))
            steps = _STEPS.findall(file.read())
        if steps:
            done, total = map(int, steps[-1])
            self._progress.update(bar, total=total, completed=done)


def _environment(cores: int) -> dict[str, str]:
    """Return the environment of a child: this package can be imported, and threads are limited unless the user set them."""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"OMP_NUM_THREADS": str(cores), **os.environ, "PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"}


def _why_failed(status: int, log: Path) -> str:
    """Return the signal that ended a child (often it needed too much memory), or the last line of its output."""
    if status < 0:
        return f"killed by signal {-status} ({signal.strsignal(-status)}); see {log.name}"
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    last = next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
    return last or f"ended with exit status {status}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
