"""What nn_pruning computes, by its own code behind the shim and as one pure formula: the reference of the parity tests."""

import torch

from recipes.benchmarks.nn_pruning_hybrid import HYBRID
from recipes.benchmarks.nn_pruning_shim import load_masked_nn


def coordinator(**fields):
    """Its `ModelPatchingCoordinator` with the options of its hybrid, and these."""
    load_masked_nn()
    from nn_pruning.patch_coordinator import ModelPatchingCoordinator, SparseTrainingArguments

    return ModelPatchingCoordinator(SparseTrainingArguments(**{**HYBRID, **fields}), None, None, ["logits"], None)


def hybrid(model, *, block_size, seed=0, **fields):
    """Its hybrid masks on a BERT model, which is changed in place, with random scores.

    Returns:
        `(coordinator, masked)`: the second its `MaskedLinear`s by name.
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
    """The scores of one of its `MaskedLinear`s: a matrix of blocks, or a vector that two matrices share."""
    return next(context.mask_scores for context in masked.mask_module.context_modules if context is not None)


def penalty(matrices):
    """Its L1 penalty on one group of scores, as a formula: the mean over matrices of the mean of their sigmoids.

    Args:
        matrices: scores of each matrix, of any shapes; a vector that two matrices share is given once.
    """
    return sum(torch.sigmoid(scores).mean() for scores in matrices) / len(matrices)
