"""The pages of the documentation that nobody writes by hand: a hook of mkdocs, run by `make docs`.

The reference comes from the code: public names with their docstrings, commands, fields of a recipe, fields of the report and
messages. Whatever of these is not documented ends the build. Some pages lie elsewhere in the repository, where they are read
too, and join the site with their links changed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from recipes.tools import docs_messages, docs_names, docs_tables

ROOT = Path(__file__).parents[2]
# Pages of the repository, and where they are on the site.
ELSEWHERE = {
    "recipes/README.md": "results/recipes.md",
    "recipes/results/README.md": "results/full.md",
    "recipes/benchmarks/README.md": "results/benchmarks.md",
    "recipes/examples/README.md": "guides/examples.md",
    "recipes/notebooks/README.md": "guides/notebooks.md",
    "recipes/quickstart/DATASHEET.md": "results/quickstart_data.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "RELEASING.md": "project/releasing.md",
    "SECURITY.md": "project/security.md",
}
# Code whose documentation is a page of the site.
DESCRIBED = {
    "trainer_ext/pipeline/recipe.py": "reference/recipe.md",
    "trainer_ext/report/schema.py": "reference/report.md",
}
GENERATED: Mapping[str, Callable[[], str]] = {
    "reference/python.md": docs_names.page,
    "reference/commands.md": docs_tables.commands,
    "reference/recipe.md": docs_tables.recipe,
    "reference/report.md": docs_tables.report,
    "reference/messages.md": docs_messages.page,
}
# A picture for each colour scheme, as GitHub has it.
THEMED = re.compile(
    r"<picture>\s*"
    r'<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r'<img alt="(?P<alt>[^"]+)" src="(?P<light>[^"]+)"[^>]*>\s*'
    r"</picture>"
)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, as mkdocs asks its hooks; it names the arguments."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **named: Any) -> str:
    """Return a page of docs/ whose links to other files of the repository, as GitHub follows them, lead into the site."""
    site = page.file.src_uri
    is_moved = site in ELSEWHERE.values() or site in GENERATED
    return markdown if is_moved else _within(markdown, f"docs/{site}", site)


def pages() -> dict[str, str]:
    """Return the generated pages by their place below docs/.

    Raises:
        PluginError: Something public is not documented; the message names it.
    """
    if missing := [*docs_names.undocumented(), *docs_tables.undocumented()]:
        raise PluginError(f"Not documented: {', '.join(missing)}.")
    if gone := docs_messages.unknown((ROOT / "docs/help.md").read_text(encoding="utf-8")):
        raise PluginError(f"docs/help.md quotes messages that do not exist: {', '.join(gone)}.")
    moved = {site: _moved(source, site) for source, site in ELSEWHERE.items() if (ROOT / source).is_file()}
    return {name: make() for name, make in GENERATED.items()} | moved


def _moved(source: str, site: str) -> str:
    """Return a page of the repository as it stands on the site."""
    return _within(_switched((ROOT / source).read_text(encoding="utf-8")), source, site)


def _within(text: str, source: str, site: str) -> str:
    """Return a page whose links lead to pages of the site; a link to what is not there becomes a name."""
    return _without_dead(LINK.sub(lambda found: _link(found, source, site), text))


def _switched(text: str) -> str:
    """Return a page whose pictures follow the switch of the site, rather than what the browser prefers."""
    return THEMED.sub(r"![\g<alt>](\g<light>#only-light)\n![\g<alt>](\g<dark>#only-dark)", text)


def _link(found: re.Match[str], source: str, site: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
    inside = (ELSEWHERE | DESCRIBED).get(target) or (
        target.removeprefix("docs/") if target.startswith("docs/") else None
    )
    if inside is None:
        return "](DEAD)"
    return f"]({posixpath.relpath(inside, posixpath.dirname(site))}{found[2] or ''})"


def _without_dead(text: str) -> str:
    return re.sub(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(DEAD\)", r"\1", text)
