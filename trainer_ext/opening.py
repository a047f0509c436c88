"""Opening: a classifier by folder or Hub id, or one readable line that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .errors import InputError, one_line


def open_classifier(
    name: str | Path, *, option: str, way_out: str, head: str = "ForSequenceClassification", **kwargs: Any
):
    """Open a model with a head, a sequence classifier by default, with `from_pretrained`.

    Args:
        name: a folder or a Hub id.
        option: what the user gave it as, for the message.
        way_out: what to do instead, for the message.
        head: which `AutoModel...` opens it.
        **kwargs: handed whole to `from_pretrained`.

    Raises:
        InputError: if it cannot be opened, whatever the reason.
    """
    import transformers

    text = str(name)
    if (text.startswith((".", "/", "~")) or text.count("/") > 1) and not Path(text).expanduser().is_dir():
        raise InputError(f"{option} {text}: there is no such folder; {way_out}.")
    try:
        return getattr(transformers, f"AutoModel{head}").from_pretrained(name, **kwargs)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(f"{option} {text} cannot be opened ({one_line(error)}); {way_out}.") from error
