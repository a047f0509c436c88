"""Endpoints that list the files of a revision, branches, tags and commits, and that create and delete references."""

from urllib.parse import parse_qs, urlencode

from tests.hub.loopback.answers import Answer, Refusal, as_json
from tests.hub.loopback.repository import MissingRevision
from tests.hub.loopback.state import Call, HubState
from tests.hub.loopback.trees import listing, rows, with_last_commits

PAGE, PAGE_EXPANDED = 1000, 50  # rows, as on the Hub


def tree(state: HubState, call: Call) -> Answer:
    """List a folder; `recursive` includes folders below it, `expand` adds the last commit of each row."""
    repository = state.visible(call).repository
    revision = call.arguments["revision"]
    found = listing(repository.at(revision).files, call.arguments.get("path", ""), recursive=call.flag("recursive"))
    start = int(call.query.get("cursor", ["0"])[-1])
    size = int(call.query.get("limit", [PAGE_EXPANDED if call.flag("expand") else PAGE])[-1])
    page = found[start : start + size]
    if call.flag("expand"):
        page = with_last_commits(page, list(repository.history(revision)))
    headers = {}
    if start + size < len(found):
        query = urlencode({**call.query, "cursor": start + size}, doseq=True)
        headers["Link"] = f'<{state.url}{call.path}?{query}>; rel="next"'
    return as_json(page, headers=headers)


def paths_info(state: HubState, call: Call) -> Answer:
    """List the requested paths that exist."""
    repository = state.visible(call).repository
    revision = call.arguments["revision"]
    asked = parse_qs(call.body.decode())  # a form
    found = rows(repository.at(revision).files, asked.get("paths", ()))
    if asked.get("expand", ["false"])[-1].lower() == "true":
        found = with_last_commits(found, list(repository.history(revision)))
    return as_json(found)


def refs(state: HubState, call: Call) -> Answer:
    """List branches and tags."""
    repository = state.visible(call).repository

    def listed(names, where):
        return [{"name": name, "ref": f"refs/{where}/{name}", "targetCommit": oid} for name, oid in names.items()]

    branches, tags = listed(repository.branches, "heads"), listed(repository.tags, "tags")
    return as_json({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


def create_branch(state: HubState, call: Call) -> Answer:
    """Create a branch at `startingPoint`, by default `main`."""
    state.writable(call).repository.create_branch(call.arguments["name"], call.json.get("startingPoint", "main"))
    return Answer()


def delete_branch(state: HubState, call: Call) -> Answer:
    """Delete a branch; its commits can still be reached by their hashes."""
    return _delete_ref(state.writable(call).repository.branches, call)


def create_tag(state: HubState, call: Call) -> Answer:
    """Create a tag."""
    state.writable(call).repository.create_tag(call.json["tag"], call.arguments["name"])
    return Answer()


def delete_tag(state: HubState, call: Call) -> Answer:
    """Delete a tag."""
    return _delete_ref(state.writable(call).repository.tags, call)


def _delete_ref(names: dict[str, str], call: Call) -> Answer:
    name = call.arguments["name"]
    if name == "main":
        raise Refusal(403, "Cannot delete refs/heads/main")
    if name not in names:
        raise MissingRevision(f"Invalid rev id: {name}")
    del names[name]
    return Answer()


def commits(state: HubState, call: Call) -> Answer:
    """List the commits of a revision, newest first."""
    found = state.visible(call).repository.history(call.arguments["revision"])
    return as_json(
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "authors": [{"user": commit.author}],
                "date": commit.date,
            }
            for commit in found
        ]
    )
