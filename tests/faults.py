"""Faults: the whole campaign of kills, `make faults`; the tests make a few of them. Prints a table, exits with 1 if one run
did not end as one that nothing disturbed.

First every method with every teacher in every precision: a run of 20 steps is killed at an event of a step, both drawn with
the seed, and resumed by another process. Weights, scores, optimizer, small model and log must be equal to the last bit. Then
`trainer-ext compress`: killed before a change of the file system that is drawn as well, and started again; all models must be
equal, and nothing that was finished before may have been touched.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from commands import assert_same_weights, recipe_fields, write_recipe, write_task
from damage import bytes_of, unequal
from killing import KILLED, Forks
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from test_faults_training import ALL, draw_kill, fields_of, kill_and_resume

from trainer_ext.run_directory import RunDirectory


def kill_training(forks: Forks, folder: Path, *, kills: int, seed: int, advance) -> list[tuple[str, str, str]]:
    """`(what, where it was killed, outcome)` of each kill."""
    rows = []
    for configuration in ALL:
        whole, draw = folder / "whole", random.Random(f"{seed} {configuration}")
        ended = forks.run("train", whole, fields_of(configuration, whole))
        assert ended.status == 0, ended.errors
        for _ in range(kills):
            event, step = kill = draw_kill(draw)
            try:
                kill_and_resume(forks, folder / "killed", configuration, kill)
                found = ", ".join(unequal(whole, folder / "killed")) or "equal"
            except AssertionError as error:
                found = str(error).strip() or "failed"
            rows.append((" ".join(configuration), f"{step} {event.removeprefix('on_')}", found))
            shutil.rmtree(folder / "killed")
            advance()
        shutil.rmtree(whole)
    return rows


def kill_compress(forks: Forks, folder: Path, *, kills: int, seed: int, advance) -> list[tuple[str, str, str]]:
    """As above, for the command; a place is the number of a change of the file system."""
    data, rows, draw = write_task(folder / "data"), [], random.Random(seed)

    def recipe(name: str) -> Path:
        return write_recipe(folder / f"{name}.yaml", recipe_fields(data, folder / name))

    ended = forks.run("count_operations", "compress", recipe("whole"))
    assert ended.status == 0, ended.errors
    for _ in range(kills):
        number, run = draw.randrange(1, ended.value + 1), RunDirectory(folder / "killed")
        killed = forks.command("compress", recipe("killed"), die={"operation": number})
        finished = bytes_of(*(path for path in (run.baseline, run.masked, run.compressed) if path.is_dir()))
        again = forks.command("compress", folder / "killed.yaml", *(["--resume"] if run.holds_run else []))
        try:
            assert killed.status in KILLED, f"killed: {killed.status}"
            assert again.status == 0, again.errors[-300:]
            assert_same_weights(folder / "whole", run.root)
            now = bytes_of(run.root)
            assert not [name for name in finished if not name.endswith(".part") and now[name] != finished[name]]
            found = "equal"
        except AssertionError as error:
            found = str(error).strip() or "failed"
        rows.append(("compress", f"{number} of {ended.value}", found))
        shutil.rmtree(run.root)
        advance()
    return rows


def table(rows: list[tuple[str, str, str]], kills: int) -> Table:
    """One line for each configuration, and one for each kill that changed something."""
    shown = Table(title=f"{kills} kills of each", title_justify="left")
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
    parser.add_argument("--kills", type=int, default=20, help="of each configuration")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as name,
        Forks() as forks,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task("kills", total=given.kills * (len(ALL) + 1))
        options = {"kills": given.kills, "seed": given.seed, "advance": lambda: progress.advance(bar)}
        rows = kill_training(forks, Path(name), **options) + kill_compress(forks, Path(name), **options)
    same = sum(row[2] == "equal" for row in rows)
    Console().print(table(rows, given.kills))
    print(f"{same} of {len(rows)} equal, seed {given.seed}, {time.monotonic() - start:.0f} s")
    return int(same < len(rows))


if __name__ == "__main__":
    sys.exit(main())
