"""Marked: the part of a Markdown page between two markers, written anew by a command and by nobody else."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).with_name("README.md")
RESULTS = Path(__file__).with_name("results")


def replaced(text: str, name: str, content: str) -> str:
    """The page with other content between `<!-- NAME: start -->` and `<!-- NAME: end -->`.

    Args:
        text: the whole page.
        name: of the part.
        content: Markdown that ends with a line break.

    Raises:
        ValueError: the markers are missing.
    """
    opening, closing = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    before, start, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not start or not end:
        raise ValueError(f"The page lacks the markers {opening} and {closing}.")
    return f"{before}{opening}\n{content}{closing}{after}"


def table(rows: list[list[str]]) -> str:
    """Rows of cells as a Markdown table; the first row holds the headings."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])
