"""Push plan: which models of a run go to which repositories, and what their cards say, decided before any work."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from huggingface_hub import HfApi
from huggingface_hub.utils import validate_repo_id

from ..errors import InputError
from ..report.schema import CompressionReport
from ..utils.files import write_json, write_text
from . import sanitize
from .card import CardInput
from .card_merge import choose_base
from .client import Remote, explain_error, look, refuse_foreign
from .staging import CARD, PublishSource, card_of

RECORD = "published.json"  # in the run: the card that was last published, by repository


@dataclass(frozen=True)
class PushOptions:
    """What a user may say about a publication; None and empty leave it to the recipe of the run.

    Attributes:
        private: whether strangers may not see what is made now; None leaves it to the account.
        license: of the model, as the Hub writes it.
        language: ISO 639 codes.
        datasets: Hub ids of the data.
        base_model: Hub id of the model that the baseline was made from.
        space: Hub id of the Space to publish beside it.
        baseline: Hub id of the model that the Space compares with.
        hardware: of the Space, as the Hub calls it.
        secret: a token with which a private Space may read private models.
        overwrite: replace a model that no run was published as.
        card: `local` or `hub`, the card whose edits count where both were edited.
        message: of the commits.
        trust_remote_code: run a code file in the run that this version of the package did not write.
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
    card: str | None = None
    message: str = "Publish the compressed model"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class PushPart:
    """One model on its way: where it lies, where it goes, what its card says."""

    source: PublishSource
    remote: Remote
    card: CardInput

    @property
    def role(self) -> str:
        """`model`, or `baseline` of the Space."""
        return "baseline" if self.source.is_baseline else "model"


@dataclass(frozen=True)
class Plan:
    """What goes where: the models, and the Space with the two models that it compares."""

    parts: list[PushPart]
    space: Remote | None = None
    compared: tuple[str, str] | None = None


def make_plan(api: HfApi | None, source: PublishSource, repo_id: str, options: PushOptions) -> Plan:
    """Decide what goes where; without a client, as if nothing lay on the Hub yet.

    Raises:
        InputError: a name that the Hub does not take, or a repository that holds something else.
        HubError: the Hub cannot be reached.
    """
    baseline = _baseline(source, repo_id, options) if options.space else None
    for name in (repo_id, *filter(None, (options.space, baseline))):
        _check_name(name)
    if len({repo_id, baseline}) == 1:
        raise InputError(f"{repo_id} cannot hold both models; give --baseline another name.")
    remotes = {name: look(api, name) if api else Remote(name) for name in (repo_id, baseline) if name}
    sources = {repo_id: source}
    # A baseline that somebody else published, or that the user did, is compared with and not touched.
    if (
        baseline
        and baseline != _origin(source.report, options)
        and not (options.baseline and remotes[baseline].exists)
    ):
        sources[baseline] = source.baseline
    parts = []
    for name, one in sources.items():
        if not options.overwrite:
            refuse_foreign(remotes[name])
        said = {key: getattr(options, key) for key in ("base_model", "license", "language", "datasets", "space")}
        card = card_of(one.report, name, **said, baseline_of=repo_id if one.is_baseline else None)
        parts.append(PushPart(one, remotes[name], card))
    if not options.space:
        return Plan(parts)
    space = look(api, options.space, "space") if api else Remote(options.space, "space")
    return Plan(parts, space, (baseline, repo_id))


def existing_card(part: PushPart, options: PushOptions) -> str | None:
    """The card whose edits are kept: the one in the folder or the one on the Hub.

    Raises:
        InputError: a person edited both, or the card or the record of earlier ones cannot be read.
    """
    file = part.source.folder / CARD
    try:
        local = file.read_bytes().decode("utf-8") if file.exists() else None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error}); save it as UTF-8.") from error
    return choose_base(local, part.remote.card, _record(part.source).get(part.remote.repo_id), card=options.card)


def remember(part: PushPart, text: str) -> None:
    """Keep the card beside the model, and which one was published where."""
    write_text(part.source.folder / CARD, text)
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    write_json(part.source.root / RECORD, _record(part.source) | {part.remote.repo_id: digest})


def _record(source: PublishSource) -> dict[str, str]:
    file = source.root / RECORD
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{file} is no record of what was published; take it away, and every card counts as edited.")
    return found


def _baseline(source: PublishSource, repo_id: str, options: PushOptions) -> str:
    """Where the Space finds the baseline: as told, where it came from if nobody trained it, else beside the model."""
    if source.run is None and not options.baseline:
        raise InputError(f"{source.folder} holds no baseline for the Space to compare with; name one with --baseline.")
    return options.baseline or _origin(source.report, options) or f"{repo_id}-baseline"


def _origin(numbers: CompressionReport, options: PushOptions) -> str | None:
    """The Hub id of a baseline that was taken as it was."""
    recipe = numbers.recipe
    trained = recipe.get("baseline_epochs") or recipe.get("model_name_or_path") == "scratch"
    return None if trained or options.base_model else sanitize.hub_id(numbers.model.baseline)


def _check_name(name: str) -> None:
    with explain_error(name):
        validate_repo_id(name)
    if "/" not in name:
        raise InputError(f"{name!r} has no owner; write USER/NAME.")
