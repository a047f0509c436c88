"""`trainer-ext push`: publish a run on the Hub, or show with --dry-run what would be published."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from ..errors import InputError
from ..utils.files import room_in, whole_folder
from ..utils.imports import quiet
from .app import Debug, app, err, fail, out

if TYPE_CHECKING:
    from ..hub.plan import PushOptions
    from ..hub.staging import Staged
    from ..hub.upload import Pushed


@app.command()
def push(
    path: Annotated[
        Path, typer.Argument(help="A finished run, or the output folder of a trainer.", show_default=False)
    ],
    repo: Annotated[str, typer.Argument(help="The model's repository on the Hub: USER/NAME.", show_default=False)],
    space: Annotated[
        str | None, typer.Option(help="Also publish a Space, a page that compares both models: USER/NAME.")
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Visibility of new repositories. Default: as your account says."),
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
            help="Environment variable with a read token, with which the Space loads private models. It becomes the "
            "Space's secret HF_TOKEN and is written to no file."
        ),
    ] = None,
    card: Annotated[
        Literal["local", "hub"] | None, typer.Option(help="Which card to keep if both were edited.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model that was not published by this package.")
    ] = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run the run's own code file to check it, though this package did not write it.",
        ),
    ] = False,
    message: Annotated[str, typer.Option(help="Commit message.")] = "Publish the compressed model",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Stage and verify everything, list the files, print the card; send nothing."),
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="With --dry-run: keep the staged folders in this new or empty folder.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Publish a run on the Hugging Face Hub.

    Uploads the small model with its tokenizer, exports, compression.json and model card; never a pickle, a token or a path
    of this machine. The baseline goes along only with --space, which shows both models. Before that the files are loaded in a fresh process and must give the same
    logits. What you write into the card yourself is kept the next time.

        trainer-ext push RUN me/topics-small --space me/topics-demo --license apache-2.0 --language mr
    """
    if keep is not None:
        if not dry_run:
            raise InputError("--keep needs --dry-run: only a dry run has staged folders to keep.")
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise InputError(f"--keep {keep} exists and is not an empty folder; name a new or an empty folder.")
    if space_token and not os.environ.get(space_token):
        raise InputError(f"--space-token {space_token}: there is no such environment variable, or it is empty.")
    quiet()
    from ..errors import CheckFailed, HubError
    from ..hub.plan import PushOptions
    from ..hub.upload import push as run_push

    options = PushOptions(
        private=private,
        license=license,
        language=tuple(language or ()),
        datasets=tuple(dataset or ()),
        base_model=base_model,
        space=space,
        baseline=baseline,
        hardware=space_hardware,
        secret=os.environ[space_token] if space_token else None,
        overwrite=overwrite,
        card=card,
        message=message,
        trust_remote_code=trust_remote_code,
    )
    try:
        if dry_run:
            _dry_run(path, repo, options, keep)
        else:
            _print_pushed(run_push(path, repo, options, console=err))
    except (HubError, CheckFailed) as error:
        fail(error, 1)


def _dry_run(path: Path, repo: str, options: PushOptions, keep: Path | None) -> None:
    from ..hub.plan import make_plan
    from ..hub.staging import find_source
    from ..hub.upload import staged_folders

    plan = make_plan(None, find_source(path), repo, options)
    names = {part.role: part.remote.repo_id for part in plan.parts}
    if plan.space:
        names["space"] = plan.space.remote.repo_id
    with staged_folders(plan, options, err) as staged:
        if keep:
            _keep(staged, keep)
        for role, one in staged.items():
            out.print(_files(f"{names[role]}: would be uploaded ({role})", one))
            if one.difference is not None:
                out.print(f"loaded in a fresh process: logits differ by at most {one.difference:.1e}")
            for note in one.notes:
                err.print(Text(note))
        out.print(Text(staged["model"].card), soft_wrap=True)


def _keep(staged: dict[str, Staged], folder: Path) -> None:
    """Copy the staged folders: their weights are hard links to the run's, which an edit would change."""
    with room_in(folder), whole_folder(folder.absolute()) as part:
        for role, one in staged.items():
            for file in one.files:
                (part / role / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(one.folder / file, part / role / file)


def _files(title: str, staged: Staged) -> Table:
    sizes = {file: (staged.folder / file).stat().st_size for file in staged.files}
    table = Table(title=Text(title, no_wrap=True), title_justify="left", min_width=len(title))
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right")
    for file, size in sizes.items():
        table.add_row(Text(str(file)), _size(size))
    table.add_section()
    table.add_row("in all", _size(sum(sizes.values())))
    for file in staged.left_out:
        table.add_row(Text(str(file), style="dim"), Text("stays here", style="dim"))
    return table


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _print_pushed(pushed: Pushed) -> None:
    table = Table(title=Text("Published"), title_justify="left", show_header=False)
    for role, url in pushed.addresses.items():
        table.add_row(role, Text(url, overflow="fold"))
    out.print(table)
    for note in pushed.notes:
        err.print(Text(note))
