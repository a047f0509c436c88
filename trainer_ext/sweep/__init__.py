"""Train and compare many compressions of one model: a grid, or a search; resumable, with one table and one plot."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .runner import sweep as sweep

__getattr__, __dir__, __all__ = lazy_names(__name__, {"runner": ["sweep"]})
