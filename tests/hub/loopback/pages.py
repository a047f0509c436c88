"""The page of a repository for people: its card, its metadata and its files, as one HTML file that asks nobody."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from tests.hub.loopback.card_checks import metadata, split
from tests.hub.loopback.readme_html import to_html

_TEMPLATES = Environment(loader=PackageLoader("tests.hub.loopback"), undefined=StrictUndefined, autoescape=True)
_UNITS = ("B", "kB", "MB", "GB")


def repository_page(repo_id: str, files: Mapping[str, bytes], *, files_at: str = "", note: str = "") -> str:
    """The page, as HTML that shows well on a phone, in light and dark.

    Args:
        repo_id: "user/name".
        files: content by path; README.md is what is shown.
        files_at: how the address of a file begins, seen from the page; empty if the page lies beside the files.
        note: a line above the card, for instance that nothing has been published.
    """
    readme = files.get("README.md", b"").decode("utf-8", "replace")
    head, body = split(readme)
    known = metadata(readme)

    def address(path: str) -> str:
        return files_at + quote(path)

    def image_address(path: str) -> str | None:
        return address(unquote(path)) if unquote(path) in files else None

    return _TEMPLATES.get_template("repository.html.j2").render(
        repo_id=repo_id,
        note=note,
        card=to_html(body, image_address=image_address),
        metadata={str(name): as_text(value) for name, value in known.items()},
        unreadable="" if known else head,
        files=[(path, address(path), in_words(len(files[path]))) for path in sorted(files)],
        total=in_words(sum(map(len, files.values()))),
    )


def as_text(value: Any) -> str:
    """A value of the metadata, as a person reads it."""
    if isinstance(value, list) and all(not isinstance(item, list | dict) for item in value):
        return ", ".join(map(str, value))
    if isinstance(value, list | dict):
        return yaml.safe_dump(value, allow_unicode=True, sort_keys=False).rstrip()
    return str(value)


def in_words(size: int) -> str:
    """Bytes with a unit: powers of 1000, one decimal from 1 kB on."""
    value, unit = float(size), _UNITS[0]
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
