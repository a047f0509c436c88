"""Transplant: the layers of a pre-trained encoder get another vocabulary.

What the layers learned carries over to a language that they never saw (Artetxe et al. 2020,
https://arxiv.org/abs/1910.11856). Only the embeddings of the tokens are new.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, BertForMaskedLM, BertModel, PreTrainedTokenizerBase

from trainer_ext.errors import InputError, one_line
from trainer_ext.pipeline.scratch import SPECIAL_TOKENS

KEEP = ("even", "first", "last")


def kept_layers(present: int, wanted: int, keep: str) -> list[int]:
    """Which layers of `present` stay: the first, the last, or at even distances with the first and the last among them.

    Raises:
        InputError: more are wanted than there are, or none, or `keep` is no such choice.
    """
    if not 1 <= wanted <= present:
        raise InputError(f"--layers is {wanted}, but the start has {present} layers; give 1 to {present}.")
    if keep not in KEEP:
        raise InputError(f"--keep is {keep!r}; give one of {', '.join(KEEP)}.")
    even = [round(index * (present - 1) / max(wanted - 1, 1)) for index in range(wanted)]
    return {"first": list(range(wanted)), "last": list(range(present - wanted, present)), "even": even}[keep]


def moved(start: str, tokenizer: PreTrainedTokenizerBase, *, layers: int | None = None, keep: str = "even"):
    """A masked language model with the layers and positions of an encoder, and random embeddings for a vocabulary.

    The embeddings are drawn from the normal distribution of the start's; special tokens keep theirs.

    Args:
        start: folder of a BERT encoder with its tokenizer.
        tokenizer: the new vocabulary.
        layers: how many layers stay. Default: all.
        keep: which, see `kept_layers`.

    Raises:
        InputError: a start that cannot be opened or is no BERT, or layers that it does not have.
    """
    try:
        encoder, old = AutoModel.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    except (OSError, ValueError) as error:
        raise InputError(f"--start {start} cannot be opened ({one_line(error)}); give an encoder's folder.") from error
    if not isinstance(encoder, BertModel):
        raise InputError(f"--start {start} is {type(encoder).__name__}; give an encoder of type BERT.")
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
    """Put vectors of unit variance, [tokens, width], in place of the random embeddings, with their mean and scale.

    Special tokens and tokens that do not occur, whose vector is zero, keep their embedding.
    """
    weight = model.get_input_embeddings().weight
    put = vectors.any(1)
    put[tokenizer.all_special_ids] = False
    weight[put] = (vectors * weight.std(0) + weight.mean(0))[put]
