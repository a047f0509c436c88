"""What the pictures of the result files have in common: where they lie, ink, SVG with a text for those who cannot see it.

A picture is two files, NAME-light.svg and NAME-dark.svg, on no ground of their own. Each names the numbers that it was drawn
from by a digest, so that a test finds a stale one whatever matplotlib's version.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[2] / "docs/pictures"


@dataclass(frozen=True)
class Theme:
    """The colours that every picture uses on one ground, as #RRGGBB.

    Attributes:
        ground: what the page behind the picture is coloured like; it is not drawn.
        ink: of text, and of the line at zero.
        faint: of the lines behind the data.
    """

    ground: str
    ink: str
    faint: str


# The grounds are GitHub's.
THEMES = {"light": Theme("#ffffff", "#24292f", "#d0d7de"), "dark": Theme("#0d1117", "#e6edf3", "#3d444d")}


def digest(numbers: Any) -> str:
    """Return what the numbers of a picture are called, 16 hexadecimal digits; they must be serialisable as JSON."""
    return sha256(json.dumps(numbers).encode()).hexdigest()[:16]


def files(name: str) -> dict[str, Path]:
    """Return the file of a picture by theme."""
    return {theme: FOLDER / f"{name}-{theme}.svg" for theme in THEMES}


def stale(name: str, digest: str) -> list[str]:
    """Return the files of a picture that are missing or were drawn from other numbers than those of the digest."""
    return [
        file.name
        for file in files(name).values()
        if not file.is_file() or digest not in file.read_text(encoding="utf-8")
    ]


def write(name: str, draw: Callable[[str], str]) -> None:
    """Write both files of a picture.

    Args:
        name: of the picture.
        draw: returns its SVG for a theme.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for theme, file in files(name).items():
        file.write_text(draw(theme), encoding="utf-8")


@contextmanager
def settings(theme: str) -> Iterator[Theme]:
    """Draw with the type and the ink of a theme: text stays text, and the same numbers give the same file."""
    from matplotlib import rc_context

    colours = THEMES[theme]
    inked = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), colours.ink)
    plain = {"font.size": 10, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "trainer_ext"}
    with rc_context(plain | inked | {"axes.edgecolor": colours.faint}):
        yield colours


def label(ax: Axes, text: str, at: tuple[float, float], *, above: bool, gap: float, size: float, colour: str) -> None:
    """Write beyond one end of a bar.

    Args:
        ax: where.
        text: what.
        at: the end, in data.
        above: whether it is the upper one.
        gap: between the two, in points.
        size: of the type, in points.
        colour: of the text.
    """
    ax.annotate(
        *(text, at),
        xytext=(0, gap if above else -gap),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=size,
        color=colour,
    )


def svg(figure: Figure, *, title: str, description: str, digest: str) -> str:
    """Return a figure as SVG, on no ground.

    Args:
        figure: to draw.
        title: what is shown, in a few words.
        description: the same in sentences, for those who cannot see the picture.
        digest: of its numbers.
    """
    made = io.StringIO()
    figure.savefig(made, format="svg", transparent=True, metadata={"Date": None, "Description": digest})
    told = f"<title>{escape(title)}</title>\n <desc>{escape(description)}</desc>"
    text = re.sub(r"<svg ([^>]*)>", lambda found: f'<svg role="img" {found[1]}>\n {told}', made.getvalue(), count=1)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
