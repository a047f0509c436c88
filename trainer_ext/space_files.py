"""Space files: the folder `space/` as it is published, with the models, the front matter and the requirements filled in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from huggingface_hub import SpaceCard

from . import wheel
from .errors import InputError
from .publishable import refusal
from .space_folder import page_files

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
    wheel_name, wheel_bytes = wheel.build_wheel()
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
        *wheel.requirements("demo"),
    ]
