"""Answers of the endpoints, and refusals with the headers that the client reads."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Status, body and headers; the length of the body is added when it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON answer; other types (a date from a card) become text."""
    return Answer(
        status, json.dumps(value, default=str).encode(), {"Content-Type": "application/json", **(headers or {})}
    )


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status, 4xx or 5xx.
        message: The text for `X-Error-Message` and for the body.
        code: `X-Error-Code`, from which the client chooses its exception (`RepoNotFound`, `RevisionNotFound`, ...).
        headers: further headers.
        fields: further fields of the JSON body.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None, headers=None, **fields):
        super().__init__(message)
        self.status, self.message, self.fields = status, message, fields
        # A header is one line of ASCII; the body has the message as it is.
        line = " ".join(message.split()).encode("ascii", "backslashreplace").decode()
        self.headers = {**(headers or {}), "X-Error-Message": line, **({"X-Error-Code": code} if code else {})}

    def answer(self) -> Answer:
        """Return the answer to send."""
        return as_json({"error": self.message, **self.fields}, status=self.status, headers=self.headers)


def content_answer(content: bytes, wanted: str | None, headers: Mapping[str, str]) -> Answer:
    """Return a file, or the part of it that a Range header asks for.

    Args:
        content: the whole file.
        wanted: the header `Range: bytes=first-last` (either end may be missing), or None for everything.
        headers: of the file.
    """
    headers = {"Accept-Ranges": "bytes", **headers}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if match is None or match.groups() == ("", ""):
        return Answer(200, content, headers)
    first, last = match.groups()
    start = int(first) if first else max(0, len(content) - int(last))
    stop = min(len(content), int(last) + 1) if first and last else len(content)
    if start >= stop:
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
    part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return Answer(206, content[start:stop], headers | part)
