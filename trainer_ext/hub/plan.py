"""Plan a publication before any work: which models go to which repositories, and what their cards say."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Literal

from huggingface_hub import HfApi
from huggingface_hub.utils import validate_repo_id

from ..errors import InputError
from ..report.schema import CompressionReport
from ..utils.files import write_json, write_text
from . import sanitize
from .card import CardInput
from .card_merge import is_unedited
from .client import Remote, explain_error, look, refuse_foreign
from .staging import CARD, PublishSource, card_of

RECORD = "published.json"  # in the run: the hash of the card last published to each repository

CardChoice = Literal["local", "hub"]


@dataclass(frozen=True)
class PushOptions:
    """The options of a publication; what is None or empty is taken from the recipe of the run.

    Attributes:
        private: Whether new repositories are private; None leaves it to the settings of the account.
        license: Licence identifier of the Hub.
        language: ISO 639 codes.
        datasets: Hub ids of the data.
        base_model: Hub id of the model that the baseline was made from.
        space: Hub id of the Space to publish as well.
        baseline: Hub id of the model that the Space compares with.
        hardware: Hardware of the Space, by the Hub's name.
        secret: Token with which a private Space reads private models.
        overwrite: Replace a model that this package did not publish.
        card: The card whose edits are kept if both were edited.
        message: Commit message.
        trust_remote_code: Run a code file in the run that this version of the package did not write.
    """

    private: bool | None = None
    license: str | None = None
    language: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    base_model: str | None = None
    space: str | None = None
    baseline: str | None = None
    hardware: str | None = None
    secret: str | None = None
    overwrite: bool = False
    card: CardChoice | None = None
    message: str = "Publish the compressed model"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class PushPart:
    """A model to publish: its files, its repository and its card."""

    source: PublishSource
    remote: Remote
    card: CardInput

    @property
    def role(self) -> str:
        """`model`, or `baseline`."""
        return "baseline" if self.source.is_baseline else "model"


@dataclass(frozen=True)
class SpacePlan:
    """A Space to publish, and the Hub ids of the two models that it compares."""

    remote: Remote
    baseline: str
    compressed: str


@dataclass(frozen=True)
class Plan:
    """Everything that a publication uploads."""

    parts: list[PushPart]
    space: SpacePlan | None = None


def make_plan(api: HfApi | None, source: PublishSource, repo_id: str, options: PushOptions) -> Plan:
    """Plan a publication.

    Args:
        api: The client; None plans without a network, as if nothing were on the Hub yet.
        source: The model to publish.
        repo_id: Its repository.
        options: The options of the user.

    Raises:
        InputError: A name is not valid on the Hub, or a repository holds something else.
        HubError: The Hub cannot be reached.
    """
    baseline = _baseline_id(source, repo_id, options) if options.space else None
    for name in (repo_id, *filter(None, (options.space, baseline))):
        _check_name(name)
    if baseline == repo_id:
        raise InputError(f"{repo_id} cannot hold both models; give --baseline another name.")
    remotes = {name: look(api, name) if api else Remote(name) for name in (repo_id, baseline) if name}
    sources = {repo_id: source}
    # A baseline that somebody else published, or that the user published before, is compared with but not written to.
    if baseline and baseline != _origin(source.report, options):
        if not (options.baseline and remotes[baseline].exists):
            if source.run:
                sources[baseline] = replace(source, folder=source.run.baseline)
            elif api:
                raise InputError(
                    f"{baseline} is not on the Hub, and {source.folder} holds no baseline to publish there; name a model "
                    "that is on the Hub with --baseline."
                )
    parts = []
    for name, one in sources.items():
        if not options.overwrite:
            refuse_foreign(remotes[name])
        card = card_of(
            one.report,
            name,
            base_model=options.base_model,
            license=options.license,
            language=options.language,
            datasets=options.datasets,
            space=options.space,
            baseline_of=repo_id if one.is_baseline else None,
        )
        parts.append(PushPart(one, remotes[name], card))
    if not options.space or not baseline:
        return Plan(parts)
    space = look(api, options.space, "space") if api else Remote(options.space, "space")
    return Plan(parts, SpacePlan(space, baseline, repo_id))


def existing_card(part: PushPart, options: PushOptions) -> str | None:
    """Return the card whose edits are kept: the one in the run or the one on the Hub.

    Raises:
        InputError: Both were edited and `options.card` is None, or the local card or the record cannot be read.
    """
    file = part.source.folder / CARD
    try:
        local = file.read_bytes().decode("utf-8") if file.exists() else None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error}); save it as UTF-8.") from error
    return choose_base(local, part.remote.card, _record(part.source).get(part.remote.repo_id), card=options.card)


def choose_base(
    local: str | None, remote: str | None, last_pushed_sha256: str | None, *, card: CardChoice | None = None
) -> str | None:
    """Return the one of two existing cards that a new card is merged with.

    Args:
        local: The card in the run.
        remote: The card on the Hub.
        last_pushed_sha256: Hash of the card that was last published from this run.
        card: The choice of the user.

    Raises:
        InputError: Both cards were edited since the last publication and the user did not choose.
    """
    if remote is None or local is None:
        return local if remote is None else remote
    if card is not None:
        return local if card == "local" else remote
    if local == remote or not local.strip() or is_unedited(local) or _sha256(local) == last_pushed_sha256:
        return remote
    if _sha256(remote) == last_pushed_sha256:
        return local
    raise InputError(
        "README.md was edited both in the run and on the Hub since it was last pushed. Choose the one to keep with "
        "--card local or --card hub, after copying over the edits of the other that you need."
    )


def remember(part: PushPart, card: str) -> None:
    """Store a published card beside the model, and its hash in the record of the run."""
    write_text(part.source.folder / CARD, card)
    write_json(part.source.root / RECORD, _record(part.source) | {part.remote.repo_id: _sha256(card)})


def _record(source: PublishSource) -> dict[str, str]:
    file = source.root / RECORD
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"{file} is not a record of published cards; delete it, and every card is treated as edited by hand."
        )
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _baseline_id(source: PublishSource, repo_id: str, options: PushOptions) -> str:
    """Return the Hub id of the Space's baseline: the user's choice, else where it came from, else next to the model."""
    if source.run is None and not options.baseline:
        raise InputError(f"{source.folder} holds no baseline for the Space to compare with; name one with --baseline.")
    return options.baseline or _origin(source.report, options) or f"{repo_id}-baseline"


def _origin(numbers: CompressionReport, options: PushOptions) -> str | None:
    """Return the Hub id of a baseline that was used without training it."""
    recipe = numbers.recipe
    trained = recipe.get("baseline_epochs") or recipe.get("model_name_or_path") == "scratch"
    return None if trained or options.base_model else sanitize.hub_id(numbers.model.baseline)


def _check_name(name: str) -> None:
    with explain_error(name):
        validate_repo_id(name)
    if "/" not in name:
        raise InputError(f"{name!r} has no owner; write USER/NAME.")
