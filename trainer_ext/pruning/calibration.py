"""Calibration: what texts without labels tell about the blocks of a model.

Second-order pruning needs two matrices per Linear: the second moments of its inputs, which say how far the other inputs
can make up for one that goes, and those of the gradients of its outputs, which say how much an error there changes the
answers of the model. Their Kronecker product approximates the curvature of the loss (K-FAC, Martens and Grosse 2015,
arXiv 1503.05671; for pruning, van der Ouderaa et al. 2023, arXiv 2312.17244, section 3).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import datasets
import torch
from accelerate.utils import send_to_device

from ..benchmark.size import evaluating
from ..distillation.collator import TeacherCollator, split_inputs
from ..distillation.losses import curvature_output, named_outputs, not_padding, soft_target_for
from ..errors import InputError
from ..models.layers import EncoderLayer, LinearView
from ..models.outputs import inputs_of, tensors_of
from .second_order import damped, root_of

Batch = Mapping[str, Any]
T = TypeVar("T")
TEXTS = 1024  # of a training set that are read
TOKENS = 48 * TEXTS  # about the most that are read, whatever the number of texts
FEWEST_TEXTS = 16
BATCH_SIZE = 32


@dataclass
class Statistics:
    """What texts make of a Linear: the second moments of its inputs, and how much its outputs matter to the answers.

    Attributes:
        inputs: sum of `x x^T` over the tokens, with a constant 1 as the last input, `[inputs + 1, inputs + 1]`.
        outputs: sum of `g g^T` over the tokens, `g` being the gradient of `answer_loss`, `[outputs, outputs]`.
        has_bias: whether the Linear has a bias, so that the constant can be used.
        tokens, texts: how many were read.
    """

    inputs: torch.Tensor
    outputs: torch.Tensor
    has_bias: bool
    tokens: int = 0
    texts: int = 0

    def add_inputs(self, values: torch.Tensor) -> None:
        """Add the inputs of a batch, `[tokens, inputs]`."""
        with_one = torch.cat([values, values.new_ones(len(values), 1)], dim=1).to(self.inputs)
        self.inputs += with_one.T @ with_one
        self.tokens += len(values)

    def add_gradients(self, values: torch.Tensor) -> None:
        """Add the gradients of the outputs of a batch, `[tokens, outputs]`."""
        values = values.to(self.outputs)
        self.outputs += values.T @ values

    @property
    def moments(self) -> torch.Tensor:
        """The second moments of the inputs, damped; without a bias the constant is unrelated to all else, and stays 0."""
        result = damped(self.inputs / max(1, self.tokens))
        if not self.has_bias:
            result[:-1, -1] = result[-1, :-1] = 0
        return result

    @property
    def importance(self) -> torch.Tensor:
        """A root `[outputs, outputs]`: the squares of `root @ change` add up to what a change does to the answers."""
        return root_of(self.outputs / max(1, self.texts))


def matrices_of(layers: Sequence[EncoderLayer]) -> list[LinearView]:
    """Return the matrices whose columns belong to heads and neurons: two per layer."""
    return [matrix for layer in layers for matrix in (layer.attention_output, layer.ffn_out)]


def collect(model, batches: Iterable[Batch], matrices: Sequence[LinearView]) -> list[Statistics]:
    """Run a model forward and backward on batches of texts, and add up the statistics of some of its matrices.

    No label is used. The random signs of `answer_loss` do not depend on the size of the batches of a classifier.

    Args:
        model: a model with an encoder; in evaluation mode for the time of the call, its parameters without gradients.
        batches: inputs of its forward pass; padding, where `attention_mask` is 0, does not count.
        matrices: from `matrices_of`.
    """
    found = [_empty(matrix) for matrix in matrices]
    mask: torch.Tensor | None = None

    def tokens(values: torch.Tensor) -> torch.Tensor:
        if mask is None or mask.shape != values.shape[:-1]:  # no padding, or it was left out already
            return values.flatten(0, -2)
        return values[mask]

    def hook_for(statistics: Statistics) -> Callable[..., torch.Tensor]:
        def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            statistics.add_inputs(tokens(inputs[0].detach()))
            if not output.requires_grad:  # the first of them: gradients flow no further down
                output = output.detach().requires_grad_()
            output.register_hook(lambda gradient: statistics.add_gradients(tokens(gradient)))
            return output

        return hook

    generator = torch.Generator().manual_seed(0)
    with _hooks(matrices, [hook_for(each) for each in found]), evaluating(model), _without_gradients(model):
        for batch in batches:
            mask = not_padding(batch)
            with torch.enable_grad():
                loss = answer_loss(model(**inputs_of(model, batch)), batch, getattr(model, "config", None), generator)
            loss.backward()
            for each in found:
                each.texts += rows_in(batch)
    return found


def rows_in(batch: Batch) -> int:
    """Return the number of texts of a batch: the length of its first tensor."""
    return next(len(values) for values in batch.values() if isinstance(values, torch.Tensor) and values.dim())


def answer_loss(output: Any, batch: Batch, config: Any, generator: torch.Generator) -> torch.Tensor:
    """Return a scalar whose squared gradient is, on average, how much a small change matters to the answers.

    That is the Gauss-Newton matrix of the loss of distillation at equal logits, the Fisher matrix of a classifier: the sum
    of the logits, each times an entry of `SoftTarget.curvature`. Outputs that are no logits count by their squares.

    Args:
        output: of a forward pass.
        batch: its inputs.
        config: of the model, or None.
        generator: of random signs, on the processor.
    """
    try:
        outputs = named_outputs(output)
        target = soft_target_for(outputs, config, batch.get("labels"))
        parts = [(outputs[name], target.curvature) for name in target.outputs]
    except ValueError:  # several tensors without names
        parts = [(tensor, curvature_output) for tensor in tensors_of(output)]
    mask = not_padding(batch)
    terms = []
    for values, curvature in parts:
        signs = torch.stack([torch.randint(0, 2, row.shape, generator=generator) for row in values]) * 2 - 1
        direction = curvature(values.detach().float(), signs.to(values.device), mask)
        terms.append((values.float() * direction).sum())
    return torch.stack(terms).sum()


def _empty(matrix: LinearView) -> Statistics:
    inputs, outputs = matrix.in_features + 1, matrix.out_features
    device = matrix.weight.device
    return Statistics(
        torch.zeros(inputs, inputs, device=device),
        torch.zeros(outputs, outputs, device=device),
        matrix.bias is not None,
    )


@contextmanager
def _hooks(matrices: Sequence[LinearView], hooks: Sequence[Callable[..., torch.Tensor]]) -> Iterator[None]:
    handles = [matrix.linear.register_forward_hook(hook) for matrix, hook in zip(matrices, hooks, strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _without_gradients(model: torch.nn.Module) -> Iterator[None]:
    """Compute no gradients of the parameters inside the block: only those of activations are needed."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


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


