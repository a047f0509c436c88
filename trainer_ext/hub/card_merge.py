"""Merge a newly generated model card with the card that a person may have edited.

A fingerprint of each generated section is kept in the HTML comment above it, so that an edited section is recognized. One
more comment, the record, holds the generated front matter and a fingerprint of the whole card.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple

from .card_metadata import COMPUTED, front_matter, merge_metadata, split_card

_RECORD = re.compile(r"^<!-- trainer-ext record (?P<digest>[0-9a-f]{16}) (?P<values>\{.*\}) -->$", re.MULTILINE)
_SECTION = re.compile(
    r"^<!-- trainer-ext:(?P<name>[a-z-]+) (?P<digest>[0-9a-f]{16}) -->[ \t]*\n"
    r"(?P<text>(?:(?!<!-- /?trainer-ext:[a-z-]+(?: [0-9a-f]{16})? -->[ \t]*$).*\n)*)"
    r"<!-- /trainer-ext:(?P=name) -->[ \t]*(?:\n|\Z)",
    re.MULTILINE,
)
_BY_TRAINER = "generated automatically according to the information the Trainer had access to"  # in its own cards


class Merged(NamedTuple):
    """A merged card, and the names of the sections that a person had edited and that were kept."""

    text: str
    kept: tuple[str, ...] = ()


def section(text: str, name: str) -> str:
    """Return a generated section between its comments; what looks like such a comment inside it is escaped."""
    text = re.sub("<!-- (/?trainer-ext)", r"&lt;!-- \1", text.strip("\n"))
    text = f"\n{text}\n\n" if text else ""
    return f"<!-- trainer-ext:{name} {_fingerprint(text)} -->\n{text}<!-- /trainer-ext:{name} -->\n"


def assemble(metadata: dict[str, Any], body: str) -> str:
    """Return a generated card: front matter, record and sections."""
    head, body = front_matter(metadata), f"\n{body.strip()}\n"
    editable = {key: value for key, value in metadata.items() if key not in COMPUTED}
    record = json.dumps(editable, ensure_ascii=False).replace(">", "\\u003e")
    return f"{head}<!-- trainer-ext record {_fingerprint(head + body)} {record} -->\n{body}"


def merge(generated: str, existing: str | None) -> Merged:
    """Update an existing card: sections and metadata that nobody edited become the generated ones.

    A section that a person removed stays removed. A card that this package did not write is appended to the generated
    one unchanged; if transformers' Trainer generated it, it is dropped.

    Raises:
        InputError: The front matter of the existing card cannot be read.
    """
    metadata, body = split_card(_normalize(existing or ""))
    record, known = _RECORD.search(body), _SECTION.search(body)
    if not (metadata or body.strip()) or (not record and not known and _by_trainer(body)):
        return Merged(generated)
    new_metadata, new_body = split_card(generated)
    new_record, new_sections = _RECORD.search(new_body), {one["name"]: one[0] for one in _SECTION.finditer(new_body)}
    kept: dict[str, None] = {}

    def update(one: re.Match[str]) -> str:
        if _fingerprint(one["text"]) == one["digest"]:
            return new_sections.get(one["name"], "")
        kept[one["name"]] = None
        return one[0]

    if record or known:
        body = _RECORD.sub(lambda _: new_record[0] if new_record else "", _SECTION.sub(update, body))
    else:
        body = "\n".join([new_body, body.strip("\n"), ""]) if body.strip() else new_body
    try:
        before = json.loads(record["values"]) if record else {}
    except ValueError:  # a person edited the record
        before = {}
    return Merged(front_matter(merge_metadata(new_metadata, metadata, before)) + body, tuple(kept))


def is_unedited(card: str) -> bool:
    """Return whether a card is as it was generated, by this package or by transformers' Trainer."""
    card = _normalize(card)
    record = _RECORD.search(card)
    return _fingerprint(_RECORD.sub("", card, count=1)) == record["digest"] if record else _by_trainer(card)


def _by_trainer(card: str) -> bool:
    return _BY_TRAINER in " ".join(card.split())


def _fingerprint(text: str) -> str:
    """Return a hash that ignores blank lines and spaces at the ends of lines."""
    return hashlib.sha256("\n".join(filter(None, map(str.rstrip, text.split("\n")))).encode()).hexdigest()[:16]


def _normalize(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
