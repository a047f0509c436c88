"""Fine-tune a text classifier from CSV files: the shape of a script that people have. Nothing in it knows trainer_ext.

The tests run it as it is, and with its one import of Trainer and TrainingArguments changed.
"""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import transformers
from datasets import load_dataset
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    HfArgumentParser,
    set_seed,
)

from transformers import Trainer, TrainingArguments  # isort: skip
from transformers.trainer_utils import get_last_checkpoint

logger = logging.getLogger(__name__)


@dataclass
class DataArguments:
    """Where the texts are."""

    train_file: str = field(metadata={"help": "CSV file with the columns text and label."})
    validation_file: str = field(metadata={"help": "The same, to evaluate on."})
    test_file: str | None = field(default=None, metadata={"help": "The same with unknown labels, to predict."})
    max_seq_length: int = field(default=16, metadata={"help": "Longer texts are cut, in tokens."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Use only so many rows."})


@dataclass
class ModelArguments:
    """What to start from."""

    model_name_or_path: str = field(metadata={"help": "Folder or Hub id of the model."})
    early_stopping_patience: int | None = field(default=None, metadata={"help": "Evaluations without improvement."})


def parse_arguments():
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        return parser.parse_json_file(json_file=str(Path(sys.argv[1]).resolve()))
    return parser.parse_args_into_dataclasses()


def compute_metrics(prediction):
    """Accuracy and F1 of a `transformers.EvalPrediction`."""
    found = prediction.predictions.argmax(axis=-1)
    return {
        "accuracy": accuracy_score(prediction.label_ids, found),
        "f1": f1_score(prediction.label_ids, found, average="macro", zero_division=0.0),
    }


def main():
    model_args, data_args, training_args = parse_arguments()
    logging.basicConfig(level=training_args.get_process_log_level())
    datasets.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    set_seed(training_args.seed)

    files = {"train": data_args.train_file, "validation": data_args.validation_file}
    if data_args.test_file:
        files["test"] = data_args.test_file
    raw = load_dataset("csv", data_files=files, cache_dir=str(Path(training_args.output_dir) / "cache"))
    names = sorted(set(raw["train"]["label"]))
    ids = {name: index for index, name in enumerate(names)}

    config = AutoConfig.from_pretrained(
        model_args.model_name_or_path, num_labels=len(names), label2id=ids, id2label=dict(enumerate(names))
    )
    tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
    model = AutoModelForSequenceClassification.from_pretrained(model_args.model_name_or_path, config=config)

    def prepare(rows):
        encoded = tokenizer(rows["text"], max_length=data_args.max_seq_length, truncation=True)
        encoded["labels"] = [ids.get(name, -1) for name in rows["label"]]  # of the test file nobody knows them
        return encoded

    with training_args.main_process_first(desc="tokenizing"):
        rows = raw.map(prepare, batched=True, remove_columns=["text", "label"])
    if data_args.max_train_samples is not None:
        rows["train"] = rows["train"].select(range(min(data_args.max_train_samples, len(rows["train"]))))

    patience = model_args.early_stopping_patience
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=rows["train"] if training_args.do_train else None,
        eval_dataset=rows["validation"] if training_args.do_eval else None,
        compute_metrics=compute_metrics,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        callbacks=[] if patience is None else [EarlyStoppingCallback(early_stopping_patience=patience)],
    )

    if training_args.do_train:
        checkpoint = training_args.resume_from_checkpoint or get_last_checkpoint(training_args.output_dir)
        result = trainer.train(resume_from_checkpoint=checkpoint)
        trainer.save_model()
        trainer.log_metrics("train", result.metrics)
        trainer.save_metrics("train", {**result.metrics, "train_samples": len(rows["train"])})
        trainer.save_state()

    if training_args.do_eval:
        metrics = trainer.evaluate(eval_dataset=rows["validation"])
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", {**metrics, "eval_samples": len(rows["validation"])})

    if training_args.do_predict:
        found = trainer.predict(rows["test"].remove_columns("labels"), metric_key_prefix="predict").predictions
        if trainer.is_world_process_zero():
            lines = [f"{index}\t{names[label]}" for index, label in enumerate(found.argmax(axis=1))]
            (Path(training_args.output_dir) / "predictions.txt").write_text("\n".join(["index\tprediction", *lines]))

    about = {"finetuned_from": model_args.model_name_or_path, "tasks": "text-classification", "language": "mr"}
    if training_args.push_to_hub:
        trainer.push_to_hub(**about)
    else:
        trainer.create_model_card(**about)


if __name__ == "__main__":
    main()
