"""Space files: the folder `space/` as it is published, with the models, the front matter and the requirements filled in.

Space folder: where the page's own files lie, in a checkout and after `pip install`.

Wheel: the installed package as one file that pip installs and Python imports from, made without a network.

The format is the binary distribution format of the Python packaging guide (PEP 427). What it says of itself comes from
the metadata that pip installed, so an editable install, a checkout of it and an installed wheel give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from huggingface_hub import SpaceCard

from .._version import __version__
from ..errors import InputError
from .sanitize import refusal

_KINDS = frozenset({".css", ".md", ".py", ".txt"})  # not models.json, which a person may have put there


def space_folder() -> Path:
    """The folder that holds `app.py`: `trainer_ext/space/` where the package is installed, `space/` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "space"
    return installed if installed.is_dir() else package.parent / "space"


def page_files() -> dict[str, bytes]:
    """Content of the page's own files by name, sorted.

    Raises:
        FileNotFoundError: there is no such folder; the installation is broken.
    """
    files = sorted(file for file in space_folder().iterdir() if file.suffix in _KINDS)
    return {file.name: file.read_bytes() for file in files}


_NAME = "trainer_ext"
_INFO = f"{_NAME}-{__version__}.dist-info"
_WHEEL = "Wheel-Version: 1.0\nGenerator: trainer_ext\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_KEPT = ("METADATA", "entry_points.txt")  # and licences; the rest says where and how this copy was installed
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can say: the same files make the same bytes


def build_wheel() -> tuple[str, bytes]:
    """The name and the bytes of a wheel of this package; the same files make the same bytes.

    Raises:
        InputError: the package is not installed, or another version of it is.
    """
    package = Path(__file__).parents[1]
    files = {
        f"{_NAME}/{file.relative_to(package).as_posix()}": file.read_bytes()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    files |= {f"{_NAME}/space/{name}": content for name, content in page_files().items()}
    files = dict(sorted(files.items())) | _metadata()
    files[f"{_INFO}/RECORD"] = _record(files).encode()
    return f"{_NAME}-{__version__}-py3-none-any.whl", _pack(files)


def requirements(extra: str) -> list[str]:
    """What this package needs, and what one of its extras adds, as lines for pip; raises as :func:`build_wheel` does."""
    needed = []
    for line in _installed().requires or []:
        name, _, marker = (part.strip() for part in line.partition(";"))
        if "extra ==" not in marker:
            needed.append(line)
        elif marker == f'extra == "{extra}"':
            needed.append(name)
    return needed


def _installed() -> Distribution:
    """What pip knows of this package; a checkout's own `egg-info` is passed over, it may be of any age."""
    for found in distributions(name=_NAME):
        if found.version == __version__ and found.read_text("METADATA"):
            return found
    raise InputError(f"trainer_ext {__version__} runs without being installed; install it: pip install -e .[demo]")


def _metadata() -> dict[str, bytes]:
    """The `dist-info` folder by path, without RECORD."""
    files = {f"{_INFO}/WHEEL": _WHEEL.encode()}
    for path in _installed().files or []:
        folder, *inside = path.parts
        if folder == _INFO and (path.name in _KEPT or inside[0] == "licenses"):
            files[path.as_posix()] = path.read_binary()
    return dict(sorted(files.items()))


def _record(files: dict[str, bytes]) -> str:
    """Path, SHA-256 and size of every file, and RECORD itself without them."""
    lines = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{_INFO}/RECORD,,", ""])


def _pack(files: dict[str, bytes]) -> bytes:
    """A zip file of them in this order, stored as they are: another zlib would compress to other bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, date_time=_DATE)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


_PLACEHOLDER = "USER/NAME"
_NEEDED = ("sdk", "sdk_version", "python_version", "app_file")  # what the page needs to start


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
    """Every file of a Space that compares two models; the same arguments give the same bytes.

    Args:
        space_id: Hub id of the Space, "user/name".
        baseline: Hub id of the model before compression.
        compressed: Hub id of the model after it.
        private: the Space or a model is private: nothing is preloaded while the Space is built, since the build has no
            token, and the package is read from the wheel beside `app.py`, which pip cannot fetch either.
        hardware: suggested to who duplicates it, such as "zero-a10g" or "cpu-basic"; None is the Hub's default, the CPU.
        endpoint: address of the Hub.
        license: identifier of the models' licence.
        title: shown on top of the page's card; None takes the name of the compressed model.
        readme: the README.md that lies there, whose text and further front matter stay; None takes ours.

    Returns:
        Content by path in the Space.

    Raises:
        InputError: what is not the id of a repository, or the package is not installed (see `wheel.build_wheel`).
    """
    for name, value in {"space_id": space_id, "baseline": baseline, "compressed": compressed}.items():
        if refusal(value):
            raise InputError(f"{name}={value!r} is not the id of a repository; give USER/NAME.")
    wheel_name, wheel_bytes = build_wheel()
    files = page_files()
    models = {"baseline": baseline, "compressed": compressed}
    files["models.json"] = (json.dumps(models, indent=2) + "\n").encode()
    ours = files["README.md"].decode().replace(_PLACEHOLDER, space_id)
    values = {
        "title": title or (None if readme else f"{compressed.rpartition('/')[2]}: before and after"),
        "models": [*models.values()],
        "license": license,
        "suggested_hardware": hardware,
    }
    preload = {"preload_from_hub": None if private else [*models.values()]}
    files["README.md"] = _card(ours, readme, {name: value for name, value in values.items() if value} | preload)
    url = f"{endpoint.rstrip('/')}/spaces/{space_id}/resolve/main/{wheel_name}"
    lines = _from_wheel_beside(wheel_name) if private else _from_url(url, wheel_bytes)
    files["requirements.txt"] = "\n".join([*lines, ""]).encode()
    files[wheel_name] = wheel_bytes
    return files


def _card(ours: str, theirs: str | None, values: Mapping[str, object]) -> bytes:
    """The README with these values in its front matter, on the ground of what lies there already."""
    card = SpaceCard(ours)
    if theirs:
        needed = {name: card.data[name] for name in _NEEDED}
        card = SpaceCard(theirs)
        values = {**needed, **values}
    for name, value in values.items():
        card.data[name] = value  # written as YAML by the Hub's own client, whatever is in a title
    return str(card).encode()


def _from_url(url: str, content: bytes) -> list[str]:
    """The package by the address of its wheel.

    The digest is a comment: it makes a new file of this, without which the Hub would not install a new wheel of the same
    name, and where the Space was duplicated it does not forbid the newer wheel that the address may lead to.
    """
    return [f"# sha256 of the wheel: {hashlib.sha256(content).hexdigest()}", f"trainer-ext[demo] @ {url}"]


def _from_wheel_beside(wheel_name: str) -> list[str]:
    """What the package needs, without itself."""
    return [
        f"# app.py imports trainer_ext from {wheel_name}, which pip cannot fetch here.",
        *requirements("demo"),
    ]
