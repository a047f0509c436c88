"""Prepare a model for exporters: tensors in, logits out, no dropout, and no matrices of size zero."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterable

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models.outputs import synthetic_batch


class BiasOnly(nn.Module):
    """Replacement of a Linear without inputs: it returns the bias.

    Pruning may leave an attention without heads or a feed-forward block without neurons. Runtimes and quantizers fail on
    matrices of size zero. With the last Linear of the block replaced, everything before it is dead code that exporters
    remove, and the bias `[out_features]` broadcasts over rows and tokens.
    """

    bias: torch.Tensor

    def __init__(self, linear: nn.Linear):
        super().__init__()
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
        self.register_buffer("bias", bias)

    def forward(self, empty: torch.Tensor) -> torch.Tensor:
        """Return the bias `[out_features]` for an input `[..., 0]`."""
        return self.bias


class Traceable(nn.Module):
    """A copy of a model on the CPU, in fp32 and evaluation mode, that takes its inputs by position.

    Attributes:
        names: names of the inputs, int64 `[rows, length]` each.
        example: tensors to trace it with.
    """

    def __init__(self, model: PreTrainedModel, names: tuple[str, ...]):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float()
        self.names = names
        for path, module in list(self.model.named_modules()):
            if isinstance(module, nn.Linear) and module.in_features == 0:
                parent, _, name = path.rpartition(".")
                setattr(self.model.get_submodule(parent), name, BiasOnly(module))
        batch = synthetic_batch(self.model, rows=2, length=8)
        # Inputs other than ids and mask are token types, which are zero for a single text.
        self.example = tuple(batch.get(name, torch.zeros_like(batch["input_ids"])) for name in names)
        # The wrapper too: exporters restore its mode in the model when they are done.
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the logits; those of start and end of an answer are stacked in the last axis."""
        output = self.model(**dict(zip(self.names, tensors, strict=True)))
        parts = [value for name, value in output.items() if name.endswith("logits")]
        return parts[0] if len(parts) == 1 else torch.stack(parts, -1)


def input_names(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the inputs that the tokenizer makes and the model reads, such as `input_ids` and `attention_mask`."""
    read = inspect.signature(model.forward).parameters
    return tuple(name for name in tokenizer.model_input_names if name in read)


def belongs(node: str, modules: Iterable[str]) -> bool:
    """Return whether a node of an exported graph is part of one of some modules of the model.

    In ONNX each further use of a module, as in ALBERT, has a number behind its name: `ffn_1` is the second use of `ffn`.

    Args:
        node: its name, such as `/model/bert/pooler/dense/MatMul` in ONNX, `__module.model.bert.pooler.dense/aten::linear/MatMul`
            in OpenVINO, or the name of its weight.
        modules: names such as `bert.pooler.dense`.
    """
    path = node.removeprefix("__module.").replace("/", ".").strip(".") + "."
    return any(re.match(rf"model\.{re.escape(name)}(_\d+)?\.", path) for name in modules)
