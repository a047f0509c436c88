"""Asking: what one model says about several texts, in one batch and without timing it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from compare import ANSWERS
from models import Side


@torch.inference_mode()
def ask(texts: Sequence[str], side: Side, *, longest: int) -> list[dict[str, float]]:
    """The probability of every label, per text, of which the model reads so many tokens at most."""
    encoded = side.tokenizer(
        list(texts), truncation=True, max_length=min(side.longest, longest), padding=True, return_tensors="pt"
    ).to(side.model.device)
    to_probabilities, _ = ANSWERS[side.model.config.problem_type]
    rows = to_probabilities(side.model(**encoded).logits.float()).tolist()
    return [dict(zip(side.labels, row, strict=True)) for row in rows]
