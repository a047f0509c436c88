"""Publish a finished run on the Hub: the model with its card and exports, and a Space that compares it with its baseline."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from rich.console import Console

from .client import check_account, claim, explain_error, publish
from .plan import Plan, PushOptions, SpacePlan, existing_card, make_plan, remember
from .space import space_files
from .staging import Staged, find_source, stage_model, stale


@dataclass(frozen=True)
class Pushed:
    """The addresses of what was published, by role, and messages for the user."""

    addresses: dict[str, str]
    notes: list[str]


def push(path: str | Path, repo_id: str, options: PushOptions, *, console: Console) -> Pushed:
    """Publish a run. Everything is staged and verified before the first file is uploaded.

    Args:
        path: A finished run, or the output folder of a trainer.
        repo_id: `user/name`.
        options: The options of the user.
        console: Shows the progress.

    Raises:
        InputError: An argument is wrong, or a token or a path of this machine would be published.
        CheckFailed: The staged model, loaded in a fresh process, does not compute the same logits.
        HubError: The Hub or the network failed; the same call can be repeated.
    """
    source, api = find_source(path), HfApi()
    check_account(api, repo_id)
    with console.status("reading the repositories on the Hub"):
        plan = make_plan(api, source, repo_id, options)
    with staged_folders(plan, options, console) as staged:
        # The Space first: if it needs a payment, nothing has been created or sent yet.
        space: dict[str, str] = {}
        if plan.space:
            space["Space"] = claim(api, plan.space.remote, private=options.private, hardware=options.hardware)
        addresses = {part.role: claim(api, part.remote, private=options.private) for part in plan.parts} | space
        for part in plan.parts:
            folder = staged[part.role].folder
            publish(api, folder, part.remote, gone=stale(part.remote.files, folder), message=options.message)
            remember(part, staged[part.role].card)
        if plan.space:
            _publish_space(api, plan.space, staged["space"].folder, options)
        notes = [note for one in staged.values() for note in one.notes]
    if plan.space and options.private and not options.secret:
        notes.append(
            f"{plan.space.remote.repo_id} cannot read private models yet: in its settings, add a secret HF_TOKEN with a "
            "token that may read them, or push again with --space-token VARIABLE."
        )
    return Pushed(addresses, notes)


@contextlib.contextmanager
def staged_folders(plan: Plan, options: PushOptions, console: Console) -> Iterator[dict[str, Staged]]:
    """Stage everything that a plan uploads, by role (`model`, `baseline`, `space`), in temporary folders.

    Raises:
        InputError: As :func:`push`.
        CheckFailed: As :func:`push`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        staged = {}
        for part in plan.parts:
            with console.status(f"{part.remote.repo_id}: writing its card, loading the model in a fresh process"):
                staged[part.role] = stage_model(
                    part.source,
                    part.card,
                    existing_card(part, options),
                    Path(scratch, part.role),
                    trust_remote_code=options.trust_remote_code,
                )
        if plan.space:
            with console.status(f"{plan.space.remote.repo_id}: building the package"):
                folder = Path(scratch, "space")
                _write_space(plan.space, options, folder, license=plan.parts[0].card.license)
                staged["space"] = Staged(folder)
        yield staged


def _write_space(space: SpacePlan, options: PushOptions, folder: Path, *, license: str | None) -> None:
    private = options.private if space.remote.private is None else space.remote.private
    files = space_files(
        space_id=space.remote.repo_id,
        baseline=space.baseline,
        compressed=space.compressed,
        private=bool(private),
        hardware=options.hardware,
        endpoint=HfApi().endpoint,
        license=license,
        readme=space.remote.card,
    )
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _publish_space(api: HfApi, space: SpacePlan, folder: Path, options: PushOptions) -> None:
    old_wheels = [name for name in space.remote.files if name.endswith(".whl") and not (folder / name).exists()]
    publish(api, folder, space.remote, gone=old_wheels, message=options.message)
    if options.secret:
        with explain_error(space.remote.repo_id):
            api.add_space_secret(space.remote.repo_id, "HF_TOKEN", options.secret)
