"""Make a tokenizer and a small BERT from the texts alone, for machines without pre-trained models.

The tokenizer is WordPiece (Schuster & Nakajima 2012; Devlin et al. 2019, https://arxiv.org/abs/1810.04805) that keeps
case, accents and vowel signs. A lower-casing BERT tokenizer with `strip_accents=None` deletes the vowel signs and the
virama of Devanagari and related scripts, because they are combining marks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..errors import InputError
from ..models.loading import HEADS, auto_class

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
CONTINUES = "##"
MAX_PARAMETERS = 10**9  # 4 bytes each, and as many for each moment of the optimizer


@dataclass
class ScratchArguments:
    """Shape of the model that is made when no pre-trained one is named.

    It is wide rather than deep: only then does half an encoder take about half the time. Heads are 64 wide by default.
    """

    scratch_vocab_size: int = field(
        default=8000,
        metadata={"help": "Most tokens in the vocabulary; fewer if the texts have no more words to join."},
    )
    scratch_hidden_size: int = field(
        default=384,
        metadata={"help": "Width of the model; a multiple of scratch_heads."},
    )
    scratch_layers: int = field(
        default=4,
        metadata={"help": "Number of encoder layers, at least 1."},
    )
    scratch_heads: int = field(
        default=6,
        metadata={"help": "Attention heads per layer, at least 1."},
    )
    scratch_intermediate_size: int = field(
        default=1536,
        metadata={"help": "FFN neurons per layer, at least 1; usually 4 x scratch_hidden_size."},
    )
    scratch_dropout: float = field(
        default=0.1,
        metadata={"help": "Dropout of hidden states, attention and classifier, in [0, 1)."},
    )


def train_tokenizer(texts: Iterable[str], *, vocab_size: int = 8000, max_length: int = 128) -> PreTrainedTokenizerFast:
    """Learn a WordPiece vocabulary that has every character of the texts.

    Each character is a token at the start of a word and as a continuation (`##`), so a text of known characters has no
    unknown token. The same texts give the same vocabulary in any process.

    Args:
        texts: the texts to learn from.
        vocab_size: largest number of tokens, with the special ones.
        max_length: longest input in tokens (the tokenizer's `model_max_length`).

    Returns:
        A tokenizer that `save_pretrained` writes and `AutoTokenizer` reads back unchanged.

    Raises:
        InputError: `vocab_size` is too small for the characters, or there are none.
    """
    texts = list(texts)
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.BertNormalizer(
                clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
            ),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)

    characters = sorted({char for text in texts for char in tokenizer.normalizer.normalize_str(text) if char != " "})
    # The trainer numbers continuations in the random order of a hash map and breaks ties by number, so two runs would
    # differ. As special tokens all characters have fixed numbers.
    fixed = [*SPECIAL_TOKENS.values(), *characters, *(CONTINUES + char for char in characters)]
    if not characters:
        raise InputError("the texts hold no characters to learn a vocabulary from; check --text_column.")
    if vocab_size < len(fixed):
        raise InputError(
            f"--scratch_vocab_size is {vocab_size}, but the {len(characters)} different characters of the texts take "
            f"{len(fixed)} tokens; give {len(fixed)} or more (8000 is usual)."
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=fixed,
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)

    # Otherwise the characters would stay special tokens: split off every word, and skipped in decoding.
    tokenizer = _with_vocabulary(tokenizer, tokenizer.get_vocab(with_added_tokens=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **SPECIAL_TOKENS,
    )


def small_bert(
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    *,
    hidden_size: int = 384,
    num_hidden_layers: int = 4,
    num_attention_heads: int = 6,
    intermediate_size: int = 1536,
    dropout: float = 0.1,
    seed: int = 42,
    head: str = HEADS[0],
    problem_type: str | None = None,
) -> PreTrainedModel:
    """Return a BERT with a head and random weights.

    Args:
        tokenizer: gives the vocabulary size, the padding token and the longest input.
        labels: class names in the order of their ids; empty for a head without named outputs.
        hidden_size: width of the model, a multiple of `num_attention_heads`.
        num_hidden_layers: number of encoder layers.
        num_attention_heads: heads per layer.
        intermediate_size: FFN neurons per layer.
        dropout: probability in [0, 1), for hidden states, attention and the classifier.
        seed: of the weights; the random state of the caller is not changed.
        head: one of `trainer_ext.models.loading.HEADS`.
        problem_type: of a sequence classifier; with None transformers infers it from the first labels.

    Returns:
        The model, in training mode, on the CPU, in fp32.

    Raises:
        InputError: A size is below 1 or too large, the dropout is not in [0, 1), or the heads do not divide the width.
    """
    sizes = {
        "--scratch_hidden_size": hidden_size,
        "--scratch_layers": num_hidden_layers,
        "--scratch_heads": num_attention_heads,
        "--scratch_intermediate_size": intermediate_size,
    }
    for option, size in sizes.items():
        if size < 1:
            raise InputError(f"{option} is {size}; give a whole number of at least 1.")
    if not 0 <= dropout < 1:
        raise InputError(f"--scratch_dropout is {dropout}; give a probability in [0, 1).")
    if hidden_size % num_attention_heads:
        raise InputError(
            f"--scratch_hidden_size {hidden_size} is not a multiple of --scratch_heads {num_attention_heads}; "
            f"give {hidden_size - hidden_size % num_attention_heads or num_attention_heads} or another multiple."
        )
    entries = len(tokenizer) + tokenizer.model_max_length
    parameters = hidden_size * (entries + num_hidden_layers * (4 * hidden_size + 2 * intermediate_size))
    if parameters > MAX_PARAMETERS:
        raise InputError(
            f"--max_length {tokenizer.model_max_length} and the sizes {sizes} make a model of {parameters:.1e} "
            f"parameters; a model from scratch may have {MAX_PARAMETERS:.0e}. Give smaller sizes."
        )
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=intermediate_size,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        **label_names(labels) | {"problem_type": problem_type},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return auto_class(head).from_config(config)


def label_names(labels: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a model configuration for named outputs; empty without names."""
    if not labels:
        return {}
    named = dict(enumerate(labels))
    return {"num_labels": len(named), "id2label": named, "label2id": {label: index for index, label in named.items()}}


def _with_vocabulary(tokenizer: Tokenizer, vocabulary: dict[str, int]) -> Tokenizer:
    """Return the same pipeline with this vocabulary, no added tokens, and [CLS] ... [SEP] around each text."""
    cls, sep = SPECIAL_TOKENS["cls_token"], SPECIAL_TOKENS["sep_token"]
    fresh = Tokenizer(
        models.WordPiece(vocab=vocabulary, unk_token=SPECIAL_TOKENS["unk_token"], continuing_subword_prefix=CONTINUES)
    )
    fresh.normalizer, fresh.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    fresh.decoder = tokenizer.decoder
    fresh.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    return fresh
