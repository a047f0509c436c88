"""Results: the generated parts of recipes/README.md, written from result files and never by hand.

`add` keeps the numbers of a finished run under recipes/results/ (those of the full scale in full/), `add-sweep` those of
a finished sweep in sweeps/; `write` rewrites the parts, `check` says whether they are what the files give.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from recipes import open_question, results_runs, results_scales, results_sweeps
from trainer_ext import InputError, report
from trainer_ext.report.schema import CompressionReport

HERE = Path(__file__).parent
README, FILES = HERE / "README.md", HERE / "results"
FULL, SWEEPS = "full", "sweeps"  # folders in FILES
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


def parts() -> dict[str, str]:
    """What stands between the marks of the page, by their name."""
    small, full = _reports(FILES), _reports(FILES / FULL)
    sweeps = results_sweeps.load_all(FILES / SWEEPS)
    runs = small | {f"full/{name}": result for name, result in full.items()}
    return {
        "scales": results_scales.rows(recipe_files(), small, full, sweeps),
        "question": open_question.section(sweeps),
        "sweeps": results_sweeps.tables(sweeps),
        "results": results_runs.tables(runs),
    }


def recipe_files() -> list[Path]:
    """The recipes and sweep files of this folder."""
    return [*HERE.glob("*.yaml"), HERE / "quickstart" / "quickstart.yaml"]


def page() -> str:
    """recipes/README.md with what the result files give now.

    Raises:
        ValueError: the marks of a part are missing.
    """
    text = README.read_text(encoding="utf-8")
    for name, part in parts().items():
        start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
        before, found_start, rest = text.partition(start)
        _, found_end, after = rest.partition(end)
        if not found_start or not found_end:
            raise ValueError(f"{README} must hold {start!r} and {end!r}; the table goes between them.")
        text = f"{before}{start}\n{part}\n{end}{after}"
    return text


@app.command()
def add(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    name: Annotated[str, typer.Argument(help="The recipe's name; an older result of that name is replaced.")],
    full: Annotated[bool, typer.Option("--full", help="It was made at the full scale.")] = False,
) -> None:
    """Keep a run's numbers and rewrite the page."""
    result = report.load(run)
    folder = FILES / FULL if full else FILES
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / report.FILE_NAME, folder / f"{name}.json")
    write()
    typer.echo(f"{name}: {result.quality.rows} rows; page rewritten")


@app.command()
def add_sweep(
    out: Annotated[Path, typer.Argument(help="The output folder of a finished sweep.")],
    name: Annotated[str, typer.Argument(help="What to call it; its groups and its scale are appended.")],
) -> None:
    """Keep a sweep's numbers and rewrite the page."""
    try:
        names = results_sweeps.add(out, name, FILES / SWEEPS)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    write()
    typer.echo(f"{', '.join(names)}; page rewritten")


@app.command()
def write() -> None:
    """Rewrite the generated parts from the result files."""
    README.write_text(page(), encoding="utf-8")


@app.command()
def check() -> None:
    """Exit with 1 if the generated parts are not what the result files give."""
    if README.read_text(encoding="utf-8") != page():
        typer.echo("recipes/README.md is not what the result files give; run `make results`.", err=True)
        raise typer.Exit(1)


def _reports(folder: Path) -> dict[str, CompressionReport]:
    return {path.stem: report.load(path) for path in sorted(folder.glob("*.json"))}


if __name__ == "__main__":
    app()
