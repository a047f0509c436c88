"""The command that publishes: push, with a look at it beforehand (--dry-run)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..errors import InputError
from ..utils.logging import quiet
from .app import Debug, app, err, fail, out


@app.command()
def push(
    path: Annotated[
        Path, typer.Argument(help="A finished run, or the folder that a trainer filled.", show_default=False)
    ],
    repo: Annotated[str, typer.Argument(help="Where to, on the Hub: USER/NAME.", show_default=False)],
    space: Annotated[
        str | None, typer.Option(help="Publish a Space too, a page that compares both models: USER/NAME.")
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who sees what is made now; default: as your account says."),
    ] = None,
    license: Annotated[  # noqa: A002
        str | None, typer.Option(help="Licence of the model: apache-2.0. Default: the recipe's card_license.")
    ] = None,
    language: Annotated[list[str] | None, typer.Option(help="Language of the texts: mr. May be repeated.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Hub id of the data. May be repeated.")] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Hub id of the model that the baseline was made from.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The Space's baseline on the Hub, published there if there is none. Default: where the baseline came "
            "from, or USER/NAME-baseline if it was trained here."
        ),
    ] = None,
    space_hardware: Annotated[
        str | None, typer.Option(help="Hardware of the Space: cpu-basic, zero-a10g, ... Default: the Hub's.")
    ] = None,
    space_token: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with a token that may read; the Space opens private models with it. It becomes "
            "the Space's secret HF_TOKEN and is in no file."
        ),
    ] = None,
    card: Annotated[
        str | None, typer.Option(help="Whose edits of the card count where both were edited: local or hub.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model there that was not published by this package.")
    ] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run a code file in the run that is not ours, to check it.")
    ] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "Publish the compressed model",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would go up, print the card, and send nothing.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Publish a run on the Hugging Face Hub.

    Up go the small model, its tokenizer, its exports, compression.json and a model card; never a pickle, a token, a path
    of this machine or the full-size weights. First the folder is opened in a fresh process and must give the same
    logits. What you write into the card yourself is kept the next time.

        trainer-ext push RUN me/topics-small --space me/topics-demo --license apache-2.0 --language mr
    """
    quiet()
    from ..errors import CheckFailed, HubError
    from ..hub.plan import PushOptions
    from ..hub.upload import push as run_push

    if card not in (None, "local", "hub"):
        raise InputError(f"--card must be local or hub, got {card!r}.")
    options = PushOptions(
        private=private,
        license=license,
        language=tuple(language or ()),
        datasets=tuple(dataset or ()),
        base_model=base_model,
        space=space,
        baseline=baseline,
        hardware=space_hardware,
        secret=_secret(space_token),
        overwrite=overwrite,
        card=card,
        message=message,
        trust_remote_code=trust_remote_code,
    )
    try:
        if dry_run:
            _show(path, repo, options)
        else:
            _print_pushed(run_push(path, repo, options, console=err))
    except (HubError, CheckFailed) as error:
        fail(error, 1)


def _secret(variable: str | None) -> str | None:
    if variable and not os.environ.get(variable):
        raise InputError(f"--space-token {variable}: there is no such environment variable, or it is empty.")
    return os.environ[variable] if variable else None


def _show(path: Path, repo: str, options) -> None:
    from ..hub.plan import make_plan
    from ..hub.staging import find_source
    from ..hub.upload import prepared_parts

    plan = make_plan(None, find_source(path), repo, options)
    with prepared_parts(plan, options, err) as ready:
        for part, prepared in zip(plan.parts, ready, strict=True):
            sizes = {str(file): (prepared.folder / file).stat().st_size for file in prepared.files}
            out.print(_files(f"{part.remote.repo_id}: would go up", sizes, [str(file) for file in prepared.left_out]))
            for note in prepared.notes:
                err.print(Text(note))
        out.print(Text(ready[0].card), soft_wrap=True)


def _files(title: str, sizes: dict[str, int], left_out: list[str]) -> Table:
    table = Table(title=Text(title, no_wrap=True), title_justify="left", min_width=len(title))
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right")
    for name, size in sizes.items():
        table.add_row(Text(name), _size(size))
    table.add_section()
    table.add_row("in all", _size(sum(sizes.values())))
    for name in left_out:
        table.add_row(Text(name, style="dim"), Text("stays here", style="dim"))
    return table


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _print_pushed(done) -> None:
    table = Table(title=Text("Published"), title_justify="left", show_header=False)
    for role, url in done.addresses.items():
        table.add_row(role, Text(url, overflow="fold"))
    out.print(table)
    for note in done.notes:
        err.print(Text(note))
