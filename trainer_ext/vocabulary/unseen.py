"""Unseen tokens: how likely new texts use a token that the corpus does not.

A corpus of a hundred thousand short texts uses most tokens of its own language that new texts will, but few of the foreign
words, names and numbers in them. Which of those are to be expected is learned from the corpus itself: a logistic
regression tells the tokens in it from the others by their embeddings, which are alike for tokens of one language and
subject, and by their script. Tokens that it takes for those of the corpus are the likeliest in new texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

SCALE = 8.0  # of the embeddings, which have length 1, beside the scripts, which are 0 or 1
PENALTY = 1e-4  # on the squared weights
ITERATIONS = 60


def log_odds(embeddings: torch.Tensor, scripts: Mapping[int, str | None], used: Collection[int]) -> dict[int, float]:
    """Return for each token how likely it occurs in texts like those of the corpus, as logarithm of the odds.

    Args:
        embeddings: one row per token id.
        scripts: the script of each token.
        used: ids of the tokens that occur in the corpus.
    """
    ids = sorted(index for index in scripts if index < len(embeddings))
    names = {name: number for number, name in enumerate(dict.fromkeys(scripts[index] for index in ids))}
    group = torch.tensor([names[scripts[index]] for index in ids])
    inputs = SCALE * torch.nn.functional.normalize(embeddings.detach()[ids].float().cpu(), dim=1)
    target = torch.tensor([float(index in used) for index in ids])
    with torch.enable_grad():
        weight, bias = (torch.zeros(size, requires_grad=True) for size in (inputs.shape[1], len(names)))
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            fit = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weight + bias[group], target)
            found = fit + PENALTY * (weight.square().sum() + bias.square().sum())
            found.backward()
            return found

        optimizer.step(loss)
    return dict(zip(ids, (inputs @ weight + bias[group]).tolist(), strict=True))
