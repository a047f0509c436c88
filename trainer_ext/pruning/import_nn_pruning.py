"""Import: a checkpoint that nn_pruning published becomes a compact model with the same answers.

nn_pruning (Lagunas et al. 2021, arXiv 2109.04838) saved a stock architecture: the heads of `config.pruned_heads` are cut
from the attention matrices, pruned feed-forward neurons are still there as zeros. transformers 5 cannot open that. Here
the heads come back as zeros, so that the stock class takes the weights, and `shrink` removes all that is dead. A head of
BERT is the same function in any position: there the ids in `pruned_heads` say which went, and change no answer.
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

from ..errors import InputError, one_line
from ..models import outputs
from ..models.compact.registration import MODEL_TYPES
from ..models.loading import HEADS, load_tokenizer
from ..utils.files import whole_folder
from .shrinking import shrink

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
# Buffers that are made anew, and the pooler that older heads saved without using it.
_NEEDLESS = re.compile(r"(position_ids|token_type_ids|pooler\.dense\.(weight|bias))$")
_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, EOFError, SafetensorError, UnpicklingError)


@dataclass(frozen=True)
class Imported:
    """What came of a checkpoint.

    Attributes:
        heads: ids of the heads that stay, per layer, as the original model numbers them.
        neurons: ids of the feed-forward neurons that stay, per layer.
        parameters: of the full-size model, and of the compact one.
        difference: largest difference of the logits of the two, the second opened from its folder.
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
        target: the folder to write; must not exist, or be empty. It appears only if the answers are the same.

    Raises:
        InputError: no such checkpoint, nothing pruned in it, or what stock classes cannot compute.
        RuntimeError: the compact model answers differently.
    """
    target = Path(target).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not an empty folder; name a new one.")
    full = _full_size(source)
    compact, heads, neurons = shrink(full)
    sizes = full.num_parameters(), compact.num_parameters()
    if sizes[0] == sizes[1]:
        raise InputError(f"{source} has nothing pruned: every head and neuron is alive; open it with from_pretrained.")
    batch = outputs.synthetic_batch(full)
    expected = outputs.logits(full, batch)
    with whole_folder(target) as folder:
        compact.save_pretrained(folder)
        if _file(source, *_TOKENIZERS):
            load_tokenizer(source, way_out="save it there").save_pretrained(folder)
        reloaded = type(compact).from_pretrained(folder)
        difference = (outputs.logits(reloaded, batch) - expected).abs().max().item()
        if not difference <= outputs.allowed_difference(expected):
            raise RuntimeError(f"The compact model's logits differ by {difference:.1e}; {target} was not written.")
    return Imported(heads, neurons, sizes, difference)


def _full_size(source):
    """The stock model with the weights of the checkpoint, zeros where heads were cut."""
    model_class, values = _described(source)
    pruned = _pruned_heads(source, values.pop("pruned_heads", None) or {})
    try:
        model = model_class(model_class.config_class.from_dict(values))
    except Exception as error:
        raise InputError(f"{source}: its config makes no {model_class.__name__} ({one_line(error)}).") from error
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


def _pruned_heads(source, values) -> dict[int, list[int]]:
    try:
        return {int(layer): [int(head) for head in heads] for layer, heads in values.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"{source}: pruned_heads in its config is {one_line(values)}; it must be {{layer: [heads]}}."
        ) from None


def _with_cut_heads(name: str, tensor: torch.Tensor, shape: torch.Size, pruned: dict[int, list[int]], config):
    """The tensor in its full shape: what is there at the heads that stay, zero at the others."""
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
            f"{name} is {list(tensor.shape)}, and with pruned heads {sorted(gone)} of its layer it should be "
            f"{list(wanted) if gone else list(shape)}: config.pruned_heads does not fit the weights."
        )
    return tensor.new_zeros(shape).index_copy(axis, torch.tensor(rows, dtype=torch.long), tensor)


def _described(source) -> tuple[type, dict[str, Any]]:
    """The stock class of a checkpoint and the fields of its config, or why that class cannot compute it."""
    path = _file(source, "config.json")
    if path is None:
        raise InputError(f"{source} holds no config.json; name the folder or Hub id of a model that nn_pruning made.")
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({one_line(error)}).") from error
    if not isinstance(values, dict) or not isinstance(named := values.get("architectures") or ["nothing"], list):
        raise InputError(f"{path} is no configuration of a model, or its architectures are no list.")
    kind, name = values.get("model_type"), str(named[0])
    if kind not in MODEL_TYPES:
        raise InputError(f"{source}: model_type={kind!r} cannot be imported; known: {', '.join(MODEL_TYPES)}.")
    if values.get("layer_norm_type", "layer_norm") != "layer_norm":
        raise InputError(
            f"{source}: layer_norm_type={values['layer_norm_type']!r} replaces LayerNorm by a layer that transformers "
            "does not have; only checkpoints with LayerNorm can be imported."
        )
    if values.get("hidden_act", "gelu") not in ACT2FN:
        raise InputError(f"{source}: hidden_act={values['hidden_act']!r} is no activation of transformers.")
    if not name.endswith(HEADS) or not hasattr(transformers, name):
        raise InputError(f"{source}: architectures names {name}; only {', '.join(HEADS)} can be imported.")
    return getattr(transformers, name), values


def _weights(source) -> dict[str, torch.Tensor]:
    path = _file(source, *_WEIGHTS)
    if path is None:
        raise InputError(f"{source} holds neither {' nor '.join(_WEIGHTS)}.")
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # about how the pickle was written
            return dict(torch.load(path, map_location="cpu", weights_only=True))  # tensors only: it runs nothing
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read ({one_line(error)}).") from error


def _file(source, *names: str) -> str | None:
    """The first of these files that a folder or a repository of the Hub holds."""
    try:
        found = (cached_file(source, name, _raise_exceptions_for_missing_entries=False) for name in names)
        return next((path for path in found if path), None)
    except (OSError, ValueError) as error:
        raise InputError(f"{source} cannot be opened ({one_line(error)}); name a folder or a Hub id.") from error
