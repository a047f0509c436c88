"""Opening: a model with its head, and a tokenizer, by folder or Hub id, or one readable line that says why not.

Sound weights: no pickle, no file outside the folder, every tensor there, of its shape, of numbers, and finite.

`from_pretrained` fills what a file lacks with random numbers, leaves out what it has too much, casts whatever it holds,
and opens a pickle where there is nothing else; a model that came so answers, but something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..errors import InputError, one_line
from .architectures import stock_type

_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_FLOATS = ("F64", "F32", "F16", "BF16")
_LAYER = re.compile(r"(layers?|groups)\.\d+\.")
_SHOWN = 3


def check_files(folder: Path) -> None:
    """Look at the files of a local model before it is opened.

    Raises:
        ValueError: its weights are a pickle or complex numbers, or its index names files outside the folder.
    """
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
        if pickles:
            raise ValueError(
                f"its weights are a pickle, {pickles[0]}, which may hold code, and no model.safetensors: whoever made it can "
                "write one with save_pretrained"
            )
    complex_ones = sorted(name for name, kind in _kinds(folder).items() if kind.startswith("C"))
    if complex_ones:
        raise ValueError(f"{complex_ones[0]} holds complex numbers, weights are one of {', '.join(_FLOATS)}")
    if (folder / _INDEX).is_file():
        found = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        named = found.get("weight_map") if isinstance(found, dict) else None
        if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
            raise ValueError(f"{_INDEX} has no weight_map of file names")
        if outside := sorted({name for name in named.values() if Path(name).name != name}):
            raise ValueError(f"{_INDEX} names files outside the folder: {outside[0]}")


def check_loaded(model: Any, info: Mapping[str, Any], folder: Path | None, *, with_head: bool) -> None:
    """Look at what `from_pretrained` made of the weights.

    Args:
        model: a transformers model as it was opened, with mismatched sizes ignored.
        info: its loading info.
        folder: where it lies, if it lies here.
        with_head: whether it was saved with the head that it was opened with; else head and pooler may be new.

    Raises:
        ValueError: a tensor is missing, belongs to no layer, has another shape or kind, or is not finite.
    """
    import torch  # here, because exported files are opened without it

    if odd := sorted(info["mismatched_keys"]):
        name, stored, wanted = odd[0]
        raise ValueError(f"{name} is {[*stored]}, and its config makes it {[*wanted]}{_more(odd[1:])}")
    base = f"{model.base_model_prefix}."
    missing = sorted(
        name for name in info["missing_keys"] if with_head or (name.startswith(base) and "pooler" not in name)
    )
    if missing:
        raise ValueError(f"its weights lack {', '.join(missing[:_SHOWN])}{_more(missing[_SHOWN:])}")
    if extra := sorted(name for name in info["unexpected_keys"] if _LAYER.search(name)):
        raise ValueError(f"its weights have {extra[0]}, of which its config knows nothing{_more(extra[1:])}")
    kinds = _kinds(folder) if folder else {}
    for name, parameter in model.named_parameters():
        if kinds.get(name, "F32") not in _FLOATS:
            raise ValueError(f"{name} is stored as {kinds[name]}, weights are one of {', '.join(_FLOATS)}")
        if not torch.isfinite(parameter).all():
            raise ValueError(f"{name} holds NaN or infinite numbers")


def _kinds(folder: Path) -> dict[str, str]:
    """How each tensor of a folder is stored."""
    found = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as opened:
            found |= {name: opened.get_slice(name).get_dtype() for name in opened.keys()}
    return found


def _more(names: list) -> str:
    return f", and {len(names)} more" if names else ""


# What the names of transformers' classes end in: AutoModelForTokenClassification, BertForTokenClassification.
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")

_UNKNOWN = "\U00012000"  # cuneiform
SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")


def auto_class(head: str):
    """The Auto class of transformers that opens models with this head, one of `HEADS`."""
    import transformers

    return getattr(transformers, f"AutoModel{head}")


def head_of(config) -> str | None:
    """The head that a model was saved with, one of `HEADS`; None where it had none of them."""
    named = [head for name in config.architectures or () for head in HEADS if name.endswith(head)]
    return named[0] if named else None


def load_model(name: str | Path, *, option: str, way_out: str, head: str | None = None, **kwargs: Any):
    """Open a model that classifies texts, their tokens, or the tokens where an answer starts and ends.

    Args:
        name: a folder or a Hub id.
        option: what the user gave it as, for the message.
        way_out: what to do instead, for the message.
        head: one of `HEADS`; None takes the one that the model was saved with, and else the first.
        **kwargs: handed whole to `from_pretrained`.

    Raises:
        InputError: if it cannot be opened, whatever the reason, or its weights are not sound.
    """
    from transformers import AutoConfig

    text = str(name)
    folder = _local(text)
    if folder is None and (text.startswith((".", "/", "~")) or text.count("/") > 1):
        raise InputError(f"{option} {text}: there is no such folder; {way_out}.")
    try:
        if folder:
            check_files(folder)
        kwargs = {"trust_remote_code": False, **kwargs}  # None would ask at the terminal
        config = AutoConfig.from_pretrained(name, trust_remote_code=kwargs["trust_remote_code"])
        _check_config(config)
        saved = head_of(config)
        model, info = auto_class(head or saved or HEADS[0]).from_pretrained(
            name, use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True, **kwargs
        )
        check_loaded(model, info, folder, with_head=saved is not None and saved == (head or saved))
        return model
    except Exception as error:  # a file of somebody can make any of a dozen libraries fail in any way
        raise InputError(f"{option} {text} cannot be opened ({_reason(error)}); {way_out}.") from error


def load_tokenizer(name: str | Path, *, way_out: str, rows: int | None = None, **kwargs: Any):
    """Open the tokenizer of a model.

    Args:
        name: a folder or a Hub id.
        way_out: what to do instead, for the message.
        rows: embeddings of the model that reads its tokens, where that is known.
        **kwargs: handed whole to `from_pretrained`.

    Raises:
        InputError: there is none, it cannot be opened, or it has tokens that the model has no embeddings for.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **kwargs)
        tokenizer(_UNKNOWN)  # one that lacks its own unknown token fails at the first character that it does not know
    except Exception as error:  # the tokenizers library raises nothing more exact
        raise InputError(f"The tokenizer of {name} cannot be opened ({_reason(error)}); {way_out}.") from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes where it finds no file
        raise InputError(f"There is no tokenizer with {name}; {way_out}.")
    if rows is not None and len(tokenizer) > rows:
        raise InputError(
            f"The tokenizer of {name} has {len(tokenizer)} tokens, the model only {rows} embeddings: they do not belong "
            f"together; {way_out}."
        )
    return tokenizer


