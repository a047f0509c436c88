"""Outputs: compute the logits of two models on the same batch and compare them in full precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..utils.compat import precision_settings
from .architectures import find_encoder, is_stock

TOLERANCE = 1e-5
LABELS = ("labels", "start_positions", "end_positions")


def inputs_of(model, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch without its labels, unless the class of the model is the user's own: its `forward` may need them.

    A stock head would compute a loss from them, which fails if they are made for a loss of the user's own, and would write
    into its config what problem it takes them for.

    Args:
        model: any model.
        batch: columns by name.
    """
    return {name: value for name, value in batch.items() if name not in LABELS or not is_stock(model)}


def allowed_difference(logits: torch.Tensor) -> float:
    """Return the difference allowed between two computations of the same logits: 1e-5, times the largest if above 1.

    Sums of the same numbers in another order differ in the last bits of fp32, in proportion to the numbers.

    Args:
        logits: logits of the reference.
    """
    return TOLERANCE * max(1.0, logits.abs().max().item())


def synthetic_batch(model, *, rows: int = 8, length: int = 32, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return random token ids with padding in half of the rows, the same on every machine.

    Args:
        model: a model of transformers or with an encoder of it, for the vocabulary size, maximum length and device.
        rows: number of rows.
        length: tokens per row, reduced to what the model can read.
        seed: seed of the generator.

    Returns:
        `input_ids` and `attention_mask`, each `[rows, length]`.
    """
    encoder: Any = model if is_stock(model) else find_encoder(model)[1]
    config = encoder.config
    # RoBERTa counts positions from its padding index, so tokens never use two of them.
    length = min(length, getattr(config, "max_position_embeddings", length) - 2)
    vocabulary = encoder.get_input_embeddings().num_embeddings
    ids = torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))
    attention_mask = torch.ones_like(ids)
    attention_mask[rows // 2 :, length // 2 :] = 0
    pad = getattr(config, "pad_token_id", None) or 0
    ids = torch.where((attention_mask == 0), pad, torch.where(ids == pad, (pad + 1) % vocabulary, ids))
    return {"input_ids": ids.to(encoder.device), "attention_mask": attention_mask.to(encoder.device)}


def logits(model, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits in evaluation mode; the mode of the model is restored.

    Args:
        model: a transformers model with a head.
        batch: its inputs.

    Returns:
        fp32 logits `[rows, labels]` or `[rows, length, labels]`. If the head has several outputs, such as the start and
        end logits `[rows, length]` of question answering, they are the last axis.
    """
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        output = model(**batch, return_dict=True)
    model.train(was_training)
    parts = [value.float() for name, value in output.items() if name.endswith("logits")]
    return torch.stack(parts, -1).squeeze(-1)


def answers(model, batch: Mapping[str, Any]) -> torch.Tensor:
    """Return everything that a model answers in evaluation mode as one vector, to compare two forms of the same model.

    Args:
        model: any module that returns a tensor, or tensors by name or in a tuple.
        batch: its inputs, with labels if its forward pass needs them.

    Returns:
        fp32 `[numbers]`: the logits if some of the outputs are called so, or else every output but the loss.

    Raises:
        ValueError: If there is no such output.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            output = model(**batch)
    finally:
        model.train(was_training)
    named = output if isinstance(output, Mapping) else {}
    chosen = [value for name, value in named.items() if str(name).endswith("logits")] or output
    found = [tensor.float().flatten() for tensor in tensors_of(chosen)]
    if not found:
        raise ValueError(
            f"forward of {type(model).__name__} returns nothing to compare, only {type(output).__name__}: return the "
            "logits, as a tensor, in a tuple behind the loss, or in a dict."
        )
    return torch.cat(found)


def tensors_of(output: Any) -> list[torch.Tensor]:
    """Return the floating-point tensors of an output, however deep, without the loss and other single numbers."""
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() and output.dim() else []
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else []
    return [tensor for value in values for tensor in tensors_of(value)]


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Compute in full fp32 inside the block (or the decorated function), then restore the settings of the process.

    With TF32, bf16 or autocast allowed, the logits of two models that compute the same function differ by about 1e-3.
    Every comparison of logits therefore runs under this.
    """
    settings = precision_settings()
    before, matmul, cudnn = [], None, None
    # The older getters raise if a newer setting contradicts them; then only the newer one is restored.
    with contextlib.suppress(RuntimeError):
        matmul = torch.get_float32_matmul_precision()
    with contextlib.suppress(RuntimeError):
        cudnn = torch.backends.cudnn.allow_tf32
    try:
        for setting in settings:  # with the general ones at "none", each of the others shows its own value
            before.append(setting.fp32_precision)
            setting.fp32_precision = "none"
        if matmul is not None:
            torch.set_float32_matmul_precision("highest")
        if cudnn is not None:
            torch.backends.cudnn.allow_tf32 = False
        for setting in settings:
            setting.fp32_precision = "ieee"
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        if matmul is not None:  # first: setting an older switch changes newer ones
            torch.set_float32_matmul_precision(matmul)
        if cudnn is not None:
            torch.backends.cudnn.allow_tf32 = cudnn
        for setting, value in zip(settings, before, strict=False):
            setting.fp32_precision = value


@full_precision()
def max_logit_difference(first, second, batch: Mapping[str, torch.Tensor]) -> float:
    """Return the largest absolute difference of the logits of two models on one batch, in full fp32."""
    return (logits(first, batch) - logits(second, batch)).abs().max().item()
