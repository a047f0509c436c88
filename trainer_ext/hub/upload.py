"""Push: a finished run becomes a model on the Hub, with its card, its exports and a Space that compares it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from rich.console import Console

from .client import check_account, claim, explain_error, publish
from .plan import Plan, PushOptions, existing_card, make_plan, remember
from .space import space_files
from .staging import Prepared, find_source, prepare, prove, stale


@dataclass(frozen=True)
class Pushed:
    """Where things lie now, by what they are, and what the user should know."""

    addresses: dict[str, str]
    notes: list[str]


def push(path: str | Path, repo_id: str, options: PushOptions, *, console: Console) -> Pushed:
    """Publish a run; everything is prepared and proven before the first file goes up.

    Args:
        path: a finished run, or the folder that a trainer filled.
        repo_id: `user/name`.
        options: what the user said.
        console: where progress goes.

    Raises:
        InputError: something given cannot work, or would publish a token or a path of this machine.
        CheckFailed: what would go up does not open elsewhere as the same model.
        HubError: the Hub or the network failed; nothing is lost, and the same call again finishes the job.
    """
    source, api = find_source(path), HfApi()
    check_account(api, repo_id)
    with console.status("looking at the Hub"):
        plan = make_plan(api, source, repo_id, options)
    with prepared_parts(plan, options, console) as ready:
        claimed = {"hardware": options.hardware, "private": options.private}
        addresses = {"Space": claim(api, plan.space, **claimed)} if plan.space else {}
        addresses = {part.role: claim(api, part.remote, private=options.private) for part in plan.parts} | addresses
        for part, prepared in zip(plan.parts, ready, strict=True):
            gone = stale(part.remote.files, prepared.folder)
            publish(api, prepared.folder, part.remote, gone=gone, message=options.message)
            remember(part, prepared.card)
    if plan.space:
        _publish_space(api, plan, options)
    notes = [note for prepared in ready for note in prepared.notes]
    return Pushed(addresses, notes + _about_space(plan, options))


@contextlib.contextmanager
def prepared_parts(plan: Plan, options: PushOptions, console: Console) -> Iterator[list[Prepared]]:
    """The models of a plan, each in a folder that is ready to go up; the folders go when this ends."""
    with tempfile.TemporaryDirectory() as scratch:
        ready = []
        for part in plan.parts:
            name = part.remote.repo_id
            with console.status(f"{name}: its card, and the proof that it opens elsewhere as the same model"):
                prepared = prepare(part.source, part.card, existing_card(part, options), Path(scratch) / name)
                prove(part.source, prepared.folder, trust_remote_code=options.trust_remote_code)
            ready.append(prepared)
        yield ready


def _publish_space(api: HfApi, plan: Plan, options: PushOptions) -> None:
    baseline, compressed = plan.compared
    private = options.private if plan.space.private is None else plan.space.private
    files = space_files(
        space_id=plan.space.repo_id,
        baseline=baseline,
        compressed=compressed,
        private=bool(private),
        hardware=options.hardware,
        endpoint=api.endpoint,
        license=plan.parts[0].card.license,
        readme=plan.space.card,
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        old = [name for name in plan.space.files if name.endswith(".whl") and name not in files]
        publish(api, Path(folder), plan.space, gone=old, message=options.message)
    if options.secret:
        with explain_error(plan.space.repo_id):
            api.add_space_secret(plan.space.repo_id, "HF_TOKEN", options.secret)


def _about_space(plan: Plan, options: PushOptions) -> list[str]:
    if not plan.space or not options.private or options.secret:
        return []
    return [
        f"{plan.space.repo_id} cannot read private models yet: in its settings, add a secret HF_TOKEN with a token that may "
        "read them, or push again with --space-token VARIABLE."
    ]
