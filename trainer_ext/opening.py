"""Opening: a model with its head by folder or Hub id, or one readable line that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .errors import InputError, one_line

# What the names of transformers' classes end in: AutoModelForTokenClassification, BertForTokenClassification.
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")


def auto_class(head: str):
    """The Auto class of transformers that opens models with this head, one of `HEADS`."""
    import transformers

    return getattr(transformers, f"AutoModel{head}")


def head_of(config) -> str | None:
    """The head that a model was saved with, one of `HEADS`; None where it had none of them."""
    named = [head for name in config.architectures or () for head in HEADS if name.endswith(head)]
    return named[0] if named else None


def open_classifier(name: str | Path, *, option: str, way_out: str, head: str | None = None, **kwargs: Any):
    """Open a model that classifies texts, their tokens, or the tokens where an answer starts and ends.

    Args:
        name: a folder or a Hub id.
        option: what the user gave it as, for the message.
        way_out: what to do instead, for the message.
        head: one of `HEADS`; None takes the one that the model was saved with, and else the first.
        **kwargs: handed whole to `from_pretrained`.

    Raises:
        InputError: if it cannot be opened, whatever the reason.
    """
    from transformers import AutoConfig

    text = str(name)
    if (text.startswith((".", "/", "~")) or text.count("/") > 1) and not Path(text).expanduser().is_dir():
        raise InputError(f"{option} {text}: there is no such folder; {way_out}.")
    try:
        if head is None:
            config = AutoConfig.from_pretrained(name, trust_remote_code=kwargs.get("trust_remote_code"))
            head = head_of(config) or HEADS[0]
        return auto_class(head).from_pretrained(name, **kwargs)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(f"{option} {text} cannot be opened ({one_line(error)}); {way_out}.") from error
