"""Stored weights: check the files of a model before they are opened, and what was loaded from them.

`from_pretrained` initialises missing tensors at random, ignores unexpected ones and casts what it finds, so a damaged model
loads but gives other logits. Here the weights are checked: no file outside the folder, nothing but tensors, and every
tensor present, of the right shape and dtype, and finite. Older models are a pickle, pytorch_model.bin, which is opened with
`weights_only=True`: no code in it runs.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_FLOATS = ("F64", "F32", "F16", "BF16")
_LAYER = re.compile(r"(layers?|groups)\.\d+\.")
_SHOWN = 3


def weight_files(folder: str | Path) -> list[Path]:
    """Return the files that hold the weights of a folder: in safetensors, or those of pytorch_model.bin if there are none."""
    return sorted(Path(folder).glob("*.safetensors")) or sorted(Path(folder).glob("pytorch_model*.bin"))


def check_files(folder: Path) -> None:
    """Raise a ValueError if the weights of a local model are in files that are not opened, or outside the folder."""
    others = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern) if file.stem != "training_args")
    if not weight_files(folder) and others:
        raise ValueError(
            f"its weights are in no model.safetensors or pytorch_model.bin, and {others[0]} is not opened; load it with the "
            "code that wrote it, and save the model with save_pretrained"
        )
    for index in (folder / name for name in _INDICES if (folder / name).is_file()):
        found = json.loads(index.read_text(encoding="utf-8"))
        named = found.get("weight_map") if isinstance(found, dict) else None
        if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
            raise ValueError(f"{index.name} has no weight_map of file names")
        if outside := sorted({name for name in named.values() if Path(name).name != name}):
            raise ValueError(f"{index.name} names files outside the folder: {outside[0]}")
    complex_ones = sorted(name for name, kind in dtypes_of(folder).items() if kind.startswith("C"))
    if complex_ones:
        raise ValueError(f"{complex_ones[0]} holds complex numbers; weights must be one of {', '.join(_FLOATS)}")


def check_loaded(model: Any, info: Mapping[str, Any], dtypes: Mapping[str, str], *, with_head: bool) -> None:
    """Raise a ValueError if a tensor is missing, belongs to no layer, has another shape or dtype, or is not finite.

    With another head than the saved one (not `with_head`), head and pooler may be missing.
    """
    import torch  # not at the top: exported files are loaded without torch

    if mismatched := sorted(info["mismatched_keys"]):
        name, stored, wanted = mismatched[0]
        others = _and_more(mismatched[1:])
        raise ValueError(f"{name} has the shape {[*stored]}, but its config asks for {[*wanted]}{others}")
    base = f"{model.base_model_prefix}." if hasattr(model, model.base_model_prefix) else ""
    missing = sorted(
        name for name in info["missing_keys"] if with_head or (name.startswith(base) and "pooler" not in name)
    )
    if missing:
        raise ValueError(f"its weights lack {', '.join(missing[:_SHOWN])}{_and_more(missing[_SHOWN:])}")
    if extra := sorted(name for name in info["unexpected_keys"] if _LAYER.search(name)):
        raise ValueError(f"its weights have {extra[0]}, which its config does not have{_and_more(extra[1:])}")
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and not module.num_embeddings:
            raise ValueError(f"{name} has no rows, so no text can be read; see type_vocab_size in its config")
    for name, parameter in model.named_parameters():
        dtype = dtypes.get(name, dtypes.get(name.removeprefix(base), "F32"))
        if dtype not in _FLOATS:
            raise ValueError(f"{name} is stored as {dtype}; weights must be one of {', '.join(_FLOATS)}")
        if not torch.isfinite(parameter).all():
            raise ValueError(f"{name} holds NaN or infinite numbers")


def dtypes_of(folder: Path) -> dict[str, str]:
    """Return the stored dtype of each tensor of a folder, by the name that `from_pretrained` gives it."""
    found: dict[str, str] = {}
    for file in weight_files(folder):
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                found |= {name: opened.get_slice(name).get_dtype() for name in opened.keys()}
        else:
            found |= _pickled_dtypes(file)
    return {re.sub(r"\bgamma$", "weight", re.sub(r"\bbeta$", "bias", name)): dtype for name, dtype in found.items()}


def _pickled_dtypes(file: Path) -> dict[str, str]:
    """Return the same of a pickle of tensors; of anything else, nothing is run.

    Raises:
        ValueError: If it holds anything else.
    """
    import torch

    with warnings.catch_warnings(action="ignore"):  # about the format of the pickle
        state = torch.load(file, map_location="meta", weights_only=True)  # on "meta", no weight is read
    names: Iterable[tuple[Any, Any]] = state.items() if isinstance(state, Mapping) else [("", None)]
    if other := [name for name, tensor in names if not isinstance(name, str) or not isinstance(tensor, torch.Tensor)]:
        raise ValueError(
            f"{file.name} is not a state dict of tensors{f', {other[0]!r} is none' if other[0] else ''}; load it with the "
            "code that wrote it, and save the model with save_pretrained"
        )
    kinds = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    return {name: kinds.get(one.dtype, str(one.dtype).removeprefix("torch.").upper()) for name, one in names}


def _and_more(names: list) -> str:
    return f", and {len(names)} more" if names else ""
