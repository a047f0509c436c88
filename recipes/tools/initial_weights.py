"""Initial weights of a new encoder: layers of a pre-trained one, and embeddings computed from a corpus.

Layers carry over to a language that they were not trained on (Artetxe et al. 2020, https://arxiv.org/abs/1910.11856);
only the token embeddings are new. These are vectors of positive pointwise mutual information, reduced to the width of
the model (Levy, Goldberg & Dagan 2015, https://aclanthology.org/Q15-1016: smoothed contexts, square roots of the singular
values). Compared with random embeddings, they save minutes of training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import nn
from transformers import AutoModel, AutoTokenizer, BertForMaskedLM, BertModel, PreTrainedTokenizerBase

from trainer_ext.errors import InputError, one_line
from trainer_ext.pipeline.scratch import SPECIAL_TOKENS

WINDOW = 5  # tokens to each side; a token at distance d counts 1/d
KEEP = ("even", "first", "last")  # which layers of the pre-trained encoder stay
SMOOTHING = 0.75  # power of the frequency of a context; without it, rare contexts seem informative


def token_vectors(stream: Sequence[int], *, tokens: int, width: int, seed: int) -> torch.Tensor:
    """Compute vectors with unit variance in each dimension; tokens that do not occur have the mean, zero.

    Args:
        stream: Token ids, one text after the other.
        tokens: Size of the vocabulary.
        width: Number of dimensions, fewer than `tokens`.
        seed: Seed of the random projection and rotation.

    Returns:
        [tokens, width], float32.
    """
    counts = _neighbour_counts(np.asarray(stream), tokens)
    left, values, _ = randomized_svd(_mutual_information(counts), width, random_state=seed)
    vectors = left * np.sqrt(values)
    # The first singular vectors are the largest; a random rotation makes all dimensions equal.
    vectors = vectors @ np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]
    occurs = np.diff(counts.indptr) > 0  # the row has neighbours
    scaled = np.zeros_like(vectors)
    scaled[occurs] = (vectors[occurs] - vectors[occurs].mean(0)) / (vectors[occurs].std(0) + 1e-12)
    return torch.tensor(scaled, dtype=torch.float32)


def _neighbour_counts(stream: np.ndarray, tokens: int) -> sparse.csr_array:
    """Count how often two tokens are within the window, weighted by 1/distance: [tokens, tokens], symmetric."""
    counts = sparse.csr_array((tokens, tokens))
    for distance in range(1, WINDOW + 1):
        pairs = (stream[:-distance], stream[distance:])
        weight = np.full(len(stream) - distance, 1 / distance)
        counts = counts + sparse.coo_array((weight, pairs), shape=(tokens, tokens)).tocsr()
    return (counts + counts.T).tocsr()


def _mutual_information(counts: sparse.csr_array) -> sparse.csr_array:
    """Return log p(a, b) / p(a) p(b) of tokens a and contexts b where it is positive."""
    each = np.asarray(counts.sum(axis=1)).ravel()
    contexts = each**SMOOTHING / np.sum(each**SMOOTHING)
    cells = counts.tocoo()
    rows, columns = cells.coords
    values = np.log(cells.data / (each[rows] * contexts[columns]))
    kept = values > 0
    return sparse.csr_array((values[kept], (rows[kept], columns[kept])), shape=counts.shape)


def kept_layers(present: int, wanted: int, keep: str) -> list[int]:
    """Choose the layers that stay.

    Args:
        present: Number of layers of the pre-trained encoder.
        wanted: Number of layers to keep.
        keep: One of `KEEP`; "even" keeps the first and the last layer and evenly spaced ones between.

    Raises:
        InputError: There are not so many layers, or `keep` is unknown.
    """
    if not 1 <= wanted <= present:
        raise InputError(f"--layers is {wanted}, but the start has {present} layers; give 1 to {present}.")
    if keep not in KEEP:
        raise InputError(f"--keep is {keep!r}; give one of {', '.join(KEEP)}.")
    even = [round(index * (present - 1) / max(wanted - 1, 1)) for index in range(wanted)]
    return {"first": list(range(wanted)), "last": list(range(present - wanted, present)), "even": even}[keep]


def moved(start: str, tokenizer: PreTrainedTokenizerBase, *, layers: int | None = None, keep: str = "even"):
    """Return a masked language model with the layers and positions of an encoder, and random embeddings.

    The embeddings have the mean and standard deviation of the encoder's; special tokens keep their embeddings.

    Args:
        start: Folder of a BERT encoder with its tokenizer.
        tokenizer: Tokenizer with the new vocabulary.
        layers: Number of layers to keep. Default: all.
        keep: Which layers to keep, see `kept_layers`.

    Raises:
        InputError: The encoder cannot be loaded, is not BERT, or has fewer layers.
    """
    try:
        encoder, old = AutoModel.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    except (OSError, ValueError) as error:
        raise InputError(f"--start {start} cannot be opened ({one_line(error)}); give an encoder's folder.") from error
    if not isinstance(encoder, BertModel):
        raise InputError(f"--start {start} is {type(encoder).__name__}; give a BERT encoder.")
    config = encoder.config
    stay = kept_layers(config.num_hidden_layers, layers or config.num_hidden_layers, keep)
    encoder.encoder.layer = nn.ModuleList([encoder.encoder.layer[index] for index in stay])
    known = encoder.embeddings.word_embeddings.weight.detach()
    fresh = torch.normal(known.mean(0).expand(len(tokenizer), -1), known.std(0).expand(len(tokenizer), -1))
    for token in SPECIAL_TOKENS.values():
        if token in old.get_vocab():
            fresh[tokenizer.get_vocab()[token]] = known[old.get_vocab()[token]]
    encoder.embeddings.word_embeddings = nn.Embedding.from_pretrained(
        fresh, freeze=False, padding_idx=tokenizer.pad_token_id
    )
    config.num_hidden_layers, config.vocab_size = len(stay), len(tokenizer)
    config.pad_token_id, config.architectures = tokenizer.pad_token_id, None
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    model = BertForMaskedLM(config)
    model.bert.load_state_dict({k: v for k, v in encoder.state_dict().items() if not k.startswith("pooler.")})
    return model


@torch.no_grad()
def place_vectors(model: BertForMaskedLM, vectors: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> None:
    """Replace random embeddings by vectors of unit variance, scaled to the same mean and standard deviation.

    Special tokens, and tokens that do not occur (their vectors are zero), keep their embeddings.

    Args:
        model: The model, changed in place.
        vectors: The vectors, [tokens, width].
        tokenizer: Its tokenizer.
    """
    weight = model.get_input_embeddings().weight
    put = vectors.any(1)
    put[tokenizer.all_special_ids] = False
    weight[put] = (vectors * weight.std(0) + weight.mean(0))[put]
