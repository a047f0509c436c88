"""Results: the tables of recipes/README.md, written from result files and never by hand.

`add` keeps the numbers of a finished run under recipes/results/, `write` rewrites the tables, `check` says whether they
are what the files give.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from recipes import seeds
from trainer_ext import report
from trainer_ext.metric_names import TITLES, is_fraction
from trainer_ext.report import CompressionReport, Latency, Quality, Scores, Sparsity

HERE = Path(__file__).parent
README, FILES = HERE / "README.md", HERE / "results"
START, END = "<!-- results: start -->", "<!-- results: end -->"
QUALITY = ("recipe", "test set", "n", "metric", "baseline", "compressed", "difference", "also", "same answer")
COST = (
    *("recipe", "asked / gone", "parameters", "MB", "speed-up, texts × tokens", "ideal", "processor"),
    *("seed", "date", "command"),
)
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


def tables(reports: dict[str, CompressionReport]) -> str:
    """Markdown tables: quality, a row per recipe and test set; size and speed, a row per recipe; means over seeds.

    Args:
        reports: by recipe name.
    """
    by_seed = {name: result for name, result in reports.items() if "@" in name}
    kept = sorted((name, result) for name, result in reports.items() if name not in by_seed)
    quality = [QUALITY, *(_quality(name, part) for name, result in kept for part in _parts(result))]
    cost = [COST, *(_cost(name, result) for name, result in kept)]
    kinds = [quality, cost, *([[seeds.HEADINGS, *seeds.rows(by_seed)]] if by_seed else [])]
    return "\n\n".join("\n".join(map(_line, [rows[0], ["---"] * len(rows[0]), *rows[1:]])) for rows in kinds)


def _parts(result: CompressionReport) -> list[Quality]:
    return [part for part in (result.quality, *result.other_quality) if part is not None]


def _quality(name: str, quality: Quality) -> list[str]:
    before, after = quality.baseline or Scores(), quality.compressed or Scores()
    main, others = quality.metric, [name for name in before.by_name if name != quality.metric]
    return [
        f"`{name}`",
        quality.split,
        f"{quality.rows:,}",
        TITLES[main],
        _with_interval(main, before),
        _with_interval(main, after),
        _difference(quality),
        "; ".join(
            f"{TITLES.get(x, x)} {_number(x, before.by_name[x])} → {_number(x, after.by_name[x])}" for x in others
        ),
        f"{100 * quality.agreement:.1f} %" if quality.agreement is not None else "–",
    ]


def _cost(name: str, result: CompressionReport) -> list[str]:
    sparsity, parameters, sizes = result.sparsity, result.parameters, result.bytes
    return [
        f"`{name}`",
        f"{_asked(sparsity)} / {100 * sparsity.achieved:.1f} %" if sparsity else "–",
        f"{parameters.baseline.total / 1e6:.1f} M → {parameters.compressed.total / 1e6:.1f} M",
        f"{sizes.baseline / 1e6:.1f} → {sizes.compressed / 1e6:.1f}",
        "; ".join(f"{row.batch_size} × {row.sequence_length}: {row.speedup:.2f}x" for row in result.latency),
        "; ".join(f"{row.ideal_speedup:.2f}x" for row in result.latency),
        "; ".join(dict.fromkeys(_machine(row) for row in result.latency)),
        str(result.seed),
        result.created[:10],
        f"`{result.command}`",
    ]


def _asked(sparsity: Sparsity) -> str:
    if sparsity.requested_speedup is not None:
        return f"{sparsity.requested_speedup:g}x"
    return "–" if sparsity.requested is None else f"{100 * sparsity.requested:.0f} %"


def _with_interval(name: str, scores: Scores) -> str:
    low, high = scores.ci95[name]
    return f"{_number(name, scores.by_name[name])} [{_number(name, low)}, {_number(name, high)}]"


def _difference(quality: Quality) -> str:
    low, high = quality.difference.ci95
    noise = ", noise" if low <= 0 <= high else ""
    value, low, high = (_number(quality.metric, x, "+") for x in (quality.difference.main, low, high))
    return f"{value} [{low}, {high}]{noise}"


def _number(name: str, value: float, sign: str = "") -> str:
    """A fraction in per cent, any other number as it is."""
    return f"{100 * value:{sign}.1f}" if is_fraction(name) else f"{value:{sign}.3f}"


def _machine(row: Latency) -> str:
    return f"{row.processor}, {row.threads} threads, {row.runtime} {row.precision}"


def _line(cells) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def page() -> str:
    """recipes/README.md with the table that the result files give now.

    Raises:
        ValueError: the markers of the table are missing.
    """
    before, start, rest = README.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{README} must hold {START!r} and {END!r}; the table goes between them.")
    reports = {path.stem: report.load(path) for path in FILES.glob("*.json")}
    return f"{before}{START}\n{tables(reports)}\n{END}{after}"


@app.command()
def add(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    name: Annotated[str, typer.Argument(help="The recipe's name; an older result of that name is replaced.")],
) -> None:
    """Keep a run's numbers and rewrite the tables."""
    result = report.load(run)
    FILES.mkdir(exist_ok=True)
    shutil.copyfile(run / report.FILE_NAME, FILES / f"{name}.json")
    write()
    typer.echo(f"{name}: {result.quality.rows} rows; tables rewritten")


@app.command()
def write() -> None:
    """Rewrite the tables from the result files."""
    README.write_text(page(), encoding="utf-8")


@app.command()
def check() -> None:
    """Exit with 1 if the tables are not what the result files give."""
    if README.read_text(encoding="utf-8") != page():
        typer.echo("recipes/README.md is not what the result files give; run `make results`.", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
