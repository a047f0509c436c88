"""Progress: bars in a terminal, and in a log one line for each tenth."""

import io
from types import SimpleNamespace

from rich.console import Console
from rich.progress import Progress
from transformers import PrinterCallback, ProgressCallback

from trainer_ext.utils.progress import TenthsCallback, lines_instead_of_bars, progress_bar


def written(steps, *, terminal=False, **options):
    """What a task of so many steps writes."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with progress_bar(console=console, **options) as progress:
        task = progress.add_task("answers", total=steps)
        for _ in range(steps):
            progress.advance(task)
    return console.file.getvalue()


def test_a_log_gets_a_line_for_each_tenth():
    lines = written(5000).splitlines()
    assert len(lines) == 10
    assert (lines[0], lines[-1]) == ("answers: 10 % (500 of 5,000)", "answers: 100 % (5,000 of 5,000)")
    assert written(3).splitlines() == ["answers: 30 % (1 of 3)", "answers: 60 % (2 of 3)", "answers: 100 % (3 of 3)"]
    assert written(100, disable=True) == ""


def test_a_terminal_gets_a_bar():
    assert "\x1b[" in written(50, terminal=True)
    assert type(progress_bar(console=Console(force_terminal=True))) is Progress


def test_a_total_that_is_known_later_and_a_tracked_sequence_count_too():
    console = Console(file=io.StringIO(), width=80)
    with progress_bar(console=console) as progress:
        task = progress.add_task("table", total=None)
        progress.update(task, completed=1, total=2)
        assert list(progress.track(range(4), description="memory")) == [0, 1, 2, 3]
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "table: 50 % (1 of 2)"
    assert lines[-1] == "memory: 100 % (4 of 4)"


def test_a_training_says_each_tenth_with_its_loss():
    console = Console(file=io.StringIO(), width=80)
    callback, state = TenthsCallback("baseline", console), SimpleNamespace(max_steps=1000, is_world_process_zero=True)
    state.global_step = 250  # resumed
    callback.on_train_begin(None, state, None)
    callback.on_log(None, state, None, logs={"loss": "0.5"})
    for state.global_step in range(251, 1001):  # noqa: B020
        callback.on_step_end(None, state, None)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 8
    assert lines[0] == "baseline: 30 % (step 300 of 1,000, loss 0.5)"


def test_a_trainer_without_a_terminal_has_lines_and_no_bar(monkeypatch):
    class Recorder:
        def __init__(self):
            self.removed, self.added = [], []

        def remove_callback(self, kind):
            self.removed.append(kind)

        def add_callback(self, callback):
            self.added.append(type(callback))

    for terminal, removed in ((True, []), (False, [ProgressCallback, PrinterCallback])):
        monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda terminal=terminal: terminal))
        trainer = Recorder()
        lines_instead_of_bars(trainer, "baseline", Console(quiet=True))
        assert (trainer.removed, trainer.added) == (removed, [] if terminal else [TenthsCallback])
