"""Token vectors: which tokens stand beside a token, counted over a corpus and reduced to the width of a model.

Positive pointwise mutual information and its singular vectors (Levy, Goldberg & Dagan 2015,
https://aclanthology.org/Q15-1016: smoothed contexts, square roots of the singular values). Minutes of training are saved
where they stand in for random embeddings: tokens that are used alike are near each other from the first step on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

WINDOW = 5  # tokens to each side; one that is d away counts 1/d
SMOOTHING = 0.75  # power of the frequency of a context: rare ones would else look informative


def token_vectors(stream: Sequence[int], *, tokens: int, width: int, seed: int) -> torch.Tensor:
    """Vectors of unit variance in each dimension; tokens that do not occur have the mean, which is zero.

    Args:
        stream: token ids, text after text.
        tokens: size of the vocabulary.
        width: dimensions, fewer than `tokens`.
        seed: of the random projection and rotation; the same gives the same vectors.

    Returns:
        [tokens, width], float32.
    """
    counts = _beside(np.asarray(stream), tokens)
    left, values, _ = randomized_svd(_mutual_information(counts), width, random_state=seed)
    vectors = left * np.sqrt(values)
    # The first singular vectors are the strongest; turned at random, all dimensions carry the same.
    vectors = vectors @ np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]
    occurs = np.diff(counts.indptr) > 0  # a row of neighbours
    scaled = np.zeros_like(vectors)
    scaled[occurs] = (vectors[occurs] - vectors[occurs].mean(0)) / (vectors[occurs].std(0) + 1e-12)
    return torch.tensor(scaled, dtype=torch.float32)


def _beside(stream: np.ndarray, tokens: int) -> sparse.csr_array:
    """How often two tokens stand within the window, the nearer the more: [tokens, tokens], symmetric."""
    counts = sparse.csr_array((tokens, tokens))
    for distance in range(1, WINDOW + 1):
        pairs = (stream[:-distance], stream[distance:])
        weight = np.full(len(stream) - distance, 1 / distance)
        counts = counts + sparse.coo_array((weight, pairs), shape=(tokens, tokens)).tocsr()
    return (counts + counts.T).tocsr()


def _mutual_information(counts: sparse.csr_array) -> sparse.csr_array:
    """log p(a, b) / p(a) p(b) of tokens a and contexts b where it is above 0."""
    each = np.asarray(counts.sum(axis=1)).ravel()
    contexts = each**SMOOTHING / np.sum(each**SMOOTHING)
    cells = counts.tocoo()
    rows, columns = cells.coords
    values = np.log(cells.data / (each[rows] * contexts[columns]))
    kept = values > 0
    return sparse.csr_array((values[kept], (rows[kept], columns[kept])), shape=counts.shape)
