"""Download endpoints: files by revision and path, and the storage of large files.

The storage is another origin (the same machine, another port), as on the real Hub: on a redirect within its origin the
client would read the metadata of a file from the wrong answer.
"""

import hmac

from tests.hub.loopback.answers import Answer, Refusal, content_answer
from tests.hub.loopback.catalogue import Hosted
from tests.hub.loopback.repository import Blob
from tests.hub.loopback.state import Call, HubState

# As on the real Hub, a browser never runs the content of a file.
INERT = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
IMAGE_TYPES = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}


def resolve(state: HubState, call: Call) -> Answer:
    """Return a file, or a redirect to a large one, with the headers that the client's cache uses."""
    hosted = state.visible(call)
    commit = hosted.repository.at(call.arguments["revision"])
    path = call.arguments["path"]
    headers = {"X-Repo-Commit": commit.oid}
    if path not in commit.files:
        raise Refusal(404, "Entry not found", code="EntryNotFound", headers=headers)
    blob = commit.files[path]
    if blob.sha256:
        linked = {"X-Linked-ETag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
        address = state.storage_address("GET", hosted, blob.sha256)
        return Answer(302, b"", headers | linked | {"Location": address})
    headers |= {"ETag": f'"{blob.oid}"', "Content-Type": content_type(path)} | INERT
    return content_answer(blob.content, call.headers.get("range"), headers)


def content_type(path: str) -> str:
    """Return the content type of a file: an image or text."""
    return IMAGE_TYPES.get(path.rpartition(".")[2].lower(), "text/plain; charset=utf-8")


def _signed(state: HubState, call: Call) -> tuple[Hosted, str]:
    """Return the repository and the SHA-256 in a path of the storage; refuse a wrong signature."""
    method = "GET" if call.method == "HEAD" else call.method
    given = call.query.get("signature", [""])[-1]
    if not hmac.compare_digest(state.signature(method, call.path), given):
        raise Refusal(403, "The signature of this address is wrong")
    return state.catalogue.get(call.arguments["type"], call.arguments["repo"]), call.arguments["sha256"]


def put_object(state: HubState, call: Call) -> Answer:
    """Store a large file if its hash is right."""
    hosted, sha256 = _signed(state, call)
    blob = Blob.large(call.body)
    if blob.sha256 != sha256:
        raise Refusal(400, f"This is not the content with the SHA-256 {sha256}")
    hosted.large[sha256] = blob
    return Answer()


def get_object(state: HubState, call: Call) -> Answer:
    """Return a large file."""
    hosted, sha256 = _signed(state, call)
    headers = {"ETag": f'"{sha256}"', "Content-Type": "application/octet-stream"} | INERT
    return content_answer(hosted.large[sha256].content, call.headers.get("range"), headers)
