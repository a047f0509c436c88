"""Pruning: learned scores become masks, masks become a smaller model, and the two are shown to be equal."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .latency_table import measure_table as measure_table
    from .layer_dropping import drop_layers as drop_layers
    from .masks import attach as attach
    from .masks import close as close
    from .masks import load_masked as load_masked
    from .masks import merge as merge
    from .masks import set_sparsity as set_sparsity
    from .shrinking import shrink as shrink
    from .shrinking import shrink_plain as shrink_plain
    from .units import PruningSpec as PruningSpec
    from .verify import CheckFailed as CheckFailed
    from .verify import Compression as Compression
    from .verify import check as check
    from .verify import shrink_masked as shrink_masked

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "latency_table": ["measure_table"],
        "layer_dropping": ["drop_layers"],
        "masks": ["attach", "close", "load_masked", "merge", "set_sparsity"],
        "shrinking": ["shrink", "shrink_plain"],
        "units": ["PruningSpec"],
        "verify": ["CheckFailed", "Compression", "check", "shrink_masked"],
    },
)
