"""What the tests of exports share: models as pruning leaves them, and batches of several shapes."""

import torch

from trainer_ext.models import outputs
from trainer_ext.models.runtimes import open_runtime

# What stays of two layers of 4 heads and 64 neurons: other numbers in each, an attention and a feed-forward without any.
HEADS, NEURONS = [[], [0, 2, 3]], [list(range(5)), []]
OTHER_HEADS, OTHER_NEURONS = [[1], []], [[], list(range(3, 40))]
SHAPES = ((1, 7), (4, 11), (5, 30))  # rows, tokens; models are traced at (2, 8)
SPECIAL = ("albert", "bert", "deberta-v2", "electra")  # those whose tokenizers tell two texts apart


def input_names(model_type):
    """The inputs that a family's tokenizer makes."""
    return ("input_ids", *(["token_type_ids"] if model_type in SPECIAL else []), "attention_mask")


def batches(model, shapes=SHAPES, *, second_text=True):
    """Random batches, half of each padded, with tokens of a second text; the last of them without padding."""
    found = [outputs.synthetic_batch(model, rows=rows, length=length, seed=rows) for rows, length in shapes]
    found.append({name: value[:2, :4] for name, value in found[-1].items()})
    for batch in found:
        kinds = torch.zeros_like(batch["input_ids"])
        kinds[:, 3:] = second_text
        batch["token_type_ids"] = kinds
    return found


def arrays(batch):
    """A batch as runtimes take it."""
    return {name: value.numpy() for name, value in batch.items()}


def difference(model, file, names):
    """Largest difference of logits between a model and a file, in units of what fp32 may differ by."""
    runtime = open_runtime(file, threads=1)
    worst = 0.0
    for batch in batches(model):
        expected = outputs.logits(model, {name: batch[name] for name in names})
        found = torch.from_numpy(runtime.run(arrays(batch)))
        assert found.shape == expected.shape
        worst = max(worst, ((found - expected).abs().max() / outputs.allowed_difference(expected)).item())
    return worst
