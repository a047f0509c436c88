"""Measurements: how big a model is and how much work one forward pass takes.

How long it takes is in :mod:`trainer_ext.benchmark.latency`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..report.schema import Parameters


def count_parameters(model: nn.Module) -> Parameters:
    """Unique parameters of a Hugging Face classifier, by part.

    ``embeddings`` is ``model.base_model.embeddings`` (where there is none, the input embeddings); ``encoder`` is the
    rest of ``model.base_model``, its pooler included; ``head`` is what the base model does not hold. A tensor used
    twice counts once, in the first of embeddings, encoder, head that holds it.
    """
    base = model.base_model
    embeddings = base.embeddings if "embeddings" in dict(base.named_children()) else base.get_input_embeddings()
    in_embeddings = _sizes(embeddings)
    in_base = _sizes(base) | in_embeddings
    in_model = _sizes(model) | in_base
    total, base_total, embedding_total = (sum(sizes.values()) for sizes in (in_model, in_base, in_embeddings))
    return Parameters(
        total=total, encoder=base_total - embedding_total, embeddings=embedding_total, head=total - base_total
    )


def weight_bytes(folder: str | Path) -> int:
    """Bytes on disk of the ``*.safetensors`` files in the folder.

    Raises:
        ValueError: the folder holds none.
    """
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise ValueError(f"No *.safetensors in {folder}; give the folder that save_pretrained wrote.")
    return sum(file.stat().st_size for file in files)


def forward_flops(model: nn.Module, batch_size: int, sequence_length: int) -> int:
    """Floating-point operations of one forward pass, a multiply-add counted as two.

    Matrix products only, counted by PyTorch on a real pass over :func:`random_inputs`; attention in fused kernels is
    included, also in the CPU's, which PyTorch's own table leaves out.
    """
    inputs = random_inputs(model, batch_size, sequence_length=sequence_length)
    extra = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _sdpa_flops}
    with evaluating(model), torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=extra) as counter:
        model(**inputs)
    return int(counter.get_total_flops())


def random_inputs(
    model: nn.Module, batch_size: int, *, sequence_length: int, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Token ids drawn from the model's own vocabulary and an attention mask of ones, [batch, sequence] each.

    They lie on the model's device; the vocabulary is the number of rows of its input embeddings.

    Raises:
        ValueError: a size below 1, or a sequence longer than ``config.max_position_embeddings``.
    """
    if batch_size < 1 or sequence_length < 1:
        raise ValueError(f"batch_size={batch_size} and sequence_length={sequence_length}: both must be at least 1.")
    longest = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if longest and 0 < longest < sequence_length:
        raise ValueError(f"sequence_length={sequence_length} is more than the model's {longest} positions; lower it.")
    table = model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(table.shape[0], (batch_size, sequence_length), generator=generator).to(table.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Put the models in evaluation mode; afterwards every module has the mode it had, frozen ones too."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def _sizes(module: nn.Module) -> dict[int, int]:
    """Number of elements of each unique parameter, by identity."""
    return {id(parameter): parameter.numel() for parameter in module.parameters()}


def _sdpa_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)
