"""Coverage: what a trimmed vocabulary makes of texts that it was not chosen by."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from .report import Pair, Vocabulary
from .vocabulary import Trimmed


def coverage(
    tokenizer: PreTrainedTokenizerBase, trimmed: Trimmed, texts: Sequence[str], *, corpus_texts: int | None = None
) -> Vocabulary:
    """Compare how texts are cut before and after; words are what white space separates.

    Args:
        tokenizer: the tokenizer with all tokens.
        trimmed: what was made of it.
        texts: texts that the kept tokens were not chosen by; without any, no share is known.
        corpus_texts: how many texts they were chosen by.
    """
    tokens = Pair(len(tokenizer), len(trimmed.tokenizer))
    if not texts:
        return Vocabulary(tokens, corpus_texts, 0)
    before, after = (
        one(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        for one in (tokenizer, trimmed.tokenizer)
    )
    after = [[trimmed.kept_ids[index] for index in ids] for ids in after]
    words = max(1, sum(len(text.split()) for text in texts))
    lengths = [sum(map(len, cut)) for cut in (before, after)]
    unknown = [sum(ids.count(tokenizer.unk_token_id) for ids in cut) for cut in (before, after)]
    return Vocabulary(
        tokens=tokens,
        corpus_texts=corpus_texts,
        held_out_texts=len(texts),
        changed_share=sum(map(list.__ne__, before, after)) / len(texts),
        unknown_rate=Pair(*(count / max(1, length) for count, length in zip(unknown, lengths, strict=True))),
        tokens_per_word=Pair(*(length / words for length in lengths)),
    )
