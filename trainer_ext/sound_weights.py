"""Sound weights: no pickle, no file outside the folder, every tensor there, of its shape, of numbers, and finite.

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
