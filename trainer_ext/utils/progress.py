"""Progress: bars in a terminal; elsewhere, as in a log file, one line for each tenth."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID
from rich.text import Text
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

TENTHS = 10


def progress_bar(*columns: ProgressColumn, console: Console, **options: Any) -> Progress:
    """Return a progress display: bars if the console is a terminal or a notebook, else a line for each tenth.

    Args:
        *columns: of the bars; those of rich if there are none.
        console: where it is shown.
        **options: of `rich.progress.Progress`.
    """
    shows_bars = console.is_terminal or console.is_jupyter
    return (Progress if shows_bars else _Lines)(*columns, console=console, **options)


class _Lines(Progress):
    """Prints a line when a task has done another tenth. There is no live display."""

    def __init__(self, *columns: ProgressColumn, disable: bool = False, **options: Any):
        super().__init__(*columns, **{**options, "auto_refresh": False}, disable=True)
        self._silent, self._told = disable, dict[TaskID, int]()

    def stop(self) -> None:
        """Nothing was started; older releases of rich end with an empty line even so."""

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if not task.total or self._silent:
            return
        tenth = int(TENTHS * task.completed / task.total)
        if tenth > self._told.get(task_id, 0):
            self._told[task_id] = tenth
            self.console.print(
                Text(f"{task.description}: {100 * tenth // TENTHS} % ({task.completed:,.0f} of {task.total:,.0f})")
            )


class TenthsCallback(TrainerCallback):
    """Prints a line for each tenth of a training, with the last loss that was logged."""

    def __init__(self, name: str, console: Console):
        self._name, self._console, self._told, self._loss = name, console, 0, ""

    def on_train_begin(self, args, state, control, **kwargs):
        """Count from where a training starts or is resumed."""
        self._told = TENTHS * state.global_step // max(state.max_steps, 1)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Keep the last loss."""
        if logs and "loss" in logs:
            self._loss = f", loss {float(logs['loss']):.3g}"

    def on_step_end(self, args, state, control, **kwargs):
        """Print a line if another tenth of the steps is done."""
        tenth = TENTHS * state.global_step // max(state.max_steps, 1)
        if tenth > self._told and state.is_world_process_zero:
            self._told = tenth
            done = f"step {state.global_step:,} of {state.max_steps:,}"
            self._console.print(Text(f"{self._name}: {100 * tenth // TENTHS} % ({done}{self._loss})"))


def lines_instead_of_bars(trainer: Trainer, name: str, console: Console) -> None:
    """Let a trainer print a line for each tenth, where its bar would be thousands of lines in a log.

    Args:
        trainer: keeps its bar if standard error is a terminal.
        name: of the training, for the lines.
        console: where they go.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        return
    for shows_steps in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(shows_steps)
    trainer.add_callback(TenthsCallback(name, console))
