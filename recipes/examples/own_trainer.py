"""A `Trainer` subclass of one's own, with a loss of its own, that compresses too: one class with our mixin in front.

python recipes/examples/own_trainer.py --model MODEL --train train.csv --test test.csv --output_dir out
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from datasets import load_dataset
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    HfArgumentParser,
    Trainer,
    set_seed,
)

from trainer_ext import DistillPruneMixin, DistillPruneTrainingArguments as TrainingArguments


@dataclass
class Script:
    """What the script needs besides the training arguments."""

    model: str = field(metadata={"help": "Folder or Hub id of an encoder."})
    train: str = field(metadata={"help": "CSV file with the columns text and label."})
    test: str = field(metadata={"help": "The same, to evaluate on."})
    max_length: int = field(default=128, metadata={"help": "Longest text, in tokens."})


class WeightedTrainer(Trainer):
    """Classes that are rare count more. It knows nothing of pruning; its loss is the mean over a batch."""

    def __init__(self, *args, class_weights: list[float], **kwargs):
        super().__init__(*args, **kwargs)
        self.class_weights = torch.tensor(class_weights)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = F.cross_entropy(outputs.logits.float(), labels, weight=self.class_weights.to(labels.device))
        return (loss, outputs) if return_outputs else loss


class CompressingTrainer(DistillPruneMixin, WeightedTrainer):
    """The same, and it compresses: the terms of the teacher are added to the loss above."""


def main() -> None:
    parser = HfArgumentParser((Script, TrainingArguments))
    parser.set_defaults(prune_sparsity=0.5)
    script, args = parser.parse_args_into_dataclasses()
    set_seed(args.seed)

    files = load_dataset("csv", data_files={"train": script.train, "test": script.test})
    names, counts = np.unique(files["train"]["label"], return_counts=True)
    ids = {str(name): number for number, name in enumerate(names)}
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        script.model, num_labels=len(ids), id2label={number: name for name, number in ids.items()}, label2id=ids
    )

    def encode(rows):
        encoded = tokenizer(rows["text"], truncation=True, max_length=script.max_length)
        return {**encoded, "labels": [ids[name] for name in rows["label"]]}

    rows = files.map(encode, batched=True, remove_columns=files["train"].column_names)
    trainer = CompressingTrainer(
        model=model,
        args=args,
        train_dataset=rows["train"],
        eval_dataset=rows["test"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(-1) == found.label_ids))},
        class_weights=(counts.sum() / (len(counts) * counts)).tolist(),
    )
    trainer.train()
    trainer.log_metrics("eval", trainer.evaluate())
    trainer.save_model()


if __name__ == "__main__":
    main()
