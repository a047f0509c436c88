"""Fine-tune with LoRA first, then merge the adapters and compress: the merged model is teacher and baseline.

It needs `pip install peft`.

python recipes/examples/lora_first.py --model MODEL --train train.csv --test test.csv --output_dir out
"""

from dataclasses import dataclass, field

import numpy as np
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)

from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments


@dataclass
class Script:
    """What the script needs besides the training arguments of the second part."""

    model: str = field(metadata={"help": "Folder or Hub id of an encoder."})
    train: str = field(metadata={"help": "CSV file with the columns text and label."})
    test: str = field(metadata={"help": "The same, to evaluate on."})
    max_length: int = field(default=128, metadata={"help": "Longest text, in tokens."})
    lora_epochs: float = field(default=3.0, metadata={"help": "Epochs with LoRA."})
    lora_learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of the adapters."})
    lora_rank: int = field(default=8, metadata={"help": "Rank of the adapters."})


def main() -> None:
    parser = HfArgumentParser((Script, DistillPruneTrainingArguments))
    parser.set_defaults(prune_sparsity=0.5, distill_teacher="self")
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
    common = {
        "train_dataset": rows["train"],
        "eval_dataset": rows["test"],
        "processing_class": tokenizer,
        "data_collator": DataCollatorWithPadding(tokenizer),
        "compute_metrics": lambda found: {"accuracy": float(np.mean(found.predictions.argmax(-1) == found.label_ids))},
    }

    # 1. LoRA, as PEFT's own examples have it. The head is trained whole, and kept with the adapters.
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=script.lora_rank, target_modules="all-linear"))
    first = TrainingArguments(
        f"{args.output_dir}/lora",
        num_train_epochs=script.lora_epochs,
        learning_rate=script.lora_learning_rate,
        per_device_train_batch_size=args.per_device_train_batch_size,
        seed=args.seed,
        use_cpu=args.use_cpu,
        report_to="none",
    )
    Trainer(adapted, first, **common).train()

    # 2. A plain model again, all of it trainable: this is what is pruned, and its own teacher.
    merged = adapted.merge_and_unload().requires_grad_(True)
    trainer = DistillPruneTrainer(merged, args, **common)
    trainer.train()
    trainer.log_metrics("eval", trainer.evaluate())
    trainer.save_model()


if __name__ == "__main__":
    main()
