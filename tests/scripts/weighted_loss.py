"""A Trainer with a loss of its own: classes that are rare count more."""

import torch
from common import imports
from habit import start
from torch.nn import functional as F

Trainer, TrainingArguments = imports()


class WeightedTrainer(Trainer):
    """Classes that are rare count more; as in most scripts, without super()."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        weights = torch.tensor([1.0, 2.0, 1.0], device=labels.device)
        loss = F.cross_entropy(outputs.logits, labels, weight=weights)
        return (loss, outputs) if return_outputs else loss


def weighted(make, args):
    return make(WeightedTrainer)


if __name__ == "__main__":
    start(weighted, TrainingArguments)
