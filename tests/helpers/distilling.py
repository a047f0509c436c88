"""What the tests of distillation share: a tiny task of every kind, as rows of different length, and models for them."""

import torch
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    set_seed,
)

from tests.helpers.training import LABELS, LENGTH, VOCABULARY

AUTO_CLASSES = {
    "token_classification": AutoModelForTokenClassification,
    "question_answering": AutoModelForQuestionAnswering,
}
KINDS = ("single_label_classification", "multi_label_classification", "regression", *AUTO_CLASSES)
NUM_LABELS = {"regression": 1, "question_answering": 2}


def model_for(kind, *, seed=0, model_type="bert", **config):
    """A random model without dropout that answers a task of this kind."""
    values = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "num_labels": NUM_LABELS.get(kind, LABELS),
        "problem_type": None if kind in AUTO_CLASSES else kind,
    }
    set_seed(seed)
    auto_class = AUTO_CLASSES.get(kind, AutoModelForSequenceClassification)
    return auto_class.from_config(AutoConfig.for_model(model_type, **{**values, **config}))


class TaskRows(Dataset):
    """Random token ids, padded to 8 after 3 to 8 tokens, with the labels of a kind of task.

    Args:
        count: number of rows.
        kind: one of KINDS.
        seed: of everything random.
        unlabelled: whether every third row has no label (-100).
    """

    def __init__(self, count, kind, *, seed=0, unlabelled=False):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(1, VOCABULARY, (count, LENGTH), generator=generator)
        self.mask = torch.arange(LENGTH) < 3 + torch.arange(count)[:, None] % (LENGTH - 2)
        self.ids = ids * self.mask
        label = ids[:, 0] % LABELS
        first = ids[:, 1] % 3  # always among the tokens
        self.labels = {
            "single_label_classification": {"labels": label},
            "multi_label_classification": {"labels": torch.nn.functional.one_hot(label, LABELS).float()},
            "regression": {"labels": label.float() / LABELS},
            "token_classification": {"labels": torch.where(self.mask, ids % LABELS, -100)},
            "question_answering": {"start_positions": first, "end_positions": first},
        }[kind]
        if unlabelled:
            self.labels["labels"][::3] = -100

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        row = {"input_ids": self.ids[index], "attention_mask": self.mask[index].long()}
        return row | {name: values[index] for name, values in self.labels.items()}

    def batch(self):
        """All rows as one batch."""
        return {name: torch.stack([row[name] for row in self]) for name in self[0]}
