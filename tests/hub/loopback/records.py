"""Records of requests, and their bodies decoded for a search."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# The values of a Space's secrets are meant to be sent. They are not recorded, so that a search for a token finds only leaks.
_HAS_SECRETS = re.compile(r"/api/(spaces/.+/secrets|repos/create)$")
_IN_BASE64 = ("content", "sample")  # of a file in a commit, and of a file that is about to be uploaded


@dataclass(frozen=True)
class Request:
    """A recorded request. `status` is None if the connection was dropped before an answer.

    Attributes:
        method: `GET`, `POST`, ...
        path: with the query.
        status: of the answer.
        body: as far as it arrived.
        storage: whether it went to the storage of large files, not to the Hub itself.
    """

    method: str
    path: str
    status: int | None
    body: bytes = field(default=b"", repr=False)
    storage: bool = False


def without_secrets(path: str, body: bytes) -> bytes:
    """Return a body without the values of secrets; `path` has no query."""
    if not (body and _HAS_SECRETS.search(path)):
        return body
    fields = json.loads(body)
    for secret in [fields, *fields.get("secrets", ())]:
        secret.pop("value", None)
    return json.dumps(fields).encode()


def in_the_clear(body: bytes) -> Iterator[bytes]:
    """Yield a body, then every base64-encoded file or sample in it, decoded."""
    yield body
    for line in body.splitlines() if body.startswith(b"{") else ():
        try:
            value = json.loads(line)
        except ValueError:
            continue  # a line cut off by a dropped connection, or a file that only begins like JSON
        yield from _decoded(value)


def _decoded(value: Any) -> Iterator[bytes]:
    if isinstance(value, list):
        for item in value:
            yield from _decoded(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _IN_BASE64 and isinstance(item, str):
                yield _from_base64(item)
            else:
                yield from _decoded(item)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode()  # validate-yaml sends its "content" as it is
