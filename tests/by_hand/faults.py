"""Faults: the whole campaign of kills, `make faults`; the tests make a few of them. Prints a table, exits with 1 if one run
did not end as one that nothing disturbed.

Each round kills a run of every method with every teacher in every precision: a run of 20 steps, at an event of a step, both
drawn with the seed; another process resumes it. Weights, scores, optimizer, small model and log must be equal to the last
bit. It also kills `trainer-ext compress` before a change of the file system that is drawn as well, and starts it again: all
models must be equal, and nothing that was finished before may have been touched. Ctrl-C ends with the table so far.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.helpers.commands import assert_same_weights, recipe_fields, write_recipe, write_task
from tests.helpers.damage import bytes_of, unequal
from tests.helpers.killing import KILLED, Forks
from tests.trainer.test_faults_training import ALL, draw_kill, fields_of, kill_and_resume
from trainer_ext.report.run_directory import RunDirectory

COMMAND = ("compress",)


class Campaign:
    """A round kills one run of each kind and says how it ended.

    Args:
        forks: makes the processes.
        folder: an empty one.
        seed: of what is drawn.
    """

    def __init__(self, forks: Forks, folder: Path, seed: int):
        self._forks, self._folder, self._draw = forks, folder, random.Random(seed)
        self._data, self._operations = write_task(folder / "data"), 0
        self._killed = folder / "killed"

    def round(self) -> Iterator[tuple[str, str, str]]:
        """`(kind, where it was killed, outcome)` of each kind."""
        for kind, kill in (*((configuration, self._training) for configuration in ALL), (COMMAND, self._command)):
            whole = self._folder / f"whole {' '.join(kind)}"
            try:
                place, found = kill(kind, whole)
            except AssertionError as error:
                place, found = "", str(error).strip() or "failed"
            yield " ".join(kind), place, found
            shutil.rmtree(self._killed, ignore_errors=True)

    def _training(self, configuration: tuple[str, ...], whole: Path) -> tuple[str, str]:
        if not whole.exists():
            ended = self._forks.run("train", whole, fields_of(configuration, whole))
            assert ended.status == 0, ended.errors[-300:]
            for checkpoint in whole.glob("checkpoint-*"):  # result.pt has what is compared
                shutil.rmtree(checkpoint)
        event, step = kill = draw_kill(self._draw)
        kill_and_resume(self._forks, self._killed, configuration, kill)
        return f"{step} {event.removeprefix('on_')}", ", ".join(unequal(whole, self._killed)) or "equal"

    def _command(self, _, whole: Path) -> tuple[str, str]:
        if not whole.exists():
            ended = self._forks.run("count_operations", "compress", self._recipe(whole))
            assert ended.status == 0, ended.errors[-300:]
            self._operations = ended.value
        number, run = self._draw.randrange(1, self._operations + 1), RunDirectory(self._killed)
        ended = self._forks.command("compress", self._recipe(run.root), die={"operation": number})
        assert ended.status in KILLED, f"operation {number}: {ended.status}"
        finished = bytes_of(*(path for path in (run.baseline, run.masked, run.compressed) if path.is_dir()))
        ended = self._forks.command("compress", self._recipe(run.root), *(["--resume"] if run.holds_run else []))
        assert ended.status == 0, f"operation {number}: {ended.errors[-300:]}"
        assert_same_weights(whole, run.root)
        now = bytes_of(run.root)
        touched = [name for name, value in finished.items() if not name.endswith(".part") and now.get(name) != value]
        return str(number), ", ".join(touched) or "equal"

    def _recipe(self, run: Path) -> Path:
        return write_recipe(self._folder / f"{run.name}.yaml", recipe_fields(self._data, run))


def table(rows: list[tuple[str, str, str]]) -> Table:
    """One line for each kind, and one for each kill that changed something."""
    shown = Table()
    for heading in ("run", "killed at", "equal"):
        shown.add_column(heading, overflow="fold")
    for name in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == name]
        shown.add_row(
            name, ", ".join(row[1] for row in mine), f"{sum(row[2] == 'equal' for row in mine)} of {len(mine)}"
        )
        for _, place, found in mine:
            if found != "equal":
                shown.add_row(name, place, found[:300], style="red")
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows: list[tuple[str, str, str]] = []
    start, screen = time.monotonic(), Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as name, Forks() as forks, Progress(*columns, console=screen) as progress:
        bar = progress.add_task("kills", total=given.kills * (len(ALL) + 1))
        campaign = Campaign(forks, Path(name), given.seed)
        try:
            for number in range(1, given.kills + 1):
                for row in campaign.round():
                    rows.append(row)
                    progress.advance(bar)
                same = sum(row[2] == "equal" for row in rows)
                screen.print(f"round {number} of {given.kills}: {same} of {len(rows)} equal")
        except KeyboardInterrupt:
            screen.print("interrupted")
    same = sum(row[2] == "equal" for row in rows)
    Console().print(table(rows))
    print(f"{same} of {len(rows)} equal, seed {given.seed}, {time.monotonic() - start:.0f} s")
    return int(same < len(rows))


if __name__ == "__main__":
    sys.exit(main())
