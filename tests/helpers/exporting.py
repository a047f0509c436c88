"""Pruned shapes and batches for the tests of exports."""

import torch

from trainer_ext.models import outputs
from trainer_ext.models.runtimes import open_runtime

# Remaining heads and neurons of two layers with 4 heads and 64 neurons: one attention and one feed-forward are empty.
HEADS, NEURONS = [[], [0, 2, 3]], [list(range(5)), []]
OTHER_HEADS, OTHER_NEURONS = [[1], []], [[], list(range(3, 40))]
SHAPES = ((1, 7), (4, 11), (5, 30))  # rows, tokens; models are traced at (2, 8)
SPECIAL = ("albert", "bert", "deberta-v2", "electra")  # families with token types


def input_names(model_type):
    """Return the inputs that the tokenizer of a family makes."""
    return ("input_ids", *(["token_type_ids"] if model_type in SPECIAL else []), "attention_mask")


def batches(model, shapes=SHAPES, *, second_text=True):
    """Return random batches with padding and tokens of a second text; the last one has no padding."""
    found = [outputs.synthetic_batch(model, rows=rows, length=length, seed=rows) for rows, length in shapes]
    found.append({name: value[:2, :4] for name, value in found[-1].items()})
    for batch in found:
        kinds = torch.zeros_like(batch["input_ids"])
        kinds[:, 3:] = second_text
        batch["token_type_ids"] = kinds
    return found


def arrays(batch):
    """Return a batch as NumPy arrays."""
    return {name: value.numpy() for name, value in batch.items()}


def difference(model, file, names):
    """Return the largest difference of logits between a model and a file, relative to the allowed one in fp32."""
    runtime = open_runtime(file, threads=1)
    worst = 0.0
    for batch in batches(model):
        expected = outputs.logits(model, {name: batch[name] for name in names})
        found = torch.from_numpy(runtime.run(arrays(batch)))
        assert found.shape == expected.shape
        worst = max(worst, ((found - expected).abs().max() / outputs.allowed_difference(expected)).item())
    return worst
