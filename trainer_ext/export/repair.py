"""Repair an int8 file that loses too much: keep in fp32 the few matrices that cause the loss.

Most matrices lose next to nothing in int8. The loss comes from a few whose inputs have outlier channels, which stretch the
one scale of the activations (Bondarenko et al. 2021, "Understanding and Overcoming the Challenges of Efficient Transformer
Quantization"). So each matrix alone is rounded as its runtime does it, and ranked by how far the logits move on calibration
texts: for ONNX in torch (`damages` below), for OpenVINO in its own graph (`openvino.damages`), where scales are fixed, layers
are smoothed, and products of two activations are int8 too. Files with the worst 1, 2, 4, ... of them in fp32 are written and
checked until one passes; bisection then finds the fewest.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import Progress
from torch import nn

from .. import report
from ..benchmark.busy import Watch, undisturbed
from ..benchmark.latency import take_turns, timed
from ..models import outputs
from ..models.runtimes import Runtime, open_runtime
from ..utils.files import writing_to
from .source import ExportSource
from .traceable import belongs
from .verify import Findings, batches_of, judged_rows

if TYPE_CHECKING:
    from .formats import Format

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


def repair(
    source: ExportSource,
    format_: Format,
    scratch: Path,
    exact: Path,
    plain: Findings,
    check: Callable[..., Findings],
    progress: Progress,
) -> tuple[Findings, report.Int8Repair | None]:
    """Write an int8 file again with as few matrices in fp32 as bring its loss within the bound.

    Args:
        source: the exported model.
        format_: its format.
        scratch: folder with the file in plain int8, which is replaced.
        exact: the fp32 file to quantize.
        plain: what the check of plain int8 found.
        check: `check(file, on_rows=...)`.
        progress: gets a bar for the ranking and for each file that is tried.

    Returns:
        What the check of the last file found, and what it cost; if none passes, the plain file stays, with its findings and
        the smallest loss in the reason.
    """
    name, files = format_.name, format_.files(scratch)
    found_damages = format_.damages(source, exact, files[-1])
    bar = progress.add_task(f"{name} loses too much: matrices ranked", total=len(found_damages))
    ranked = rank(found_damages, on_matrix=partial(progress.advance, bar))
    found: dict[int, Findings] = {}

    def folder(count: int) -> Path:
        return scratch / f"{name}-{count}"

    def holds(count: int) -> bool:
        file = folder(count) / format_.file
        file.parent.mkdir(parents=True)
        title = f"{name} with {count} of {len(ranked)} in fp32"
        bar = progress.add_task(f"{title}: written", total=plain.rows)
        with writing_to(scratch):
            format_.write(source, file, exact, ranked[:count])
        progress.update(bar, description=f"{title}: checked")
        found[count] = check(file, on_rows=partial(progress.advance, bar))
        if not found[count].holds:
            shutil.rmtree(folder(count))
        return found[count].holds

    count = fewest(holds, int(LARGEST_SHARE * len(ranked)))
    if count is None:
        losses = {count: one.loss for count, one in found.items() if not math.isnan(one.loss)}
        best = min(losses, key=losses.__getitem__, default=None)
        ending = (
            ""
            if best is None
            else f"; the least loss is {losses[best]:.4f}, with {best} of {len(ranked)} matrices in fp32"
        )
        return replace(plain, reason=plain.reason + ending), None
    repaired = format_.files(folder(count))
    cost = report.Int8Repair(
        kept_fp32=ranked[:count],
        matrices=len(ranked),
        plain_bytes=sum(file.stat().st_size for file in files),
        plain_loss=None if math.isnan(plain.loss) else plain.loss,
        **relative_speed(source, open_runtime(files[-1]), open_runtime(repaired[-1])),
    )
    for mended, file in zip(repaired, files, strict=True):
        mended.replace(file)
    return found[count], cost


@outputs.full_precision()
def rank(found: Mapping[str, Callable[[], float]], *, on_matrix: Callable[[], None]) -> list[str]:
    """Return matrices in the order of the change of the logits when one alone is int8, the largest first.

    Args:
        found: a function for each that measures this change.
        on_matrix: called after each.
    """
    damage: dict[str, float] = {}
    for name, measure in found.items():
        value = measure()
        damage[name] = math.inf if math.isnan(value) else value
        on_matrix()
    return sorted(found, key=lambda name: -damage[name])


def ranking_batches(source: ExportSource) -> list[dict[str, np.ndarray]]:
    """Return the first calibration texts in batches, `[rows, length]` per input."""
    batches = batches_of(source, source.calibration[:RANKING_TEXTS])
    return [{name: value.numpy() for name, value in batch.items()} for batch in batches]


def damages(source: ExportSource, names: Sequence[str]) -> dict[str, Callable[[], float]]:
    """Return, for each of some matrices, a function: how far the logits move when it alone is rounded in torch.

    Args:
        source: the model, with calibration texts.
        names: names of its matrices.
    """
    batches = list(batches_of(source, source.calibration[:RANKING_TEXTS]))

    @outputs.full_precision()
    def logits() -> torch.Tensor:
        return torch.cat([outputs.logits(source.model, batch).flatten() for batch in batches])

    exact = logits()

    def damage(name: str) -> float:
        with _rounded(source.model.get_submodule(name)):
            return (logits() - exact).square().mean().item()

    return {name: partial(damage, name) for name in names}


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


def relative_speed(source: ExportSource, plain: Runtime, repaired: Runtime) -> dict[str, Any]:
    """Return the speed of a repaired file, where that of plain int8 is one, on the first batch of the compared texts.

    Returns:
        The fields `speed`, `busy` and `cpu_speed` of the report.
    """
    batch = {name: value.numpy() for name, value in next(iter(batches_of(source, judged_rows(source)))).items()}

    def timing(runtime: Runtime) -> Callable[[int], float]:
        return lambda _: timed(lambda: runtime.run(batch), _CPU)

    def attempt(watch: Watch, again: bool) -> dict[str, list[float]]:
        calls = {"plain": timing(plain), "repaired": timing(repaired)}
        return take_turns(calls, repeats=TIMED_CALLS, warmup=2, watch=watch)

    times, watch = undisturbed(attempt)
    busy = watch.is_busy
    return {
        "speed": statistics.median(times["plain"]) / statistics.median(times["repaired"]),
        "busy": busy,
        "cpu_speed": watch.cpu_speedup("plain", "repaired") if busy else None,
    }
