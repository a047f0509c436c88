"""Endpoints of names and history: branches, tags and the list of commits."""

from tests.hub.loopback.answers import Answer, Refusal, as_json
from tests.hub.loopback.repository import MissingRevision
from tests.hub.loopback.state import Call, HubState


def refs(state: HubState, call: Call) -> Answer:
    """All branches and tags."""
    repository = state.visible(call).repository

    def listed(names, where):
        return [{"name": name, "ref": f"refs/{where}/{name}", "targetCommit": oid} for name, oid in names.items()]

    branches, tags = listed(repository.branches, "heads"), listed(repository.tags, "tags")
    return as_json({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


def create_branch(state: HubState, call: Call) -> Answer:
    """A branch, from `startingPoint` or from `main`."""
    state.writable(call).repository.create_branch(call.arguments["name"], call.json.get("startingPoint", "main"))
    return Answer()


def delete_branch(state: HubState, call: Call) -> Answer:
    """Forget a branch; its commits can still be reached by their hashes."""
    return _forget(state.writable(call).repository.branches, call)


def create_tag(state: HubState, call: Call) -> Answer:
    """A name for a commit."""
    state.writable(call).repository.create_tag(call.json["tag"], call.arguments["name"])
    return Answer()


def delete_tag(state: HubState, call: Call) -> Answer:
    """Forget a tag."""
    return _forget(state.writable(call).repository.tags, call)


def _forget(names: dict[str, str], call: Call) -> Answer:
    name = call.arguments["name"]
    if name == "main":
        raise Refusal(403, "Cannot delete refs/heads/main")
    if name not in names:
        raise MissingRevision(f"Invalid rev id: {name}")
    del names[name]
    return Answer()


def commits(state: HubState, call: Call) -> Answer:
    """The commits of a revision, newest first."""
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
