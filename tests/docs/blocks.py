"""The fenced blocks of a page: what is run, what is a file, and what is left out with a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Why a block may be left out; written above it as <!-- not run: REASON -->.
REASONS = (
    "installs packages",
    "needs several processes",
    "needs the Hub",
    "runs elsewhere",
    "serves until it is stopped",
    "takes minutes",
    "times the layers of a real model",
)
BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- not run: (?P<reason>[^>]*?) -->\n(?P=indent))?```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: `sh`, `python`, `yaml` or `text`.
        text: what it holds.
        reason: why it is not run; None if it is.
        title: the name of the file that it is.
    """

    language: str
    text: str
    reason: str | None = None
    title: str | None = None

    @property
    def commands(self) -> list[str]:
        """The command lines of a shell block, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in their order."""
    return [Block(found["language"], found["text"], found["reason"], found["title"]) for found in BLOCK.finditer(page)]


def pages() -> dict[str, str]:
    """Return the pages that are written by hand, by their place, and the README."""
    found = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in sorted(DOCS.rglob("*.md"))}
    return {"README.md": (ROOT / "README.md").read_text(encoding="utf-8"), **found}
