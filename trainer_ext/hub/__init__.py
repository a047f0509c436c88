"""Publish a compressed model on the Hugging Face Hub: model card, upload and Space."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .plan import PushOptions as PushOptions
    from .upload import Pushed as Pushed, push as push

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "plan": ["PushOptions"],
        "upload": ["Pushed", "push"],
    },
)
