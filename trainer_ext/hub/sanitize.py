"""Remove tokens and local paths from what a report says about a run: its fields, its command and its versions."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from .._version import __version__

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Fields that may hold a local path, of which the report keeps the last part.
PATH_FIELDS = (
    *("data_dir", "model_name_or_path", "distill_teacher", "distill_teachers", "distill_cache_dir"),
    *("vocab_corpus", "texts"),
)


_HERE = (".", "..")


def last_part(name: str) -> str:
    """Return the last part of a local path, for `.` and `..` the name of that folder; any other name as it is."""
    local = name.startswith(("/", "./", "../", "~")) or ("/" in name and Path(name).expanduser().exists())
    if (local or name in _HERE) and Path(name).name in ("", ".."):
        return Path(name).resolve().name
    return Path(name).name if local else name


def hub_id(name: str | None) -> str | None:
    """Return a name if it looks like `owner/name`, else None. (`last_part` leaves no owner in a local path.)"""
    return name if name and HUB_ID.fullmatch(name) else None


def valid_ids(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that can be Hub ids: not a local path, and valid on the Hub."""
    return tuple(name for name in names if last_part(name) == name and not Path(name).exists() and not refusal(name))


def refusal(name: str) -> str | None:
    """Return why a name cannot be a Hub id, or None if it can."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        return str(error)
    return None


def fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe without tokens, output folders and local paths."""
    shown = {name: value for name, value in given.items() if not name.endswith(("_token", "output_dir"))}
    for name in PATH_FIELDS:
        value = shown.get(name)
        if isinstance(value, list):
            shown[name] = [last_part(one) for one in value]
        elif value:
            shown[name] = last_part(value)
    return shown


def command(words: Sequence[str]) -> list[str]:
    """Return the words of a command line without local paths and with `***` for tokens."""
    shown, secret = [], False
    for word in words:
        option, joined, value = word.partition("=") if word.startswith("--") else ("", "", word)
        hidden = value and (secret or option.endswith("token"))
        shown.append(option + joined + ("***" if hidden else value if value in _HERE else last_part(value)))
        secret = option.endswith("token") and not joined
    return shown


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    packages = ("accelerate", "datasets", "torch", "transformers")
    found = {name: str(import_module(name).__version__) for name in packages}
    return {"python": platform.python_version(), "trainer_ext": __version__, **found}
