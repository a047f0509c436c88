"""Equivalence: how far the logits of two models are apart on the same batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

TOLERANCE = 1e-5


def allowed_difference(logits: torch.Tensor) -> float:
    """How far two computations of these logits may be apart: 1e-5, or 1e-5 of the largest where that is above 1.

    Two ways to sum the same numbers differ in the last bits of fp32, in proportion to the numbers.

    Args:
        logits: of the reference.
    """
    return TOLERANCE * max(1.0, logits.abs().max().item())


def synthetic_batch(model, *, rows: int = 8, length: int = 32, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random token ids with padding on half of the rows, the same on every machine.

    Args:
        model: a transformers model; gives vocabulary, longest text and device.
        rows: examples.
        length: tokens, cut to what the model can read.
        seed: of the generator.

    Returns:
        `input_ids` and `attention_mask`, each `[rows, length]`.
    """
    config = model.config
    # RoBERTa counts positions from its padding index, so two of them are never used by tokens.
    length = min(length, getattr(config, "max_position_embeddings", length) - 2)
    vocabulary = model.get_input_embeddings().num_embeddings
    ids = torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))
    attention_mask = torch.ones_like(ids)
    attention_mask[rows // 2 :, length // 2 :] = 0
    pad = getattr(config, "pad_token_id", None) or 0
    ids = torch.where((attention_mask == 0), pad, torch.where(ids == pad, (pad + 1) % vocabulary, ids))
    return {"input_ids": ids.to(model.device), "attention_mask": attention_mask.to(model.device)}


def logits(model, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits in evaluation mode, `[rows, labels]` or `[rows, length, labels]`; the mode is restored.

    Of a head with several outputs, as start and end logits `[rows, length]` of an answer, the last axis holds them.

    Args:
        model: a transformers model with a head.
        batch: its inputs.
    """
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        output = model(**batch)
    model.train(was_training)
    parts = [value.float() for name, value in output.items() if name.endswith("logits")]
    return torch.stack(parts, -1).squeeze(-1)


def max_logit_difference(first, second, batch: Mapping[str, torch.Tensor]) -> float:
    """Largest absolute difference of the logits of two models on one batch."""
    return (logits(first, batch) - logits(second, batch)).abs().max().item()
