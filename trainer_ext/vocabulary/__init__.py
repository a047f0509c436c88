"""Vocabulary: trim a tokenizer and the embeddings of its model to the tokens that a corpus uses."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .checkpoint import trim_checkpoint as trim_checkpoint
    from .trim import trim_model as trim_model, trim_tokenizer as trim_tokenizer

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "checkpoint": ["trim_checkpoint"],
        "trim": ["trim_model", "trim_tokenizer"],
    },
)
