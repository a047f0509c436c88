"""Keep results of finished runs and sweeps, and write the tables of recipes/README.md, of results/README.md below it, and
the pictures from them; also those tables of benchmarks/README.md that are not written by a script of their own.

`add` copies the report of a run to recipes/results/ (with --full to recipes/results/full/), `add-sweep` the result of a
sweep to recipes/results/sweeps/. `write` rewrites the tables and the pictures, `check` fails if they differ from the result files.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from recipes.benchmarks import one_shot_tables, serving_tables
from recipes.tools import grid_picture, open_question, overview, picture, run_tables, sweep_tables
from recipes.tools.markdown import NOT_RUN, replace_part, table, times
from recipes.tools.run_tables import compressed_of, difference_of, mean_difference
from recipes.tools.sweep_tables import FULL, SMALL, scale_of
from trainer_ext import InputError, report
from trainer_ext.report.formatting import TITLES
from trainer_ext.report.schema import CompressionReport
from trainer_ext.sweep.results import SweepResult

HERE = Path(__file__).parents[1]  # recipes/
README, FILES = HERE / "README.md", HERE / "results"
BENCHMARKS = HERE / "benchmarks" / "README.md"
IN_SHORT, IN_FULL = (
    ("overview", "scales", "question"),
    ("results", "sweeps"),
)  # parts of README.md, of results/README.md
SWEEPS = "sweeps"  # folder in FILES
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


def parts() -> dict[str, str]:
    """Return the generated parts of the pages by the name of their markers."""
    small, full = _reports(FILES), _reports(FILES / FULL)
    sweeps = sweep_tables.load_all(FILES / SWEEPS)
    runs = small | {f"full/{name}": result for name, result in full.items()}
    return {
        "overview": overview.section(),
        "scales": scales(recipe_files(), small, full, sweeps),
        "question": open_question.section(sweeps),
        "sweeps": sweep_tables.tables(sweeps),
        "results": run_tables.tables(runs),
    }


def recipe_files() -> list[Path]:
    """Return the recipe and sweep files."""
    return [*HERE.glob("*.yaml"), HERE / "quickstart" / "quickstart.yaml"]


def pages() -> dict[Path, str]:
    """Return the three pages with their parts generated from the result files.

    Raises:
        ValueError: The markers of a part are missing.
    """
    measured = one_shot_tables.parts() | serving_tables.parts()
    made, found = parts() | measured, {}
    for path, names in ((README, IN_SHORT), (FILES / "README.md", IN_FULL), (BENCHMARKS, measured)):
        text = path.read_text(encoding="utf-8")
        for name in names:
            text = replace_part(text, name, made[name])
        found[path] = text
    return found


def scales(
    recipes: Sequence[Path],
    small: Mapping[str, CompressionReport],
    full: Mapping[str, CompressionReport],
    sweeps: Mapping[str, SweepResult],
) -> str:
    """Return a table with a row for each recipe: its results at the small and at the full scale.

    Args:
        recipes: The recipe and sweep files.
        small: Reports at the small scale by name, or `name@seed`.
        full: Reports at the full scale by name.
        sweeps: Results of sweeps by name.
    """
    found = []
    for path in sorted(recipes):
        runs = [_runs(path.stem, reports) for reports in (small, full)]
        swept = [_sweeps(path.name, scale, sweeps) for scale in (SMALL, FULL)]
        found.append([f"`{path.stem}`", *(a or b or NOT_RUN for a, b in zip(runs, swept, strict=True))])
    return table(("recipe", "two cores (`--scale small`)", "a GPU and the Hub"), found)


def _runs(stem: str, reports: Mapping[str, CompressionReport]) -> str | None:
    found = [report for kept, report in sorted(reports.items()) if kept.partition("@")[0] == stem]
    if not found:
        return None
    first = found[0]
    quality, speed = first.quality, first.latency[-1]
    score = f"{compressed_of(quality)}, {difference_of(quality)}" if len(found) == 1 else mean_difference(found)
    seeds = f"{len(found)} seeds, " if len(found) > 1 else ""
    speedup = times(statistics.fmean(report.latency[-1].speedup for report in found))
    return f"{TITLES[quality.metric]} {score} ({seeds}n = {quality.rows:,}); {speedup} at {speed.batch_size} × {speed.sequence_length}"


def _sweeps(file: str, scale: str, sweeps: Mapping[str, SweepResult]) -> str | None:
    found = [result for result in sweeps.values() if result.recipe == file and scale_of(result) == scale]
    models = sum(len({row.name for row in result.rows}) for result in found)
    failed = sum(len(result.failed) for result in found)
    if not found:
        return None
    return (
        f"{models} models in {len(found)} sweep{'s' if len(found) > 1 else ''}{f', {failed} failed' if failed else ''}"
    )


@app.command()
def add(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    name: Annotated[str, typer.Argument(help="The name of the recipe; an older result of that name is replaced.")],
    full: Annotated[bool, typer.Option("--full", help="The run was made at the full scale.")] = False,
) -> None:
    """Keep the report of a run, and rewrite the page."""
    result = report.load(run)
    folder = FILES / FULL if full else FILES
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / report.FILE_NAME, folder / f"{name}.json")
    write()
    typer.echo(f"{name}: {result.quality.rows} rows; page rewritten")


@app.command()
def add_sweep(
    out: Annotated[Path, typer.Argument(help="The output folder of a finished sweep.")],
    name: Annotated[str, typer.Argument(help="Name of the result; groups and scale are appended.")],
) -> None:
    """Keep the result of a sweep, and rewrite the page."""
    try:
        names = sweep_tables.add(out, name, FILES / SWEEPS)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    write()
    typer.echo(f"{', '.join(names)}; page rewritten")


@app.command()
def write() -> None:
    """Rewrite the generated tables and the pictures from the result files."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    picture.write()
    grid_picture.write(sweep_tables.load_all(FILES / SWEEPS))


@app.command()
def check() -> None:
    """Exit with status 1 if the generated tables or a picture differ from the result files."""
    for path, text in pages().items():
        if path.read_text(encoding="utf-8") != text:
            typer.echo(f"{path} differs from the result files; run `make results`.", err=True)
            raise typer.Exit(1)
    if old := [*picture.stale(), *grid_picture.stale(sweep_tables.load_all(FILES / SWEEPS))]:
        typer.echo(f"{', '.join(old)}: not drawn from the result files as they are; run `make results`.", err=True)
        raise typer.Exit(1)


def _reports(folder: Path) -> dict[str, CompressionReport]:
    return {path.stem: report.load(path) for path in sorted(folder.glob("*.json"))}


if __name__ == "__main__":
    app()
