"""Space folder: where the page's own files lie, in a checkout and after `pip install`."""

from __future__ import annotations

from pathlib import Path

_KINDS = frozenset({".css", ".md", ".py", ".txt"})  # not models.json, which a person may have put there


def space_folder() -> Path:
    """The folder that holds `app.py`: `trainer_ext/space/` where the package is installed, `space/` in a checkout."""
    package = Path(__file__).parent
    installed = package / "space"
    return installed if installed.is_dir() else package.parent / "space"


def page_files() -> dict[str, bytes]:
    """Content of the page's own files by name, sorted.

    Raises:
        FileNotFoundError: there is no such folder; the installation is broken.
    """
    files = sorted(file for file in space_folder().iterdir() if file.suffix in _KINDS)
    return {file.name: file.read_bytes() for file in files}
