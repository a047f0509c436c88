"""The site: it builds without a warning, its search finds what people look for, and gaps in the reference end the build."""

import json
import os
import subprocess
import sys

import pytest
from mkdocs.exceptions import PluginError

from recipes.tools import docs_messages, docs_names, docs_pages, docs_tables
from tests.docs.blocks import ROOT
from trainer_ext.report import schema

SOUGHT = (
    "multilingual",
    "int8",
    "no labels",
    "busy machine",
    "prune_sparsity",
    "EmissionsCallback",
    "trust_remote_code",
)


def build(*words, cwd=ROOT):
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_is_found(tmp_path):
    done = build("--site-dir", tmp_path / "site")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    found = json.loads((tmp_path / "site/search/search_index.json").read_text(encoding="utf-8"))["docs"]
    texts = [f"{page['title']} {page['text']}".lower() for page in found]
    assert [word for word in SOUGHT if not any(word.lower() in text for text in texts)] == []
    titles = {page["title"].lower() for page in found}
    assert {"no labels", "a busy machine", "shrink a multilingual model"} <= titles
    assert {"compress", "benchmark", "push", "sweep"} <= titles


@pytest.mark.slow
def test_a_broken_link_fails(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# One\n\n[two](two.md) [part](#missing)\n", encoding="utf-8")
    (tmp_path / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT}/mkdocs.yml\nnav: [index.md]\nhooks: []\nplugins: [search]\n"
    )
    done = build(cwd=tmp_path)
    assert done.returncode != 0
    assert "two.md" in done.stderr
    assert "#missing" in done.stderr


def test_nothing_public_is_undocumented():
    assert docs_names.undocumented() == []
    assert docs_tables.undocumented() == []
    shown = docs_pages.pages()
    assert all(
        f"::: trainer_ext.{name}\n" in shown["reference/python.md"] for name in ("trainer.DistillPruneTrainer",)
    )
    assert all(f"| `{name}` |" in shown["reference/recipe.md"] for name in ("vocab_size", "texts", "learning_rate"))
    assert all(f"\n## {name}\n" in shown["reference/commands.md"] for name, _ in docs_tables._all_commands())
    assert "| `ffn_width` | `list[int] \\| None` | remaining neurons, per layer |" in shown["reference/report.md"]
    assert "cannot be reached" in shown["reference/messages.md"]


def test_a_gap_ends_the_build(monkeypatch):
    monkeypatch.setattr(schema.Pair, "__doc__", "")
    with pytest.raises(PluginError, match=r"Not documented: trainer_ext\.report\.Pair, Pair of the report\."):
        docs_pages.pages()
    monkeypatch.undo()
    monkeypatch.setitem(docs_names.PACKAGES, "trainer_ext.errors", "")
    monkeypatch.delitem(docs_names.PACKAGES, "trainer_ext.hub")
    monkeypatch.setattr(docs_names, "public", lambda package: [("of", lambda first, second: None)])
    missing = docs_names.undocumented()
    assert {"package trainer_ext.hub", "trainer_ext.errors.of", "trainer_ext.errors.of(second)"} <= set(missing)


def test_a_quoted_message_must_exist():
    page = "| `cannot be reached` | a | b |\n| `nobody ever says so` | a | b |\n"
    assert docs_messages.unknown(page) == ["nobody ever says so"]


def test_links_lead_somewhere_on_github_too():
    """Pages are read there as well, where what the site generates is missing."""
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "recipes").rglob("*.md"), *ROOT.glob("*.md")]
    links = [
        (page, found[1]) for page in pages for found in docs_pages.LINK.finditer(page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 100
    assert [(str(page), link) for page, link in links if not (page.parent / link).exists()] == []


def test_a_link_to_another_file_of_the_repository_leads_into_the_site():
    page = "[a](../../recipes/README.md#data) [b](../../trainer_ext/report/schema.py) [c](script.md) [d](../../Makefile) [e](#here)"
    inside = "[a](../results/recipes.md#data) [b](../reference/report.md) [c](script.md) d [e](#here)"
    assert docs_pages._within(page, "docs/guides/report.md", "guides/report.md") == inside


def test_a_page_from_elsewhere_keeps_its_links_within_the_site():
    moved = docs_pages._moved("recipes/README.md", "results/recipes.md")
    assert "](benchmarks.md#outcomes)" in moved
    assert "](quickstart_data.md)" in moved
    for picture in ("frontier", "grid"):
        assert f"](../pictures/{picture}-light.svg#only-light)\n![" in moved
        assert f"](../pictures/{picture}-dark.svg#only-dark)\n" in moved
    assert "<picture>" not in moved, "the site has a switch, which a browser's preference does not follow"
    assert "quickstart.yaml)" not in moved
