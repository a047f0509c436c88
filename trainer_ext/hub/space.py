"""Make the files of a Space that compares two models: the page, its settings, and this package as a wheel."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from importlib.metadata import PathDistribution, distributions
from pathlib import Path

from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

from .._version import __version__
from ..errors import InputError, one_line
from ..utils.imports import require
from .sanitize import refusal

_PACKAGE = Path(__file__).parents[1]
_INFO = f"trainer_ext-{__version__}.dist-info"
_PAGE_SUFFIXES = frozenset({".css", ".md", ".py", ".txt"})  # without models.json, which a user may have put there
_PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE", "trainer_ext", "space")
_OF_ONE_INSTALLATION = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
_EPOCH = "315532800"  # 1980, the first year of the zip format; the date of every file, so that the bytes are the same
_PLACEHOLDER = "USER/NAME"
_REQUIRED = ("sdk", "sdk_version", "python_version", "app_file")  # front matter that the page needs to start


def space_folder() -> Path:
    """Return the folder of `app.py`: `trainer_ext/space/` in an installation, `space/` in a checkout."""
    installed = _PACKAGE / "space"
    return installed if installed.is_dir() else _PACKAGE.parent / "space"


def page_files() -> dict[str, bytes]:
    """Return the files of the page by their path in the Space, sorted.

    Raises:
        FileNotFoundError: The folder is missing, so the installation is broken.
    """
    folder = space_folder()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing; install trainer_ext again.")
    files = sorted(file for file in folder.rglob("*") if file.suffix in _PAGE_SUFFIXES)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@cache
def build_wheel() -> tuple[str, bytes]:
    """Build a wheel of this package without a network.

    A checkout is built with `build`. An installed package has no sources to build from, so that its files are packed into
    a wheel again with `wheel`. Either way the same files give the same bytes.

    Returns:
        The name and the bytes of the wheel.

    Raises:
        InputError: `build` or `wheel` is not installed or fails, or the package runs without being installed.
    """
    checkout = space_folder().parent == _PACKAGE.parent
    require("build" if checkout else "wheel", extra="space")
    with tempfile.TemporaryDirectory() as scratch:
        sources, target = Path(scratch, "sources"), Path(scratch, "wheel")
        if checkout:
            for name in _PROJECT_FILES:  # a copy, because setuptools leaves files in the folder that it builds
                _copy(_PACKAGE.parent / name, sources / name)
            command = ["build", "--wheel", "--no-isolation", "--outdir", str(target), str(sources)]
        else:
            for installed, name in _installed_files().items():
                _copy(installed, sources / name)
            command = ["wheel", "pack", "--dest-dir", str(target), str(sources)]
        target.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=scratch,
            env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            reason = one_line(done.stdout[-600:], most=600)
            raise InputError(f"The wheel of trainer_ext for the Space cannot be built: {reason}")
        (wheel,) = target.glob("*.whl")
        return wheel.name, wheel.read_bytes()


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without access rights and caches, which differ between machines."""
    files = [source] if source.is_file() else [file for file in source.rglob("*") if file.is_file()]
    for file in files:
        if file.suffix != ".pyc":
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            copy.chmod(0o644)


def _installed_files() -> dict[Path, str]:
    """Return the files that pip installed, with their paths in a wheel."""
    for found in distributions(name="trainer_ext"):
        files = [file for file in found.files or () if file.parts[0] in ("trainer_ext", _INFO)]
        if any(file.parts == (_INFO, "METADATA") for file in files):
            return {
                Path(str(file.locate())): file.as_posix() for file in files if file.name not in _OF_ONE_INSTALLATION
            }
    raise InputError(f"trainer_ext {__version__} is not installed with its metadata; install it with pip.")


def requirements(wheel: bytes, extra: str) -> list[str]:
    """Return what the package in a wheel requires with one of its extras, as lines for pip."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        lines = PathDistribution(zipfile.Path(archive, f"{_INFO}/")).requires or []
    required = [line for line in map(Requirement, lines) if not line.marker or line.marker.evaluate({"extra": extra})]
    for line in required:
        line.marker = None
    return [str(line) for line in required]


def space_files(
    *,
    space_id: str,
    baseline: str,
    compressed: str,
    private: bool = False,
    hardware: str | None = None,
    endpoint: str = "https://huggingface.co",
    license: str | None = None,
    title: str | None = None,
    readme: str | None = None,
) -> dict[str, bytes]:
    """Return the files of a Space by their path; the same arguments give the same bytes.

    Args:
        space_id: Hub id of the Space, "user/name".
        baseline: Hub id of the model before compression.
        compressed: Hub id of the model after compression.
        private: The Space or a model is private. The build of a Space has no token: nothing is preloaded then, and the
            package is imported from the wheel beside `app.py` because pip could not download it.
        hardware: Suggested to users who duplicate the Space, such as "zero-a10g"; None is the Hub's default.
        endpoint: Address of the Hub.
        license: Licence identifier of the models.
        title: Title of the Space; None uses the name of the compressed model.
        readme: The README.md that the Space has now, whose text and additional front matter are kept.

    Raises:
        InputError: An id is not valid, or the wheel cannot be built.
    """
    for name, value in {"space_id": space_id, "baseline": baseline, "compressed": compressed}.items():
        if refusal(value):
            raise InputError(f"{name}={value!r} is not the id of a repository; give USER/NAME.")
    wheel_name, wheel = build_wheel()
    models = {"baseline": baseline, "compressed": compressed}
    url = f"{endpoint.rstrip('/')}/spaces/{space_id}/resolve/main/{wheel_name}"
    files = page_files()
    card = SpaceCard(files["README.md"].decode().replace(_PLACEHOLDER, space_id))
    required = {name: card.data[name] for name in _REQUIRED}
    card = SpaceCard(readme) if readme else card
    settings = {
        **(required if readme else {}),
        "title": title or (None if readme else f"{compressed.rpartition('/')[2]}: before and after"),
        "models": [*models.values()],
        "license": license,
        "suggested_hardware": hardware,
    }
    for name, value in settings.items():
        if value:
            card.data[name] = value
    card.data["preload_from_hub"] = None if private else [*models.values()]
    files["README.md"] = str(card).encode()
    files["models.json"] = (json.dumps(models, indent=2) + "\n").encode()
    lines = _requirements_beside(wheel_name, wheel) if private else _requirements_by_url(url, wheel)
    files["requirements.txt"] = "\n".join([*lines, ""]).encode()
    files[wheel_name] = wheel
    return files


def _requirements_by_url(url: str, wheel: bytes) -> list[str]:
    """Require the package by the address of its wheel.

    The Hub installs again only if requirements.txt changes, so that the hash of the wheel is in it. It is a comment: in a
    duplicated Space, the address may lead to a newer wheel, and pip must not refuse that.
    """
    return [f"# sha256 of the wheel: {hashlib.sha256(wheel).hexdigest()}", f"trainer-ext[demo] @ {url}"]


def _requirements_beside(wheel_name: str, wheel: bytes) -> list[str]:
    """Require what the package needs, without the package itself."""
    return [
        f"# app.py imports trainer_ext from {wheel_name}, which pip cannot download here.",
        *requirements(wheel, "demo"),
    ]
