"""Card Markdown: text from outside made harmless, rich tables and code as Markdown.

Labels, names of splits and of processors may hold anything; on a page they are words, never markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup
from rich.table import Table

# Whatever Markdown or HTML would act on: an underscore only where it can begin or end emphasis, a bracket only where
# it can make a link, and at the beginning what would begin a list or a heading.
_ACTIVE = re.compile(r"[<>&|`*~$\\]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|^[-+#](?=[-+#\s]|$)|^\d(?=\d*[.)](?:\s|$))")
_MARGINS = {"left": "---", "right": "---:"}


def escape(value: object) -> Markup:
    """One line of text that shows as it is, in a sentence or in the cell of a table; `Markup` passes."""
    if isinstance(value, Markup):
        return value
    line = " ".join(str(value).splitlines())
    return Markup(_ACTIVE.sub(lambda found: f"&#{ord(found[0])};", line))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[bool] = ()) -> Markup:
    """A table; lines within a cell stay apart.

    Args:
        headings: of the columns.
        rows: as many cells each.
        right: which columns hold numbers; by default all but the first.
    """
    right = right or [index > 0 for index in range(len(headings))]
    margins = [_MARGINS["right" if numbers else "left"] for numbers in right]
    lines = [headings, *rows]
    cells = [["<br>".join(escape(line) for line in str(cell).splitlines()) for cell in line] for line in lines]
    return Markup("\n".join(f"| {' | '.join(line)} |" for line in (cells[0], margins, *cells[1:])))


def rich_table(source: Table) -> Markup:
    """The heading and the rows of a table for the terminal; its title and caption are left to the page."""
    columns = source.columns
    return table(
        [str(column.header) for column in columns],
        zip(*(column.cells for column in columns), strict=True),
        right=[column.justify == "right" for column in columns],
    )


def fenced(text: str, language: str = "") -> Markup:
    """A block of code that nothing within it can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{text.rstrip()}\n{fence}")
