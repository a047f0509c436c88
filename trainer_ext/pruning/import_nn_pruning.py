"""Import: convert a checkpoint published by nn_pruning into a compact model with the same logits.

nn_pruning (Lagunas et al. 2021, arXiv 2109.04838) saved a stock architecture: the heads in `config.pruned_heads` are cut
out of the attention matrices, and pruned feed-forward neurons are still there as zeros. transformers 5 cannot load that.
Here the missing heads are filled with zeros, so that the stock class can load the weights, and `shrink` removes them again.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.activations import ACT2FN
from transformers.utils import cached_file

from ..errors import CheckFailed, InputError, one_line
from ..models import outputs
from ..models.compact.registration import MODEL_TYPES
from ..models.loading import HEADS, load_tokenizer, save_tokenizer
from ..utils.files import whole_folder
from .shrinking import shrink

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
# Buffers that the model creates itself, and a pooler that older heads saved without using it.
_NEEDLESS = re.compile(r"(position_ids|token_type_ids|pooler\.dense\.(weight|bias))$")
_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, EOFError, SafetensorError, UnpicklingError)


@dataclass(frozen=True)
class Imported:
    """Result of an import.

    Attributes:
        heads: ids of the heads that stay, per layer, as the original model numbers them.
        neurons: ids of the feed-forward neurons that stay, per layer.
        parameters: number of parameters of the full-size and of the compact model.
        difference: largest difference of the logits of the full-size model and the compact one, loaded from its folder.
    """

    heads: list[list[int]]
    neurons: list[list[int]]
    parameters: tuple[int, int]
    difference: float


@outputs.full_precision()
def import_nn_pruning(source: str | Path, target: str | Path) -> Imported:
    """Write a checkpoint of nn_pruning as a compact model, with its tokenizer if there is one.

    Args:
        source: a folder, or a Hub id.
        target: the folder to write, new or empty. It is written only if the logits are the same.

    Raises:
        InputError: If there is no such checkpoint, nothing is pruned in it, or stock classes cannot compute it.
        CheckFailed: If the logits of the compact model differ.
    """
    target = Path(target).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not an empty folder; name a new one.")
    full = _full_size(source)
    compact, heads, neurons = shrink(full)
    sizes = full.num_parameters(), compact.num_parameters()
    if sizes[0] == sizes[1]:
        raise InputError(f"{source} has nothing pruned: every head and neuron is alive; load it with from_pretrained.")
    batch = outputs.synthetic_batch(full)
    expected = outputs.logits(full, batch)
    with whole_folder(target) as folder:
        compact.save_pretrained(folder)
        if _file(source, *_TOKENIZERS):
            save_tokenizer(load_tokenizer(source, way_out="save it there", pads=False), folder)
        reloaded = type(compact).from_pretrained(folder)
        difference = (outputs.logits(reloaded, batch) - expected).abs().max().item()
        if not difference <= outputs.allowed_difference(expected):
            raise CheckFailed(f"The compact model's logits differ by {difference:.1e}; {target} was not written.")
    return Imported(heads, neurons, sizes, difference)


def _full_size(source):
    """Return the stock model with the weights of the checkpoint, and zeros for the heads that were cut."""
    model_class, values = _described(source)
    pruned = _pruned_heads(source, values.pop("pruned_heads", None) or {})
    try:
        model = model_class(model_class.config_class.from_dict(values))
    except Exception as error:
        raise InputError(f"{source}: its config does not fit {model_class.__name__} ({one_line(error)}).") from error
    expected, prefix = model.state_dict(), f"{model.base_model_prefix}."
    state = {}
    for name, tensor in _weights(source).items():
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)
        name = prefix + name if prefix + name in expected else name
        if name in expected or not _NEEDLESS.search(name):
            state[name] = tensor
    for problem, names in (("lacks", expected.keys() - state.keys()), ("has unknown", state.keys() - expected.keys())):
        if names:
            raise InputError(
                f"{source} {problem} weights of {model_class.__name__}: {min(names)} and {len(names) - 1} more; "
                "only finished checkpoints (masks compiled, no quantization) can be imported."
            )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            state[name] = _with_cut_heads(name, tensor, expected[name].shape, pruned, model.config)
    model.load_state_dict(state)
    return model.eval()


def _pruned_heads(source: str | Path, values: Any) -> dict[int, list[int]]:
    try:
        return {int(layer): [int(head) for head in heads] for layer, heads in values.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"{source}: pruned_heads in its config is {one_line(values)}; it must be {{layer: [heads]}}."
        ) from None


def _with_cut_heads(name: str, tensor: torch.Tensor, shape: torch.Size, pruned: dict[int, list[int]], config):
    """Return the tensor in its full shape, with zeros for the heads that were cut."""
    found = re.search(r"\.(\d+)\.", name)
    gone = set(pruned.get(int(found[1]), ())) if found else set()
    size = config.hidden_size // config.num_attention_heads
    rows = [
        row
        for head in range(config.num_attention_heads)
        if head not in gone
        for row in range(head * size, head * size + size)
    ]
    axis = 0 if tensor.shape[0] != shape[0] else 1
    wanted = (*shape[:axis], len(rows), *shape[axis + 1 :])
    if tensor.shape != wanted or shape[axis] != size * config.num_attention_heads:
        raise InputError(
            f"{name} has the shape {list(tensor.shape)}; with the pruned heads {sorted(gone)} of its layer it should be "
            f"{list(wanted) if gone else list(shape)}: config.pruned_heads does not fit the weights."
        )
    return tensor.new_zeros(shape).index_copy(axis, torch.tensor(rows, dtype=torch.long), tensor)


def _described(source) -> tuple[type, dict[str, Any]]:
    """Return the stock class of a checkpoint and the fields of its config; raise an error if they do not fit."""
    path = _file(source, "config.json")
    if path is None:
        raise InputError(f"{source} has no config.json; name the folder or Hub id of a model made with nn_pruning.")
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({one_line(error)}).") from error
    if not isinstance(values, dict) or not isinstance(named := values.get("architectures") or ["nothing"], list):
        raise InputError(f"{path} is not the config of a model, or its architectures are not a list.")
    kind, name = values.get("model_type"), str(named[0])
    if kind not in MODEL_TYPES:
        raise InputError(f"{source}: model_type={kind!r} cannot be imported; known: {', '.join(MODEL_TYPES)}.")
    if values.get("layer_norm_type", "layer_norm") != "layer_norm":
        raise InputError(
            f"{source}: layer_norm_type={values['layer_norm_type']!r} replaces LayerNorm with a layer that transformers "
            "does not have; only checkpoints with LayerNorm can be imported."
        )
    if values.get("hidden_act", "gelu") not in ACT2FN:
        raise InputError(f"{source}: hidden_act={values['hidden_act']!r} is not an activation in transformers.")
    if not name.endswith(HEADS) or not hasattr(transformers, name):
        raise InputError(f"{source}: architectures names {name}; only {', '.join(HEADS)} can be imported.")
    return getattr(transformers, name), values


def _weights(source) -> dict[str, torch.Tensor]:
    path = _file(source, *_WEIGHTS)
    if path is None:
        raise InputError(f"{source} has neither {' nor '.join(_WEIGHTS)}.")
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # about the format of the pickle
            return dict(torch.load(path, map_location="cpu", weights_only=True))  # tensors only: no code runs
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read ({one_line(error)}).") from error


def _file(source, *names: str) -> str | None:
    """Return the path of the first of these files that a folder or Hub repository has, or None."""
    try:
        found = (cached_file(source, name, _raise_exceptions_for_missing_entries=False) for name in names)
        return next((path for path in found if path), None)
    except (OSError, ValueError) as error:
        raise InputError(f"{source} cannot be opened ({one_line(error)}); name a folder or a Hub id.") from error
