"""Fine-tune a tagger (NER) from files with a word and its tag per line, and make it half as large.

Between word and tag stands a tab, between sentences a blank line; tags are those of IOB: B-LOC, I-LOC, O.

python recipes/examples/tag_words.py --model MODEL --train train.tsv --test test.tsv --output_dir out
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    HfArgumentParser,
    set_seed,
)

from trainer_ext import DistillPruneTrainer as Trainer, DistillPruneTrainingArguments as TrainingArguments

IGNORED = -100  # the label of what does not count: special tokens, and the further pieces of a word


@dataclass
class Script:
    """What the script needs besides the training arguments."""

    model: str = field(metadata={"help": "Folder or Hub id of an encoder with a fast tokenizer."})
    train: str = field(metadata={"help": "File with a word, a tab and a tag per line."})
    test: str = field(metadata={"help": "The same, to evaluate on."})
    max_length: int = field(default=128, metadata={"help": "Longest sentence, in tokens."})


def read(file: str) -> Dataset:
    """Read sentences of words and tags."""
    blocks = Path(file).read_text(encoding="utf-8").strip().split("\n\n")
    pairs = [[line.split("\t") for line in block.splitlines() if line.strip()] for block in blocks]
    return Dataset.from_list([{"words": [p[0] for p in row], "tags": [p[-1] for p in row]} for row in pairs if row])


def f1_of_words(found) -> dict[str, float]:
    """F1 of the tagged words of a `transformers.EvalPrediction`; tag 0 is O."""
    counted = found.label_ids != IGNORED
    given, right = found.predictions.argmax(-1)[counted], found.label_ids[counted]
    hits = np.sum((given == right) & (right != 0))
    return {"f1": float(2 * hits / max(np.sum(given != 0) + np.sum(right != 0), 1))}


def main() -> None:
    parser = HfArgumentParser((Script, TrainingArguments))
    parser.set_defaults(prune_sparsity=0.5)
    script, args = parser.parse_args_into_dataclasses()
    set_seed(args.seed)

    train, test = read(script.train), read(script.test)
    names = ["O", *sorted({tag for tags in train["tags"] for tag in tags} - {"O"})]
    ids = {name: number for number, name in enumerate(names)}
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForTokenClassification.from_pretrained(
        script.model, num_labels=len(names), id2label=dict(enumerate(names)), label2id=ids
    )

    def encode(rows):
        encoded = tokenizer(rows["words"], truncation=True, max_length=script.max_length, is_split_into_words=True)
        labels = []
        for number, tags in enumerate(rows["tags"]):
            words = encoded.word_ids(number)
            first = [word is not None and word not in words[:place] for place, word in enumerate(words)]
            labels.append(
                [ids.get(tags[word], 0) if is_first else IGNORED for word, is_first in zip(words, first, strict=True)]
            )
        return {**encoded, "labels": labels}

    train, test = (part.map(encode, batched=True, remove_columns=part.column_names) for part in (train, test))
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=test,
        processing_class=tokenizer,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        compute_metrics=f1_of_words,
    )
    trainer.train()
    trainer.log_metrics("eval", trainer.evaluate())
    trainer.save_model()


if __name__ == "__main__":
    main()
