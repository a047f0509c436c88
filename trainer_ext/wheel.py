"""Wheel: the installed package as one file that pip installs and Python imports from, made without a network.

The format is the binary distribution format of the Python packaging guide (PEP 427). What it says of itself comes from
the metadata that pip installed, so an editable install, a checkout of it and an installed wheel give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

from ._version import __version__
from .errors import InputError
from .space_folder import page_files

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
    package = Path(__file__).parent
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
