"""Vocabulary figures: how differently two tokenizers cut the same texts."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import InputError
from .piece_choice import chunks
from .report import Pair, Vocabulary


def measure_vocabulary(before, after, texts: Sequence[str]) -> Vocabulary:
    """What trimming a vocabulary did to texts that it was not chosen by.

    Args:
        before: the tokenizer that was trimmed, a fast one.
        after: the trimmed one.
        texts: held-out texts.

    Returns:
        Sizes, the share of texts that are cut into other pieces, unknown tokens per token, tokens per word (what lies
        between spaces); `corpus_texts` is left to whoever knows it. Special tokens are not counted.

    Raises:
        InputError: there is no word in the texts.
    """
    words = sum(len(text.split()) for text in texts)
    if not words:
        raise InputError("The held-out texts are empty: there is nothing to measure the trimmed vocabulary by.")
    changed, tokens, unknown = 0, [0, 0], [0, 0]
    for chunk in chunks(texts):
        both = [_pieces(tokenizer, chunk) for tokenizer in (before, after)]
        changed += sum(old != new for old, new in zip(*both, strict=True))
        for side, (tokenizer, cut) in enumerate(zip((before, after), both, strict=True)):
            tokens[side] += sum(map(len, cut))
            unknown[side] += sum(pieces.count(tokenizer.unk_token) for pieces in cut)
    return Vocabulary(
        tokens=Pair(len(before), len(after)),
        held_out_texts=len(texts),
        changed_share=changed / len(texts),
        unknown_rate=Pair(*(lost / max(1, all_) for lost, all_ in zip(unknown, tokens, strict=True))),
        tokens_per_word=Pair(*(all_ / words for all_ in tokens)),
    )


def _pieces(tokenizer, texts: list[str]) -> list[list[str]]:
    ids = tokenizer(texts, add_special_tokens=False, verbose=False).input_ids  # not cut to a length
    return [tokenizer.convert_ids_to_tokens(row) for row in ids]
