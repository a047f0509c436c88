"""Licences: every dependency that is installed has one that is allowed, and the list in docs/ names each of them."""

from dataclasses import replace
from email.message import Message
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from recipes.tools.licences import (
    ACCELERATOR,
    FILE,
    UNNAMED,
    Package,
    licence_of,
    not_allowed,
    packages,
    refused,
    render,
)

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


@pytest.fixture(scope="module")
def found():
    return packages()


def metadata(**fields):
    message = Message()
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            message[name.replace("_", "-")] = value
    return message


@pytest.fixture(scope="module")
def pinned(found):
    """The pinned versions. Skips where others are installed, which may say less of their licence."""
    lines = [line.split("#")[0].strip() for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines()]
    pinned = {canonicalize_name(line.name): line for line in map(Requirement, filter(None, lines))}
    others = [p.name for p in found if p.name in pinned and not pinned[p.name].specifier.contains(version(p.name))]
    if others:
        pytest.skip(f"other versions than constraints.txt has: {', '.join(others[:3])}")
    return pinned


@pytest.mark.usefixtures("pinned")
def test_every_licence_is_allowed(found):
    assert len(found) > 80
    assert not_allowed(found) == []


@pytest.mark.usefixtures("pinned")
def test_one_that_is_not_is_named(found):
    made_up = replace(found[0], licence="Made-Up-1.0")
    assert not_allowed([made_up, *found[1:]]) == [
        f"{made_up.name} {made_up.version} ({made_up.needed_by}): Made-Up-1.0"
    ]


def test_who_needs_what(found):
    needed_by = {package.name: package.needed_by for package in found}
    assert {needed_by[name] for name in ("torch", "transformers", "tokenizers", "filelock")} == {"required"}
    assert (needed_by["gradio"], needed_by["openvino"], needed_by["pytest"]) == ("demo", "export", "dev")
    assert "trainer-ext" not in needed_by


def test_the_list_in_docs_is_that_of_the_pinned_versions(found, pinned):
    names = {package.name for package in found if not ACCELERATOR.match(package.name)}
    assert names - pinned.keys() <= {"setuptools"}  # comes with the environment
    assert FILE.read_text(encoding="utf-8") == render(found), "write it: make licences"


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT AND PSF-2.0", "License": "other"}, "MIT AND PSF-2.0"),
        ({"Classifier": ["License :: OSI Approved :: Apache Software License"]}, "Apache-2.0"),
        ({"Classifier": ["License :: OSI Approved", "Topic :: X"], "License": "MIT"}, "MIT"),
        ({"License": "BSD\n\nRedistribution and use ..."}, "BSD-3-Clause"),
        ({"License": ""}, UNNAMED),
        ({}, UNNAMED),
    ],
)
def test_what_a_package_says(fields, licence):
    assert licence_of(metadata(**fields)) == licence


@pytest.mark.parametrize(
    ("licence", "bad"),
    [
        ("MIT", []),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", []),
        ("Apache-2.0 WITH LLVM-exception", []),
        ("GPL-3.0-only OR MIT", []),
        ("GPL-3.0-only AND MIT", ["GPL-3.0-only"]),
        ("GPL-3.0-only", ["GPL-3.0-only"]),
        ("AGPL-3.0-only OR GPL-3.0-only", ["AGPL-3.0-only"]),
        (UNNAMED, [UNNAMED]),
    ],
)
def test_what_is_refused(licence, bad):
    assert refused(licence) == bad


def test_what_cuda_brings_is_told_apart():
    cuda = Package("nvidia-cublas-cu12", "12", "NVIDIA Proprietary Software", "required")
    assert not_allowed([cuda]) == []
    assert "nvidia-cublas-cu12" not in render([cuda])
    assert not_allowed([replace(cuda, name="other")])
    assert not_allowed([replace(cuda, name="nvidia-ml-py")]), "which is on every machine"
