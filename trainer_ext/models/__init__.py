"""Architectures that can be pruned: where their parts lie, how models are loaded, and the compact classes."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .families import FAMILIES as FAMILIES
    from .families import Family as Family
    from .loading import open_classifier as open_classifier
    from .loading import open_tokenizer as open_tokenizer

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "families": ["FAMILIES", "Family"],
        "loading": ["open_classifier", "open_tokenizer"],
    },
)
