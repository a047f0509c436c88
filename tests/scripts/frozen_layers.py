"""The embeddings and the first layer do not learn."""

from common import imports
from habit import start

Trainer, TrainingArguments = imports()


def frozen(make, args):
    return make(Trainer, freeze=("embeddings.", "layer.0."))


if __name__ == "__main__":
    start(frozen, TrainingArguments)
