"""Count parameters, bytes on disk and floating-point operations of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..models.architectures import find_encoder, is_stock
from ..models.loading import longest_text
from ..models.stored_weights import weight_files
from ..report.schema import Parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def count_parameters(model: nn.Module) -> Parameters:
    """Return the number of unique parameters of a classifier, by part.

    `embeddings` is the module of that name in the encoder, or the input embeddings if there is none; `encoder` is the rest
    of the encoder, with its pooler; `head` is everything else, and all of a model without an encoder that is known. A
    tensor that is used twice counts once, in the first of these parts.
    """
    base = _encoder(model)
    if base is None:
        total = sum(_sizes(model).values())
        return Parameters(total=total, encoder=0, embeddings=0, head=total)
    embeddings = dict(base.named_children()).get("embeddings") or input_embeddings(base)
    in_embeddings = _sizes(embeddings)
    in_base = _sizes(base) | in_embeddings
    in_model = _sizes(model) | in_base
    total, base_total, embedding_total = (sum(sizes.values()) for sizes in (in_model, in_base, in_embeddings))
    return Parameters(
        total=total, encoder=base_total - embedding_total, embeddings=embedding_total, head=total - base_total
    )


def _encoder(model: nn.Module) -> nn.Module | None:
    if is_stock(model):
        return cast("PreTrainedModel", model).base_model
    try:
        return find_encoder(model)[1]
    except ValueError:
        return None


def weight_bytes(folder: str | Path) -> int:
    """Return the total size of the files in a folder that hold the weights.

    Raises:
        ValueError: There are none.
    """
    files = weight_files(folder)
    if not files:
        raise ValueError(f"No weights in {folder}; give the folder that save_pretrained wrote.")
    return sum(file.stat().st_size for file in files)


def forward_flops(model: nn.Module, batch_size: int, sequence_length: int) -> int:
    """Return the floating-point operations of the matrix products of one forward pass; a multiply-add counts as two.

    PyTorch counts them in a real pass over `random_inputs`. Fused attention is included, also that of the CPU, which is
    missing in the table of PyTorch.

    Args:
        model: a Hugging Face model.
        batch_size: texts.
        sequence_length: tokens per text.
    """
    inputs = random_inputs(model, batch_size, sequence_length=sequence_length)
    extra = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _sdpa_flops}
    with _without_gradients(model), FlopCounterMode(display=False, custom_mapping=extra) as counter:
        model(**inputs)
    return int(counter.get_total_flops())


def random_inputs(
    model: nn.Module, batch_size: int, *, sequence_length: int, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return random token ids and an attention mask of ones, `[batch, sequence]` each, on the device of the model.

    Args:
        model: a Hugging Face model; ids are drawn from the rows of its input embeddings.
        batch_size: texts.
        sequence_length: tokens per text.
        seed: of the random ids.

    Raises:
        ValueError: A size is below 1, or the sequence is longer than the model reads.
    """
    if batch_size < 1 or sequence_length < 1:
        raise ValueError(f"batch_size={batch_size} and sequence_length={sequence_length}: both must be at least 1.")
    config = getattr(model, "config", None)
    longest = longest_text(config) if hasattr(config, "model_type") else None
    if longest and 0 < longest < sequence_length:
        raise ValueError(f"sequence_length={sequence_length} is more than the model's {longest} positions; lower it.")
    table = input_embeddings(model).weight
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(table.shape[0], (batch_size, sequence_length), generator=generator).to(table.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def input_embeddings(model: nn.Module) -> nn.Embedding:
    """Return the token embeddings of a Hugging Face model."""
    return cast(nn.Embedding, cast("PreTrainedModel", model).get_input_embeddings())


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Put models in evaluation mode; afterwards restore the mode of every module."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Evaluate a model whose parameters need no gradient inside the block.

    The counter asks each output of a module that needs one for its gradient function. In DeBERTa a module hands out its
    weight, which has none under `no_grad` or `inference_mode`.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        with evaluating(model), torch.no_grad():
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _sizes(module: nn.Module) -> dict[int, int]:
    """Return the number of elements of each unique parameter, by its identity."""
    return {id(parameter): parameter.numel() for parameter in module.parameters()}


def _sdpa_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)
