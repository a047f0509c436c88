"""Repair an int8 file that loses too much: keep in fp32 the few matrices that cause the loss.

Most matrices lose next to nothing in int8. The loss comes from a few whose inputs have outlier channels, which stretch the
one scale of the activations (Bondarenko et al. 2021, "Understanding and Overcoming the Challenges of Efficient Transformer
Quantization"). So each matrix alone is rounded as the runtimes do it, and ranked by how far the logits move on calibration
texts. Files with the worst 1, 2, 4, ... of them in fp32 are written and checked until one passes; bisection then finds the
fewest.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from ..benchmark.latency import take_turns, timed
from ..models import outputs
from ..models.runtimes import Runtime
from .source import ExportSource
from .traceable import belongs
from .verify import batches_of, judged_rows

RANKING_TEXTS = 32
LARGEST_SHARE = 0.5  # of the matrices that may stay in fp32; with more, the file is not worth its loss
TIMED_CALLS = 10
_CPU = torch.device("cpu")


def matrices(model: nn.Module, nodes: Sequence[str]) -> list[str]:
    """Return the names of the matrices and embedding tables of a model that are int8 in a file.

    Args:
        model: the model.
        nodes: names of the int8 nodes of the file.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Embedding)]
    return [name for name in layers if any(belongs(node, [name]) for node in nodes)]


@outputs.full_precision()
def rank(source: ExportSource, names: Sequence[str], *, on_matrix: Callable[[], None]) -> list[str]:
    """Return matrices in the order of the change of the logits when one alone is int8, the largest first.

    Args:
        source: the model, with calibration texts.
        names: names of its matrices.
        on_matrix: called after each matrix.
    """
    rows = source.calibration[:RANKING_TEXTS]
    batches = list(batches_of(source, rows))
    exact = [outputs.logits(source.model, batch) for batch in batches]
    damage: dict[str, float] = {}
    for name in names:
        with _rounded(source.model.get_submodule(name)):
            changes = [
                (outputs.logits(source.model, batch) - expected).square().mean().item()
                for batch, expected in zip(batches, exact, strict=True)
            ]
        damage[name] = math.inf if math.isnan(sum(changes)) else sum(changes)
        on_matrix()
    return sorted(names, key=lambda name: -damage[name])


@contextlib.contextmanager
def _rounded(module: nn.Module) -> Iterator[None]:
    """Round the weight `[out, in]` of a module per row to int8, and its fp32 inputs as one tensor to uint8."""
    weight = module.get_parameter("weight")
    exact = weight.data
    scale = (exact.abs().amax(1, keepdim=True) / 127).clamp_min(torch.finfo(torch.float32).tiny)
    weight.data = (exact / scale).round() * scale
    hook = module.register_forward_pre_hook(lambda _, inputs: tuple(map(_rounded_inputs, inputs)))
    try:
        yield
    finally:
        hook.remove()
        weight.data = exact


def _rounded_inputs(inputs: torch.Tensor) -> torch.Tensor:
    if not inputs.is_floating_point() or not inputs.numel():
        return inputs
    low, high = inputs.min().clamp_max(0), inputs.max().clamp_min(0)
    scale = ((high - low) / 255).clamp_min(torch.finfo(torch.float32).tiny)
    return ((inputs - low) / scale).round() * scale + low


def fewest(holds: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number from 1 to `most` for which a check holds; None if it fails for all that are tried.

    Doubling finds one for which it holds, bisection the smallest, if it holds for all larger ones.

    Args:
        holds: the check; it is called about `2 log2(most)` times at most.
        most: the largest number.
    """
    failed, count = 0, min(1, most)
    while count and not holds(count):
        if count == most:
            return None
        failed, count = count, min(2 * count, most)
    while count - failed > 1:
        middle = (failed + count) // 2
        if holds(middle):
            count = middle
        else:
            failed = middle
    return count or None


def relative_speed(source: ExportSource, plain: Runtime, repaired: Runtime) -> float:
    """Return the speed of a repaired file, where that of plain int8 is one, on the first batch of the compared texts."""
    batch = {name: value.numpy() for name, value in next(iter(batches_of(source, judged_rows(source)))).items()}

    def timing(runtime: Runtime) -> Callable[[int], float]:
        return lambda _: timed(lambda: runtime.run(batch), _CPU)

    times = take_turns({"plain": timing(plain), "repaired": timing(repaired)}, repeats=TIMED_CALLS, warmup=2)
    return statistics.median(times["plain"]) / statistics.median(times["repaired"])
