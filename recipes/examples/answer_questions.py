"""Fine-tune a reader that answers questions by a span of a text, and make it half as large.

The files hold JSON lines with question, context, answer, and start: where the answer begins, in characters.

python recipes/examples/answer_questions.py --model MODEL --train train.jsonl --test test.jsonl --output_dir out
"""

from dataclasses import dataclass, field

import numpy as np
from datasets import load_dataset
from transformers import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    HfArgumentParser,
    default_data_collator,
    set_seed,
)

from trainer_ext import DistillPruneTrainer as Trainer, DistillPruneTrainingArguments as TrainingArguments


@dataclass
class Script:
    """What the script needs besides the training arguments."""

    model: str = field(metadata={"help": "Folder or Hub id of an encoder with a fast tokenizer."})
    train: str = field(metadata={"help": "JSON lines with question, context, answer and start."})
    test: str = field(metadata={"help": "The same, to evaluate on."})
    max_length: int = field(
        default=384, metadata={"help": "Longest question with its text, in tokens; the rest is cut."}
    )


def both_ends(found) -> dict[str, float]:
    """The share of texts of a `transformers.EvalPrediction` in which start and end are right."""
    right = [
        scores.argmax(-1) == labels for scores, labels in zip(found.predictions[:2], found.label_ids[:2], strict=True)
    ]
    return {"exact": float(np.mean(right[0] & right[1]))}


def main() -> None:
    parser = HfArgumentParser((Script, TrainingArguments))
    parser.set_defaults(prune_sparsity=0.5)
    script, args = parser.parse_args_into_dataclasses()
    set_seed(args.seed)

    files = load_dataset("json", data_files={"train": script.train, "test": script.test})
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForQuestionAnswering.from_pretrained(script.model)

    def encode(rows):
        encoded = tokenizer(
            rows["question"],
            rows["context"],
            truncation="only_second",
            max_length=script.max_length,
            padding="max_length",
            return_offsets_mapping=True,
        )
        starts, ends = [], []
        for number, places in enumerate(encoded.pop("offset_mapping")):
            first = rows["start"][number]
            last = first + len(rows["answer"][number])
            of_text = [part == 1 for part in encoded.sequence_ids(number)]
            inside = [i for i, (a, b) in enumerate(places) if of_text[i] and a < last and b > first]
            starts.append(inside[0] if inside else 0)  # an answer that was cut off is the first token
            ends.append(inside[-1] if inside else 0)
        return {**encoded, "start_positions": starts, "end_positions": ends}

    rows = files.map(encode, batched=True, remove_columns=files["train"].column_names)
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=rows["train"],
        eval_dataset=rows["test"],
        processing_class=tokenizer,
        data_collator=default_data_collator,
        compute_metrics=both_ends,
    )
    trainer.train()
    trainer.log_metrics("eval", trainer.evaluate())
    trainer.save_model()


if __name__ == "__main__":
    main()
