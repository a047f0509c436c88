"""Benchmark: size, FLOPs, latency, memory and energy of models side by side."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .latency import measure_latency as measure_latency
    from .runner import Benchmark as Benchmark, benchmark as benchmark

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "latency": ["measure_latency"],
        "runner": ["Benchmark", "benchmark"],
    },
)
