"""Publishable: fields, commands and versions as a report may tell them, without tokens and paths of this machine."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from .._version import __version__

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Fields that may hold a path of this machine; of a path the last part is told.
PATH_FIELDS = (
    *("data_dir", "model_name_or_path", "distill_teacher", "distill_teachers", "distill_cache_dir"),
    "vocab_corpus",
)


def last_part(name: str) -> str:
    """A name as it is, or of a path of this machine its last part."""
    local = name.startswith(("/", "./", "../", "~")) or ("/" in name and Path(name).expanduser().exists())
    return Path(name).name if local else name


def hub_id(name: str | None) -> str | None:
    """A published name, if it is one on the Hub: `owner/name`. Of a folder of this machine `last_part` leaves no owner."""
    return name if name and HUB_ID.fullmatch(name) else None


def valid_ids(names: Iterable[str]) -> tuple[str, ...]:
    """Those names that can be ids on the Hub: no folder of this machine, and nothing that the Hub would refuse."""
    return tuple(name for name in names if last_part(name) == name and not Path(name).exists() and not refusal(name))


def refusal(name: str) -> str | None:
    """Why a name can be no id on the Hub; None where it can."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        return str(error)
    return None


def fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe, without tokens and without where things lie."""
    shown = {name: value for name, value in given.items() if not name.endswith(("_token", "output_dir"))}
    for name in PATH_FIELDS:
        value = shown.get(name)
        if isinstance(value, list):
            shown[name] = [last_part(one) for one in value]
        elif value:
            shown[name] = last_part(value)
    return shown


def command(words: Sequence[str]) -> list[str]:
    """The words of a command line, with `***` for the values of tokens."""
    shown, secret = [], False
    for word in words:
        option, joined, value = word.partition("=") if word.startswith("--") else ("", "", word)
        hidden = value and (secret or option.endswith("token"))
        shown.append(option + joined + ("***" if hidden else last_part(value)))
        secret = option.endswith("token") and not joined
    return shown


def versions() -> dict[str, str]:
    """Of Python and of the packages on which a result depends."""
    import accelerate
    import datasets
    import torch
    import transformers

    packages = {module.__name__: str(module.__version__) for module in (accelerate, datasets, torch, transformers)}
    return {"python": platform.python_version(), "trainer_ext": __version__, **packages}
