"""Pruning: learned scores become masks, masks become a smaller model, and the two are shown to be equal."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .latency_table import measure_latency_table as measure_latency_table
    from .layer_dropping import drop_layers as drop_layers
    from .masks import (
        attach as attach,
        freeze_structure as freeze_structure,
        load_masked as load_masked,
        merge as merge,
        set_sparsity as set_sparsity,
    )
    from .shrinking import shrink as shrink, shrink_plain as shrink_plain
    from .units import PruningSpec as PruningSpec
    from .verify import (
        CompressionResult as CompressionResult,
        check as check,
        shrink_and_verify as shrink_and_verify,
    )

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "latency_table": ["measure_latency_table"],
        "layer_dropping": ["drop_layers"],
        "masks": ["attach", "freeze_structure", "load_masked", "merge", "set_sparsity"],
        "shrinking": ["shrink", "shrink_plain"],
        "units": ["PruningSpec"],
        "verify": ["CompressionResult", "check", "shrink_and_verify"],
    },
)
