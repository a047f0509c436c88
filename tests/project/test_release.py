"""A release: version, citation and changelog agree, and what disagrees is named."""

import shutil

import pytest

from recipes.tools.release_check import CHANGELOG, CITATION, ROOT, VERSION, disagreements


@pytest.fixture
def copy(tmp_path):
    """The three files, where they may be changed."""
    for name in (VERSION, CITATION, CHANGELOG):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def change(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_they_agree():
    assert disagreements() == []


def test_a_released_version_agrees_too(copy):
    change(copy / CHANGELOG, "## Unreleased\n", "## Unreleased\n\n## 0.1.0 - 2026-12-01\n")
    assert disagreements(copy) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (CITATION, "version: 0.1.0", "version: 0.0.9", "CITATION.cff says 0.0.9"),
        (VERSION, '"0.1.0"', '"0.2.0"', "says 0.2.0"),
        (CHANGELOG, "## Unreleased\n", "## 0.3.0 - 2027-01-01\n", "the last entry of CHANGELOG.md is 0.3.0"),
        (CHANGELOG, "## Unreleased\n", "### Unreleased\n", "has no entry"),
    ],
)
def test_what_disagrees_is_named(name, old, new, said, copy):
    change(copy / name, old, new)
    assert said in "; ".join(disagreements(copy))
