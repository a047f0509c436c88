"""Endpoints that list the files of a revision, in pages."""

from urllib.parse import parse_qs, urlencode

from tests.hub.loopback.answers import Answer, as_json
from tests.hub.loopback.state import Call, HubState
from tests.hub.loopback.trees import listing, rows, with_last_commits

PAGE, PAGE_EXPANDED = 1000, 50  # rows, as on the Hub


def tree(state: HubState, call: Call) -> Answer:
    """A folder: `recursive` goes below it, `expand` adds the last commit of each row."""
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
    """Rows of the paths that are asked for; those that do not exist are left out."""
    repository = state.visible(call).repository
    revision = call.arguments["revision"]
    asked = parse_qs(call.body.decode())  # a form
    found = rows(repository.at(revision).files, asked.get("paths", ()))
    if asked.get("expand", ["false"])[-1].lower() == "true":
        found = with_last_commits(found, list(repository.history(revision)))
    return as_json(found)
