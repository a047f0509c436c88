"""Check that a release can be made: versions agree, sdist and wheel are built, their metadata is good, and the wheel runs.

`python -m recipes.tools.release_check` builds into dist/ with an environment of its own (build, twine), then runs the quickstart,
shortened, and the first command of the quick tour from that wheel in a clean environment of each Python that is named. It needs
a network, or pip's cache. With `--no-run` it stops before the clean environments.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).parents[2]
VERSION, CITATION, CHANGELOG = "trainer_ext/_version.py", "CITATION.cff", "CHANGELOG.md"
UNRELEASED = "Unreleased"
TOOLS = ("build>=1.2", "twine>=6")


def disagreements(root: Path = ROOT) -> list[str]:
    """Return what version, citation and changelog say differently; empty if they agree.

    Before the first release the changelog has no version yet, and after it one entry for the version at the top, below
    "Unreleased" if that is there.

    Args:
        root: The repository.
    """
    version = _found(root / VERSION, r'^__version__ = "([^"]+)"')
    cited = _found(root / CITATION, r"^version: (\S+)")
    entries = re.findall(r"^## \[?([^\]\s]+)", (root / CHANGELOG).read_text(encoding="utf-8"), re.MULTILINE)
    released = [entry for entry in entries if entry != UNRELEASED]
    found = [] if cited == version else [f"{CITATION} says {cited}, {VERSION} says {version}"]
    if not entries:
        found.append(f"{CHANGELOG} has no entry")
    if released and released[0] != version:
        found.append(f"the last entry of {CHANGELOG} is {released[0]}, {VERSION} says {version}")
    return found


def _found(file: Path, pattern: str) -> str | None:
    found = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def build(python: str, target: Path) -> Path:
    """Build sdist and wheel with an environment of its own, check their metadata, and return the wheel.

    Args:
        python: The Python to build with.
        target: The folder for both; what was in it goes.

    Raises:
        subprocess.CalledProcessError: A step fails; it says why.
    """
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        tools = Path(name) / "tools"
        inside = str(tools / "bin/python")
        _call(python, "-m", "venv", str(tools))
        _call(inside, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *TOOLS)
        # From a copy of what git has: files that lie about must not get into it.
        _call("git", "-C", str(ROOT), "archive", "--output", f"{name}/tree.tar", "HEAD")
        shutil.unpack_archive(f"{name}/tree.tar", f"{name}/tree")
        _call(inside, "-m", "build", "--outdir", str(target), f"{name}/tree")
        made = sorted(map(str, target.iterdir()))
        _call(inside, "-m", "twine", "check", "--strict", *made)
    (wheel,) = target.glob("*.whl")
    return wheel


def _call(*words: str) -> None:
    subprocess.run(words, check=True)


def main(
    python: Annotated[
        list[str] | None, typer.Argument(help="Pythons to install and run the wheel with; default: this one.")
    ] = None,
    torch: Annotated[str, typer.Option(help="Requirement that chooses the build of torch.")] = "torch",
    run: Annotated[bool, typer.Option(help="Install the wheel in clean environments and run it there.")] = True,
) -> None:
    """Check everything; exit with status 1 and a line if something is wrong."""
    if wrong := disagreements():
        typer.echo("; ".join(wrong), err=True)
        raise typer.Exit(1)
    pythons = python or [sys.executable]
    wheel = build(pythons[0], ROOT / "dist")
    for each in pythons if run else ():
        _call(sys.executable, "-m", "recipes.tools.fresh_wheel", each, "--torch", torch, "--wheel", str(wheel))
    typer.echo(f"{wheel.name}: ready; dist/ holds what is uploaded")


if __name__ == "__main__":
    typer.run(main)
