"""The reference of the parity tests: what nn_pruning computes, by its own code and as a formula."""

import torch

from recipes.benchmarks.nn_pruning_hybrid import HYBRID
from recipes.benchmarks.nn_pruning_shim import load_masked_nn


def coordinator(**fields):
    """Return its `ModelPatchingCoordinator` with the options of its hybrid method and these fields."""
    load_masked_nn()
    from nn_pruning.patch_coordinator import ModelPatchingCoordinator, SparseTrainingArguments

    return ModelPatchingCoordinator(SparseTrainingArguments(**{**HYBRID, **fields}), None, None, ["logits"], None)


def hybrid(model, *, block_size, seed=0, **fields):
    """Give a BERT model its hybrid masks with random scores, in place.

    Returns:
        `(coordinator, masked)`: the second are its `MaskedLinear` modules by name.
    """
    found = coordinator(attention_block_rows=block_size, attention_block_cols=block_size, **fields)
    found.patch_model(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mask_scores"):
                parameter.normal_(generator=generator)
    masked_linear = load_masked_nn().MaskedLinear
    return found, {name: module for name, module in model.named_modules() if isinstance(module, masked_linear)}


def scores_of(masked):
    """Return the scores of a `MaskedLinear`: a matrix of blocks, or a vector that two matrices share."""
    return next(context.mask_scores for context in masked.mask_module.context_modules if context is not None)


def penalty(matrices):
    """Return its L1 penalty on the scores of several matrices: the mean over matrices of the mean of the sigmoids."""
    return sum(torch.sigmoid(scores).mean() for scores in matrices) / len(matrices)
