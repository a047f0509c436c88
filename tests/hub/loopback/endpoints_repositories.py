"""Endpoints of the account and of whole repositories: create, describe, change the visibility, delete."""

import re
from typing import Any

from tests.hub.loopback.access import signed_in, writer
from tests.hub.loopback.answers import Answer, Refusal, as_json
from tests.hub.loopback.card_checks import check_card, metadata
from tests.hub.loopback.catalogue import KINDS, Hosted, Kind, Space
from tests.hub.loopback.repository import Blob, Commit, Taken
from tests.hub.loopback.state import Call, HubState
from tests.hub.loopback.trees import sibling
from tests.hub.loopback.upload_rules import GIT_ATTRIBUTES

SPACE_CARD = "---\ntitle: {name}\nemoji: 🚀\ncolorFrom: blue\ncolorTo: indigo\nsdk: {sdk}\npinned: false\n---\n"
_NAME = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(?<![.-])(?<!\.git)")


def whoami(state: HubState, call: Call) -> Answer:
    """Return the user and the role of the token."""
    account = signed_in(call.account)
    token = {"displayName": "loopback", "role": account.role}
    return as_json(
        {
            "type": "user",
            "id": account.user,
            "name": account.user,
            "fullname": account.user,
            "isPro": False,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def validate_yaml(state: HubState, call: Call) -> Answer:
    """Return the errors in the metadata of a README."""
    errors, warnings = check_card(call.json["content"], call.json.get("repoType", "model"))
    found = {
        name: [{"message": text} for text in texts] for name, texts in (("errors", errors), ("warnings", warnings))
    }
    return as_json(found, status=400 if errors else 200)


def _named(state: HubState, call: Call) -> tuple[Kind, str]:
    """Return type and id of the repository in the body of a request; the default namespace is that of the caller."""
    fields = call.json
    owner = fields.get("organization") or signed_in(call.account).user
    return KINDS[fields.get("type") or "model"], f"{owner}/{fields['name']}"


def _is_private(fields: dict[str, Any]) -> bool:
    """Clients before 2.0 send `private`, later ones `visibility`."""
    return fields.get("visibility") == "private" or fields.get("private") is True


def create(state: HubState, call: Call) -> Answer:
    """Create a repository with an initial commit."""
    fields = call.json
    kind, repo_id = _named(state, call)
    owner, _, name = repo_id.partition("/")
    if not _NAME.fullmatch(name):
        raise Refusal(400, f"Invalid repository name: {name}")
    account = signed_in(call.account)
    if account.role != "write" or account.user != owner:
        text = f"You don't have the rights to create a {kind.name} under the namespace {owner!r}"
        raise Refusal(403, text)
    files = {".gitattributes": GIT_ATTRIBUTES}
    space = None
    if kind.name == "space":
        space = Space(
            fields["sdk"],
            hardware=fields.get("hardware") or "cpu-basic",
            sleep_seconds=fields.get("sleepTimeSeconds"),
            secrets={secret["key"]: {} for secret in fields.get("secrets", ())},
            variables={item["key"]: {"value": item["value"]} for item in fields.get("variables", ())},
        )
        files["README.md"] = SPACE_CARD.format(name=name, sdk=space.sdk)
    blobs = {path: Blob.regular(text.encode()) for path, text in files.items()}
    url = {"url": f"{state.url}/{kind.prefix}{repo_id}", "name": repo_id}
    try:
        state.catalogue.add(kind, repo_id, blobs, private=_is_private(fields), space=space)
    except Taken as error:
        raise Refusal(409, str(error), **url) from None
    return as_json(url)


def delete(state: HubState, call: Call) -> Answer:
    """Delete a repository."""
    kind, repo_id = _named(state, call)
    hosted = state.catalogue.find(kind, repo_id, call.account)
    writer(call.account, hosted.owner)
    state.catalogue.remove(hosted)
    return Answer()


def settings(state: HubState, call: Call) -> Answer:
    """Make a repository private or public."""
    hosted = state.writable(call)
    if call.json.keys() & {"visibility", "private"}:
        hosted.private = _is_private(call.json)
    return as_json({"private": hosted.private})


def allowed(state: HubState, call: Call) -> Answer:
    """Check that the caller may see a repository."""
    state.visible(call)
    return Answer()


def allowed_to_write(state: HubState, call: Call) -> Answer:
    """Check that the caller may write to a repository."""
    state.writable(call)
    return Answer()


def info(state: HubState, call: Call) -> Answer:
    """Describe a repository at a revision, by default `main`; `blobs` adds hashes and sizes."""
    hosted = state.visible(call)
    commit = hosted.repository.at(call.arguments.get("revision", "main"))
    return as_json(description(hosted, commit, details=call.flag("blobs")))


def description(hosted: Hosted, commit: Commit, *, details: bool) -> dict[str, Any]:
    """Return the description of a repository at a commit."""
    readme = commit.files.get("README.md")
    card = metadata(readme.content.decode("utf-8", "replace")) if readme else {}
    first = list(hosted.repository.history("main"))[-1]
    found = {
        "_id": first.oid[:24],
        "id": hosted.id,
        "author": hosted.owner,
        "sha": commit.oid,
        "createdAt": first.date,
        "lastModified": commit.date,
        "private": hosted.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": list(card.get("tags") or ()),
        "cardData": card,
        "siblings": [sibling(path, blob, details=details) for path, blob in sorted(commit.files.items())],
    }
    if hosted.kind.name == "model":
        found["modelId"] = hosted.id
        found |= {name: card[name] for name in ("pipeline_tag", "library_name") if name in card}
    if hosted.space:
        found |= {"sdk": hosted.space.sdk, "runtime": runtime(hosted.space)}
    return found


def runtime(space: Space) -> dict[str, Any]:
    """Return the runtime state of a Space."""
    hardware = {"current": None, "requested": space.hardware}
    return {"stage": space.stage, "hardware": hardware, "gcTimeout": space.sleep_seconds}
