"""HTML that all charts share: tables, notes, and the message shown when there is no result.

The functions of this package return HTML. They escape everything that comes from outside: texts, labels, names, reports.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from core.captions import Refused

from trainer_ext import InputError


def table(kind: str, columns: Iterable[str], rows: str) -> str:
    """Return a table.

    Args:
        kind: Its CSS classes.
        columns: HTML of the column headings.
        rows: HTML of all `<tr>` elements.
    """
    head = "".join(f"<th scope='col'>{column}</th>" for column in columns)
    return f"<table class='{kind}'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def note(html: str) -> str:
    """Return a paragraph in small print."""
    return f"<p class='note'>{html}</p>"


def refusal(error: InputError, language: str) -> str:
    """Return the reason why there is no result.

    Args:
        error: A :class:`Refused` is shown in the language of the page, any other error in English.
        language: "en" or "mr".
    """
    message = error.said(language) if isinstance(error, Refused) else str(error)
    return f"<p class='verdict refused' role='alert'>{escape(message)}</p>"
