"""Ensembles: several teachers as one, whose softened distribution is the mean of theirs.

The mean of the probabilities at temperature T, and not of the logits, for two reasons. The mean of the teachers' losses,
`1/n sum KL(q_i || p)`, is `KL(mean q_i || p)` plus a constant: the student is pulled alike, and the loss is 0 where it
agrees with them all together. And logits of different models have no common zero or scale.

Each function takes the stacked logits `[teachers, ...]`, the temperature and what counts, and returns logits `[...]`
whose softened distribution is that mean, so that every loss takes them like those of one teacher.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def mean_softmax(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """One label: `T log mean softmax(logits / T)`; `mask` plays no part."""
    logs = F.log_softmax(logits.float() / temperature, dim=-1)
    return (logs.logsumexp(0) - math.log(len(logits))) * temperature


def mean_span(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """A place in a text `[teachers, batch, tokens]`: the same without the padding, where `mask` is False."""
    if mask is not None:
        logits = logits.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return mean_softmax(logits, temperature, mask)


def mean_sigmoid(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Several labels: `T (log mean sigmoid(logits / T) - log mean sigmoid(-logits / T))`; `mask` plays no part."""
    logits = logits.float() / temperature
    return (F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)) * temperature


def mean_output(logits: torch.Tensor, temperature: float, mask: torch.Tensor | None) -> torch.Tensor:
    """Regression: the mean output; temperature and `mask` play no part."""
    return logits.float().mean(0)
