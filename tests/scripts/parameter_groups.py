"""Two groups of parameters by overriding create_optimizer: the head learns faster."""

import torch
from common import imports
from habit import start

Trainer, TrainingArguments = imports()


def groups(make, args):

    class Grouped(Trainer):
        def create_optimizer(self):
            head = [p for name, p in self.model.named_parameters() if name.startswith("classifier")]
            rest = [p for name, p in self.model.named_parameters() if not name.startswith("classifier")]
            self.optimizer = torch.optim.AdamW(
                [{"params": rest}, {"params": head, "lr": 2 * self.args.learning_rate}], lr=self.args.learning_rate
            )
            return self.optimizer

    return make(Grouped)


if __name__ == "__main__":
    start(groups, TrainingArguments)
