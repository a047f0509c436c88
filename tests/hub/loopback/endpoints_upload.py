"""Upload endpoints: how to upload each file, large files, commits."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from tests.hub.loopback.answers import Answer, Refusal, as_json
from tests.hub.loopback.card_checks import check_card
from tests.hub.loopback.catalogue import Hosted
from tests.hub.loopback.repository import Blob, Change
from tests.hub.loopback.state import Call, HubState
from tests.hub.loopback.upload_rules import is_ignored, is_large


def preupload(state: HubState, call: Call) -> Answer:
    """Return for every file how to upload it, whether `.gitignore` excludes it, and the hash of the existing file."""
    hosted = state.writable(call)
    known = hosted.repository.at(call.arguments["revision"]).files
    ignore = call.json.get("gitIgnore")
    if ignore is None and ".gitignore" in known:
        ignore = known[".gitignore"].content.decode()

    def answer(file: dict[str, Any]) -> dict[str, Any]:
        path = file["path"]
        large = is_large(path, file["size"], base64.b64decode(file.get("sample", "")))
        return {
            "path": path,
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": is_ignored(path, ignore or ""),
            "oid": known[path].etag if path in known else None,
        }

    return as_json({"files": [answer(file) for file in call.json["files"]]})


def lfs_batch(state: HubState, call: Call) -> Answer:
    """Return where to upload each large file that is not there yet."""
    hosted = state.writable(call)

    def answer(wanted: dict[str, Any]) -> dict[str, Any]:
        found = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hosted.large:
            put = {"href": state.storage_address("PUT", hosted, wanted["oid"])}
            verify = {"href": f"{state.url}/{hosted.path}.git/info/lfs/objects/verify"}
            found |= {"authenticated": True, "actions": {"upload": put, "verify": verify}}
        return found

    objects = [answer(wanted) for wanted in call.json["objects"]]
    return as_json({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})


def lfs_verify(state: HubState, call: Call) -> Answer:
    """Check that a large file arrived completely."""
    blob = state.writable(call).large.get(call.json["oid"])
    if blob is None or len(blob.content) != call.json["size"]:
        raise Refusal(404, f"Large file {call.json['oid']} of {call.json['size']} bytes is not there")
    return as_json({})


def commit(state: HubState, call: Call) -> Answer:
    """Make a commit from lines of JSON: a header, then the files to add and delete."""
    hosted = state.writable(call)
    if call.flag("create_pr"):
        raise Refusal(400, "This Hub has no pull requests: commit to a branch")
    (_, header), *operations = [(line["key"], line["value"]) for line in map(json.loads, call.body.splitlines())]
    changes = [_CHANGES[key](hosted, value) for key, value in operations]
    _refuse_tokens(state, changes)
    _refuse_bad_card(hosted, changes)
    made = hosted.repository.commit(
        call.arguments["revision"],
        changes,
        title=header["summary"],
        message=header.get("description", ""),
        author=call.account.user,
        parent=header.get("parentCommit", ""),
    )
    if hosted.space:
        hosted.space.stage = "BUILDING" if "app.py" in made.files else "NO_APP_FILE"
    url = f"{state.url}/{hosted.path}/commit/{made.oid}"
    return as_json({"success": True, "commitOid": made.oid, "commitUrl": url})


def _regular(hosted: Hosted, value: dict[str, Any]) -> Change:
    return Change(value["path"], Blob.regular(base64.b64decode(value["content"])))


def _large(hosted: Hosted, value: dict[str, Any]) -> Change:
    try:
        return Change(value["path"], hosted.large[value["oid"]])
    except KeyError:
        raise Refusal(400, f"The large file of {value['path']} ({value['oid']}) was never uploaded") from None


_CHANGES = {
    "file": _regular,
    "lfsFile": _large,
    "deletedFile": lambda hosted, value: Change(value["path"]),
    "deletedFolder": lambda hosted, value: Change(value["path"], folder=True),
}


def _regular_files(changes: list[Change]) -> Iterator[tuple[str, bytes]]:
    return ((c.path, c.blob.content) for c in changes if c.blob is not None and c.blob.sha256 is None)


def _refuse_tokens(state: HubState, changes: list[Change]):
    """Refuse regular files with a valid token, as the Hub does; it does not search large files."""
    found = [path for path, content in _regular_files(changes) if state.access.tokens_in(content)]
    if found:
        files = "".join(f"\n- {path}" for path in found)
        raise Refusal(
            400, f"Your push was rejected because an HF access token was found in the following files:{files}"
        )


def _refuse_bad_card(hosted: Hosted, changes: list[Change]):
    for path, content in _regular_files(changes):
        if path == "README.md":
            errors, _ = check_card(content.decode("utf-8", "replace"), hosted.kind.name)
            if errors:
                raise Refusal(400, "Invalid metadata in README.md\n" + "\n".join(errors))
