"""The list of messages: every refusal of the package as its source has it, so that a search of the site finds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "trainer_ext"
ERRORS = {"InputError", "ValueError", "CheckFailed", "ExportRefused", "Diverged"}
SHORT = 24  # characters: a message below is a part that another function completes
# The rooms of the package in the order of the page.
ROOMS = {
    "training_args.py": "Arguments",
    "trainer.py": "The trainer",
    "cli": "Commands",
    "pipeline": "Recipes and runs",
    "data": "Data",
    "tasks": "Tasks",
    "models": "Models",
    "pruning": "Pruning",
    "distillation": "Distillation",
    "vocabulary": "Vocabulary",
    "benchmark": "Timing and energy",
    "export": "Export",
    "sweep": "Sweeps and searches",
    "hub": "The Hub",
    "report": "Reports",
}


def page() -> str:
    """Return the page."""
    lines = [
        "# Messages",
        "",
        "Every refusal says what is wrong and what to do. Names in braces stand for what was found. What to do about the "
        "common ones: [Messages and what to do](../help.md).",
        "",
    ]
    found = messages()
    for room in [*ROOMS, *sorted(found.keys() - ROOMS.keys())]:
        if room in found:
            lines += [f"## {ROOMS.get(room, room.removesuffix('.py').replace('_', ' ').capitalize())}", ""]
            lines += [f"- `{text}`" for text in found[room]] + [""]
    return "\n".join(lines)


def messages() -> dict[str, list[str]]:
    """Return the messages by room, sorted."""
    found: dict[str, set[str]] = {}
    for file in sorted(ROOT.rglob("*.py")):
        room = file.relative_to(ROOT).parts[0]
        texts = {text for text in _of_file(file) if len(text) >= SHORT}
        found.setdefault(room, set()).update(texts)
    return {room: sorted(texts, key=str.lower) for room, texts in found.items() if texts}


def unknown(help_page: str) -> list[str]:
    """Return the quoted beginnings of rows of the help page that no source file of the package has.

    Args:
        help_page: the text of docs/help.md.
    """
    source = "".join(file.read_text(encoding="utf-8") for file in sorted(ROOT.rglob("*.py")))
    plain = re.sub(r'"\s*f?"', "", source)  # strings that stand in several lines
    return [quoted for quoted in re.findall(r"^\| `([^`]+)` \|", help_page, re.MULTILINE) if quoted not in plain]


def _of_file(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
            yield from filter(None, [_text(node.args[0])])


def _text(node: ast.expr) -> str | None:
    """A string as its source has it, with what is filled in in braces."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else f"{{{_name(part)}}}" for part in node.values]
        text = "".join(map(str, parts))
    else:
        return None
    return " ".join(text.replace("`", "'").split())


def _name(part: ast.expr) -> str:
    """A short name of what is filled in: the last word of the expression."""
    inner = part.value if isinstance(part, ast.FormattedValue) else part
    if isinstance(inner, ast.Name):
        return inner.id
    if isinstance(inner, ast.Attribute):
        return inner.attr
    names = [node.id for node in ast.walk(inner) if isinstance(node, ast.Name)]
    return names[-1] if names else "..."
