"""Search for the smallest, fastest or best model: train the most promising candidate next, until a goal is met."""

from typing import TYPE_CHECKING

from ...utils.imports import lazy_names

if TYPE_CHECKING:
    from .runner import search as search

__getattr__, __dir__, __all__ = lazy_names(__name__, {"runner": ["search"]})
