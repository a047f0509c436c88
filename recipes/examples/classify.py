"""Fine-tune a text classifier from CSV files with the columns text and label, and make it half as large.

python recipes/examples/classify.py --model MODEL --train train.csv --test test.csv --output_dir out
"""

from dataclasses import dataclass, field

import numpy as np
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    HfArgumentParser,
    set_seed,
)

# The two imports: in the script for stock transformers they are `from transformers import Trainer, TrainingArguments`.
from trainer_ext import DistillPruneTrainer as Trainer, DistillPruneTrainingArguments as TrainingArguments


@dataclass
class Script:
    """What the script needs besides the training arguments."""

    model: str = field(metadata={"help": "Folder or Hub id of an encoder."})
    train: str = field(metadata={"help": "CSV file with the columns text and label."})
    test: str = field(metadata={"help": "The same, to evaluate on."})
    max_length: int = field(default=128, metadata={"help": "Longest text, in tokens."})


def main() -> None:
    parser = HfArgumentParser((Script, TrainingArguments))
    parser.set_defaults(prune_sparsity=0.5)  # half of the encoder; --prune_sparsity gives another share
    script, args = parser.parse_args_into_dataclasses()
    set_seed(args.seed)

    files = load_dataset("csv", data_files={"train": script.train, "test": script.test})
    names = sorted(set(files["train"]["label"]))
    ids = {name: number for number, name in enumerate(names)}
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        script.model, num_labels=len(names), id2label=dict(enumerate(names)), label2id=ids
    )

    def encode(rows):
        encoded = tokenizer(rows["text"], truncation=True, max_length=script.max_length)
        return {**encoded, "labels": [ids[name] for name in rows["label"]]}

    rows = files.map(encode, batched=True, remove_columns=files["train"].column_names)
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=rows["train"],
        eval_dataset=rows["test"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(-1) == found.label_ids))},
    )
    trainer.train()  # the whole model, if its head is new; then the small one, with the whole one as teacher
    trainer.log_metrics("eval", trainer.evaluate())
    trainer.save_model()


if __name__ == "__main__":
    main()
