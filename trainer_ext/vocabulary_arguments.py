"""Vocabulary arguments: how many tokens of the model's vocabulary stay, and by which texts they are chosen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class VocabularyArguments:
    """How many tokens stay, and by which texts they are chosen."""

    vocab_size: int | None = field(
        default=None,
        metadata={
            "help": "Tokens of the model's vocabulary to keep, special ones included: at most all of them, and at least "
            "the characters of the texts. Default: all."
        },
    )
    vocab_corpus: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Texts by which the tokens to keep are chosen: UTF-8 files (.txt or .txt.gz, one text per line) or "
            "folders of them. Default: the train texts."
        },
    )
