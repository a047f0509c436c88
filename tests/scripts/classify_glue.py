"""Single sentences or pairs, in the shape of run_glue: `--pairs` asks whether one of two texts is about sport."""

import sys

from common import accuracy, finish, imports, parse, rows, texts
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    set_seed,
)

Trainer, TrainingArguments = imports()


def main():
    pairs = "--pairs" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--pairs"]
    script, args = parse(TrainingArguments)
    set_seed(args.seed)
    made = texts()
    if pairs:
        made = [
            {
                "text": a["text"],
                "second": b["text"],
                "label": "sport" if "sport" in (a["label"], b["label"]) else "other",
            }
            for a, b in zip(made, made[16:] + made[:16], strict=True)
        ]
    train, test = rows(script, made)
    names = sorted(set(train["label"]))
    config = AutoConfig.from_pretrained(
        script.model,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)},
    )
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForSequenceClassification.from_pretrained(script.model, config=config)

    def encode(batch):
        columns = (batch["text"], batch["second"]) if "second" in batch else (batch["text"],)
        return tokenizer(*columns, truncation=True, max_length=script.max_length) | {
            "label": [model.config.label2id[name] for name in batch["label"]]
        }

    train, test = (
        part.map(lambda b: dict(encode(b)), batched=True, remove_columns=part.column_names) for part in (train, test)
    )
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=test,
        compute_metrics=accuracy,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    finish(trainer, trainer.evaluate())


if __name__ == "__main__":
    main()
