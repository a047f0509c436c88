"""Records: every request that came, and every byte that came with one, in the clear."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# The values of a Space's secrets are meant to go to the Hub. They are not kept, so that a search for a token in what
# was uploaded finds leaks only.
_HAS_SECRETS = re.compile(r"/api/(spaces/.+/secrets|repos/create)$")
_IN_BASE64 = ("content", "sample")  # of a file in a commit, and of a file that is about to be uploaded


@dataclass(frozen=True)
class Request:
    """A request as it came. `status` is None where the connection was dropped before there was an answer.

    Attributes:
        method: `GET`, `POST`, ...
        path: with the query.
        status: of the answer.
        body: what came of it.
        storage: whether it went to the storage of large files, not to the Hub itself.
    """

    method: str
    path: str
    status: int | None
    body: bytes = field(default=b"", repr=False)
    storage: bool = False


def without_secrets(path: str, body: bytes) -> bytes:
    """The body with the values of secrets taken out; `path` has no query."""
    if not (body and _HAS_SECRETS.search(path)):
        return body
    fields = json.loads(body)
    for secret in [fields, *fields.get("secrets", ())]:
        secret.pop("value", None)
    return json.dumps(fields).encode()


def in_the_clear(body: bytes) -> Iterator[bytes]:
    """The body, then every file and beginning of a file that lies in it as base64."""
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
