"""One-shot pruning: a smaller model in minutes, from a fine-tuned one and texts without labels, with no training.

1. One pass of the dense model over the texts gives the second moments of the inputs of each block.
2. `second_order` ranks the heads and neurons of each block, and says what removing them costs.
3. `budget` chooses how many stay in each block, so that the sum of the costs is smallest.
4. Those that stay make up for the others, by least squares, and `shrinking` cuts the others out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress, TaskID

from ..benchmark.size import evaluating
from ..errors import InputError
from ..models.architectures import find_encoder, layers_of, prunable_weights
from ..models.layers import EncoderLayer, LinearView
from ..models.loading import longest_text
from ..models.outputs import allowed_difference, answers, full_precision
from ..utils.finite import check_given
from .budget import Levels, choose
from .second_order import Curve, compensated, damped, removal_curve, with_bias
from .selection import Structure
from .shrinking import in_precision, shrink

Batch = Mapping[str, Any]
T = TypeVar("T")
NEURON_LEVELS = 64  # levels of a feed-forward block
STEPS = 256  # neurons are removed in so many steps, or more
FEWEST_TEXTS = 16


@dataclass
class Moments:
    """Second moments of the inputs of a Linear, with a constant 1 as the last input.

    Attributes:
        total: sum over the tokens, `[inputs + 1, inputs + 1]`.
        has_bias: whether the Linear has a bias, so that the constant can be used.
        tokens: number of tokens.
    """

    total: torch.Tensor
    has_bias: bool
    tokens: int = 0

    def add(self, inputs: torch.Tensor) -> None:
        """Add the inputs of a batch, `[tokens, inputs]`."""
        with_one = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
        self.total += with_one.T @ with_one
        self.tokens += len(inputs)

    @property
    def mean(self) -> torch.Tensor:
        """The moments per token, damped; without a bias the constant is unrelated to all else, and stays 0."""
        result = damped(self.total / max(1, self.tokens))
        if not self.has_bias:
            result[:-1, -1] = result[-1, :-1] = 0
        return result


def matrices_of(layers: Sequence[EncoderLayer]) -> list[LinearView]:
    """Return the matrices whose columns belong to heads and neurons: two per layer."""
    return [matrix for layer in layers for matrix in (layer.attention_output, layer.ffn_out)]


@torch.no_grad()
def collect_moments(model, batches: Iterable[Batch], matrices: Sequence[LinearView]) -> list[Moments]:
    """Run a model on batches of texts and add up the second moments of the inputs of some of its matrices.

    Args:
        model: a model with an encoder; in evaluation mode for the time of the call.
        batches: inputs of its forward pass; padding, where `attention_mask` is 0, does not count.
        matrices: from `matrices_of`.
    """
    moments = [Moments(_zeros(matrix), matrix.bias is not None) for matrix in matrices]
    real: dict[str, torch.Tensor] = {}

    def record(index: int) -> Callable[..., None]:
        def hook(module: Any, args: tuple[torch.Tensor, ...]) -> None:
            inputs = args[0]
            moments[index].add(inputs[real["mask"]] if inputs.dim() == 3 else inputs)

        return hook

    with _hooks(matrices, record), evaluating(model):
        for batch in batches:
            mask = batch.get("attention_mask")
            real["mask"] = torch.ones_like(batch["input_ids"], dtype=torch.bool) if mask is None else mask.bool()
            model(**batch)
    return moments


def _zeros(matrix: LinearView) -> torch.Tensor:
    size = matrix.in_features + 1
    return torch.zeros(size, size, device=matrix.weight.device)


@contextmanager
def _hooks(matrices: Sequence[LinearView], make: Callable[[int], Callable[..., None]]) -> Iterator[None]:
    handles = [matrix.linear.register_forward_pre_hook(make(index)) for index, matrix in enumerate(matrices)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def curves_of(layers: Sequence[EncoderLayer], moments: Sequence[Moments]) -> Iterator[Curve]:
    """Yield the removal curve of the heads and of the neurons of each layer, two per layer."""
    for index, (matrix, found) in enumerate(zip(matrices_of(layers), moments, strict=True)):
        layer = layers[index // 2]
        group = layer.head_size if matrix is layer.attention_output else 1
        at_once = max(1, layer.neurons // STEPS) if group == 1 else 1
        yield removal_curve(with_bias(matrix.weight, matrix.bias), found.mean, group=group, at_once=at_once)


def choose_structure(layers: Sequence[EncoderLayer], curves: Sequence[Curve], sparsity: float) -> Structure:
    """Return the heads and neurons that stay, so that a fraction of the prunable weights goes.

    Args:
        layers: the layers of the model.
        curves: from `curves_of`.
        sparsity: fraction of the prunable weights to remove.
    """
    blocks = []
    for index, curve in enumerate(curves):
        layer = layers[index // 2]
        heads = index % 2 == 0
        total, cost = (layer.heads, layer.head_cost) if heads else (layer.neurons, layer.neuron_cost)
        counts = (
            range(total + 1) if heads else sorted({round(total * x / NEURON_LEVELS) for x in range(NEURON_LEVELS + 1)})
        )
        errors = [curve.errors[total - count].item() * layer.uses / curve.scale for count in counts]
        blocks.append(Levels(list(counts), [count * cost for count in counts], errors))
    kept = choose(blocks, (1 - sparsity) * prunable_weights(list(layers)))
    ids = [curve.kept(count) for curve, count in zip(curves, kept, strict=True)]
    return Structure(ids[::2], ids[1::2])


@torch.no_grad()
def close(layers: Sequence[EncoderLayer], moments: Sequence[Moments], structure: Structure) -> None:
    """Close the heads and neurons that go, and let those that stay make up for them, in place.

    Args:
        layers: the layers of the model.
        moments: of the inputs of `matrices_of`.
        structure: what stays.
    """
    for index, (matrix, found) in enumerate(zip(matrices_of(layers), moments, strict=True)):
        layer, is_ffn = layers[index // 2], index % 2
        kept = (structure.neurons if is_ffn else structure.heads)[index // 2]
        if not is_ffn:
            kept = [head * layer.head_size + row for head in kept for row in range(layer.head_size)]
        _set_weight(matrix, compensated(with_bias(matrix.weight, matrix.bias), found.mean, kept))


def _set_weight(matrix: LinearView, weight: torch.Tensor) -> None:
    """Write a weight with its bias, `[outputs, inputs + 1]`, into a matrix; without a bias, that column is 0."""
    matrix.weight.copy_(weight[:, :-1])
    if matrix.bias is not None:
        matrix.bias.copy_(weight[:, -1])


def encode(texts: Sequence[str], tokenizer, *, max_length: int | None, batch_size: int) -> list[Batch]:
    """Return texts as batches of token ids, texts of similar length together; the order of the texts does not matter.

    Args:
        texts: the texts.
        tokenizer: of the model.
        max_length: tokens of a text; longer ones are cut. None for what the tokenizer allows.
        batch_size: texts of a batch.
    """
    ordered = sorted(texts, key=lambda text: (len(text), text))
    rows = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    return [
        dict(tokenizer(row, padding=True, truncation=True, max_length=max_length, return_tensors="pt")) for row in rows
    ]


@full_precision()
def prune(
    model,
    texts: Sequence[str],
    tokenizer,
    *,
    sparsity: float,
    max_length: int | None = None,
    batch_size: int = 32,
    progress: bool = True,
):
    """Return a smaller model from a fine-tuned one, with texts but without labels and without training.

    Heads and neurons are removed by second order (see `second_order`), as many in each layer as costs least in all, and
    the others make up for them by least squares.

    Args:
        model: a fine-tuned model with one encoder whose architecture is in `ARCHITECTURES`; not changed.
        texts: texts such as the model will read; about a thousand are enough.
        tokenizer: of the model.
        sparsity: fraction of the encoder's attention and feed-forward weights to remove, in (0, 1).
        max_length: tokens of a text; longer ones are cut. Defaults to what the model and its tokenizer allow.
        batch_size: texts of a batch.
        progress: whether to show a progress bar on standard error.

    Returns:
        The compact model, on the device and in the dtype of `model`.

    Raises:
        InputError: If there are too few texts, or the model has NaN weights.
        ValueError: If the architecture is unknown, or the sparsity out of range.

    Example:
        >>> small = trainer_ext.prune(model, texts, tokenizer, sparsity=0.5)
        >>> small.save_pretrained("small")
    """
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity={sparsity} must be above 0 and below 1: the fraction of the encoder that goes.")
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InputError("texts must be a list of strings, such as the model will read, without labels.")
    texts = [text for text in texts if text.strip()]
    if len(texts) < FEWEST_TEXTS:
        raise InputError(
            f"Got {len(texts)} texts, and their statistics decide what can go: give at least {FEWEST_TEXTS}, better a thousand."
        )
    check_given(model, "The model")
    if hasattr(model, "pruning"):
        raise ValueError("The model has masks; prune a dense model, or call trainer_ext.merge(model) first.")
    limits = (max_length, longest_text(find_encoder(model)[1].config), getattr(tokenizer, "model_max_length", None))
    longest = min((limit for limit in limits if limit), default=None)
    zeroed = copy.deepcopy(model).float()
    layers, device = layers_of(zeroed), find_encoder(zeroed)[1].device
    batches = [
        {name: tensor.to(device) for name, tensor in batch.items()}
        for batch in encode(texts, tokenizer, max_length=longest, batch_size=batch_size)
    ]
    bar = Progress(console=Console(stderr=True), disable=not progress)
    with bar, torch.no_grad():
        task = bar.add_task("texts", total=len(batches))
        moments = collect_moments(zeroed, _counted(batches, bar, task), matrices_of(layers))
        task = bar.add_task("blocks", total=2 * len(layers))
        structure = choose_structure(layers, list(_counted(curves_of(layers, moments), bar, task)), sparsity)
        close(layers, moments, structure)
    before = answers(zeroed, batches[0])
    smaller, _, _ = shrink(zeroed)
    difference = (answers(smaller, batches[0]) - before).abs().max().item()
    if not difference <= allowed_difference(before):
        raise RuntimeError(
            f"The smaller model differs from the one with zeros by {difference:.1e}: please report this."
        )
    buffers = {name: buffer.dtype for name, buffer in model.named_buffers()}
    return in_precision(smaller, find_encoder(model)[1].dtype, buffers)


def _counted(steps: Iterable[T], bar: Progress, task: TaskID) -> Iterator[T]:
    for step in steps:
        yield step
        bar.advance(task)
