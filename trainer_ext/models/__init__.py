"""Models: the architectures that can be pruned, loading of models and exported files, and the compact classes."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .architectures import (
        ARCHITECTURES as ARCHITECTURES,
        FAMILIES as FAMILIES,
        ArchitectureSpec as ArchitectureSpec,
        Family as Family,
    )
    from .custom import load_compact as load_compact
    from .loading import load_model as load_model, load_tokenizer as load_tokenizer

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "architectures": ["ARCHITECTURES", "FAMILIES", "ArchitectureSpec", "Family"],
        "custom": ["load_compact"],
        "loading": ["load_model", "load_tokenizer"],
    },
)
