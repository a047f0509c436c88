"""Fine-tune a classifier with several labels per text, and make it half as large.

The CSV files have the columns text and labels, with bars between the names: `sport|local`, or nothing.

python recipes/examples/several_labels.py --model MODEL --train train.csv --test test.csv --output_dir out
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

from trainer_ext import DistillPruneTrainer as Trainer, DistillPruneTrainingArguments as TrainingArguments


@dataclass
class Script:
    """What the script needs besides the training arguments."""

    model: str = field(metadata={"help": "Folder or Hub id of an encoder."})
    train: str = field(metadata={"help": "CSV file with the columns text and labels."})
    test: str = field(metadata={"help": "The same, to evaluate on."})
    max_length: int = field(default=128, metadata={"help": "Longest text, in tokens."})


def names_of(cell: str | None) -> list[str]:
    """The labels of one row; an empty cell has none."""
    return [name for name in (cell or "").split("|") if name]


def f1(found) -> dict[str, float]:
    """Micro F1 of a `transformers.EvalPrediction`; a label is given if its logit is above zero."""
    given, right = found.predictions > 0, found.label_ids == 1
    return {"f1": float(2 * np.sum(given & right) / max(given.sum() + right.sum(), 1))}


def main() -> None:
    parser = HfArgumentParser((Script, TrainingArguments))
    parser.set_defaults(prune_sparsity=0.5)
    script, args = parser.parse_args_into_dataclasses()
    set_seed(args.seed)

    files = load_dataset("csv", data_files={"train": script.train, "test": script.test})
    names = sorted({name for cell in files["train"]["labels"] for name in names_of(cell)})
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        script.model,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        problem_type="multi_label_classification",
    )

    def encode(rows):
        encoded = tokenizer(rows["text"], truncation=True, max_length=script.max_length)
        return {**encoded, "labels": [[float(name in names_of(cell)) for name in names] for cell in rows["labels"]]}

    rows = files.map(encode, batched=True, remove_columns=files["train"].column_names)
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=rows["train"],
        eval_dataset=rows["test"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=f1,
    )
    trainer.train()
    trainer.log_metrics("eval", trainer.evaluate())
    trainer.save_model()


if __name__ == "__main__":
    main()
