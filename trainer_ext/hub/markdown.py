"""Write Markdown in which text from outside (labels, names of splits and processors) is never markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup
from rich.table import Table

# What is special in Markdown or HTML: an underscore only where it can begin or end emphasis, a bracket only where it can
# make a link, and at the start of a line what would begin a list or a heading.
_ACTIVE = re.compile(r"[<>&|`*~$\\]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|^[-+#](?=[-+#\s]|$)|^\d(?=\d*[.)](?:\s|$))")
_MARGINS = {"left": "---", "right": "---:"}


def escape(value: object) -> Markup:
    """Return a text as one line in which nothing is markup; `Markup` is returned as it is."""
    if isinstance(value, Markup):
        return value
    line = " ".join(str(value).splitlines())
    return Markup(_ACTIVE.sub(lambda found: f"&#{ord(found[0])};", line))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[bool] = ()) -> Markup:
    """Return a table; line breaks within a cell are kept.

    Args:
        headings: The headings of the columns.
        rows: The cells of each row.
        right: Which columns are aligned to the right; by default all but the first.
    """
    right = right or [index > 0 for index in range(len(headings))]
    margins = [_MARGINS["right" if numbers else "left"] for numbers in right]
    lines = [headings, *rows]
    cells = [["<br>".join(escape(line) for line in str(cell).splitlines()) for cell in line] for line in lines]
    return Markup("\n".join(f"| {' | '.join(line)} |" for line in (cells[0], margins, *cells[1:])))


def rich_table(source: Table) -> Markup:
    """Return a rich table as Markdown, without its title and caption."""
    columns = source.columns
    return table(
        [str(column.header) for column in columns],
        zip(*(column.cells for column in columns), strict=True),
        right=[column.justify == "right" for column in columns],
    )


def fenced(text: str, language: str = "") -> Markup:
    """Return a code block with a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{text.rstrip()}\n{fence}")
