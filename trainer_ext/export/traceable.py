"""Traceable: a model as exporters need it: tensors in, logits out, no dropout, and nothing left of emptied blocks."""

from __future__ import annotations

import copy
import inspect

import torch
from torch import nn

from ..models.outputs import synthetic_batch


class Emptied(nn.Module):
    """What a Linear without inputs answers: its bias, whatever it is given.

    Pruning may leave an attention without heads or a feed-forward block without neurons. Runtimes and quantisers stumble
    over matrices of size zero; with the last Linear of the block replaced, all before it is dead code that exporters
    leave out, and the bias `[out_features]` broadcasts over rows and tokens.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
        self.register_buffer("answer", bias)

    def forward(self, nothing: torch.Tensor) -> torch.Tensor:
        """`[out_features]`, from `[..., 0]`."""
        return self.answer


class Traceable(nn.Module):
    """A copy of a model on the processor, in fp32 and evaluation mode, called with its inputs in order.

    Attributes:
        names: of the inputs, int64 `[rows, length]` each.
        example: tensors to trace it with.
    """

    def __init__(self, model, names: tuple[str, ...]):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float()
        self.names = names
        for path, module in list(self.model.named_modules()):
            if isinstance(module, nn.Linear) and module.in_features == 0:
                parent, _, name = path.rpartition(".")
                setattr(self.model.get_submodule(parent), name, Emptied(module))
        batch = synthetic_batch(self.model, rows=2, length=8)
        # Inputs beside the ids and the mask tell two texts apart: one text has zeros.
        self.example = tuple(batch.get(name, torch.zeros_like(batch["input_ids"])) for name in names)
        # The wrapper too: exporters give its mode back to the model when they are done.
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Logits as :func:`trainer_ext.models.outputs.logits` gives them; those of start and end in the last axis."""
        output = self.model(**dict(zip(self.names, tensors, strict=True)))
        parts = [value for name, value in output.items() if name.endswith("logits")]
        return parts[0] if len(parts) == 1 else torch.stack(parts, -1)


def input_names(model, tokenizer) -> tuple[str, ...]:
    """What the tokenizer makes and the model reads, such as `input_ids`, `token_type_ids`, `attention_mask`."""
    read = inspect.signature(model.forward).parameters
    return tuple(name for name in tokenizer.model_input_names if name in read)