def spread(items: Sequence[T], tokens: Sequence[int]) -> list[T]:
    """Return all items, or every second, third, ... of them if they have more than `TOKENS` tokens; `FEWEST_TEXTS` at least.

    Args:
        items: texts, or batches of them.
        tokens: the number of tokens of each.
    """
    step = max(1, min(-(-sum(tokens) // TOKENS), len(items) // FEWEST_TEXTS))
    return list(items[::step])


def training_batches(loader: Any, device: torch.device) -> list[Batch]:
    """Return rows of a training set as a model gets them: at most `TEXTS`, spread evenly over it.

    Args:
        loader: the data loader of the training.
        device: of the model.

    Raises:
        InputError: As `check_training_set`.
    """
    dataset = getattr(loader, "dataset", None)
    if dataset is None or getattr(loader, "batch_sampler", loader) is None:  # whatever it is, it gives batches
        return [send_to_device(dict(batch), device) for batch in _first_batches(loader)]
    rows = _rows(dataset)
    if all(isinstance(row, Mapping) and "input_ids" in row for row in rows):
        rows = spread(rows, [len(row["input_ids"]) for row in rows])
        rows = sorted(rows, key=lambda row: len(row["input_ids"]))  # less padding
    collate = loader.collate_fn
    batches = (collate(rows[start : start + BATCH_SIZE]) for start in range(0, len(rows), BATCH_SIZE))
    if isinstance(collate, TeacherCollator):
        batches = (split_inputs(batch)[0] for batch in batches)
    return [send_to_device(dict(batch), device) for batch in batches]


def _first_batches(loader: Iterable[Batch]) -> Iterator[Batch]:
    read = 0
    for batch in loader:
        yield batch
        read += rows_in(batch)
        if read >= TEXTS:
            return


def _rows(dataset: Any) -> list[Any]:
    check_training_set(dataset)
    if isinstance(dataset, datasets.IterableDataset):
        return list(itertools.islice(dataset, TEXTS))
    count = min(TEXTS, len(dataset))
    return [dataset[index * len(dataset) // count] for index in range(count)]


def check_training_set(dataset: Any) -> None:
    """Refuse a training set whose rows cannot be read before the training, or that has too few.

    Raises:
        InputError: The message says what to give instead.
    """
    if isinstance(dataset, datasets.IterableDataset):
        return
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise InputError(
            "prune_method=obs reads some rows of the training set before the training, and this is a stream that may run "
            "only once: give a dataset with a length, a datasets.IterableDataset, or prune_method=movement."
        )
    if len(dataset) < FEWEST_TEXTS:
        raise InputError(
            f"The training set has {len(dataset)} rows, and prune_method=obs decides by their statistics what can go: give at "
            f"least {FEWEST_TEXTS}, better a thousand, or choose prune_method=movement."
        )