def rows_of(model) -> int:
    """How many tokens a model has embeddings for."""
    return model.get_input_embeddings().num_embeddings


def _local(text: str) -> Path | None:
    folder = Path(text).expanduser()
    return folder if folder.is_dir() else None


def _reason(error: Exception) -> str:
    words = one_line(error)
    return words if isinstance(error, OSError | ValueError | RuntimeError) else f"{type(error).__name__}: {words}"


def _check_config(config) -> None:
    """See that a configuration can be about a classifier.

    Raises:
        ValueError: it cannot.
    """
    named = config.architectures
    if named is not None and not (isinstance(named, list) and all(isinstance(one, str) for one in named)):
        raise ValueError(f"architectures in its config is {named!r}, no list of names")
    if getattr(config, "quantization_config", None):
        raise ValueError("its config has a quantization_config; take the model in full precision")
    for name in SIZES:
        value = getattr(config, name, 1)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} in its config is {value!r}; it must be 1 or more")
    if (pad := getattr(config, "pad_token_id", None)) is not None and not 0 <= pad < getattr(
        config, "vocab_size", pad + 1
    ):
        raise ValueError(f"pad_token_id in its config is {pad}, vocab_size is {config.vocab_size}")
    if not isinstance(sizes := getattr(config, "compact_linears", None), dict | None):
        raise ValueError(f"compact_linears in its config is {sizes!r}; it must be {{path: [outputs, inputs]}}")
    labels = config.id2label or {}
    if config.id2label is not None and not labels:
        raise ValueError("id2label in its config is {}, which names no output")
    if sorted(labels) != list(range(len(labels))) or not all(isinstance(label, str) for label in labels.values()):
        raise ValueError(f"id2label in its config is {labels!r}, which does not name the outputs 0, 1, 2, ...")


POSITIONS_BEHIND_PADDING = ("camembert", "mpnet", "roberta", "xlm-roberta")


def longest_text(config) -> int | None:
    """The most tokens that a model reads, None where its config does not say."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and stock_type(config.model_type) in POSITIONS_BEHIND_PADDING:
        return positions - config.pad_token_id - 1
    return positions
