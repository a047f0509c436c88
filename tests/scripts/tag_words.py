"""One label per word, in the shape of run_ner: the first piece of a word has its label, the others -100."""

import numpy as np
from common import FRAMES, TOPICS, finish, imports, parse, rows
from transformers import AutoModelForTokenClassification, AutoTokenizer, DataCollatorForTokenClassification, set_seed

Trainer, TrainingArguments = imports()


def sentences():
    kinds = {word: topic for topic, words in TOPICS.items() for word in words}
    found = [frame.format(word).split() for frame in FRAMES for word in kinds] * 6
    return [{"tokens": words, "tags": [kinds.get(word, "O") for word in words]} for words in found]


def main():
    script, args = parse(TrainingArguments)
    set_seed(args.seed)
    train, test = rows(script, sentences())
    names = ["O", *sorted({tag for tags in train["tags"] for tag in tags} - {"O"})]
    numbers = {name: i for i, name in enumerate(names)}
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForTokenClassification.from_pretrained(
        script.model, num_labels=len(names), id2label=dict(enumerate(names)), label2id=numbers
    )

    def encode(batch):
        encoded = tokenizer(batch["tokens"], truncation=True, max_length=script.max_length, is_split_into_words=True)
        encoded["labels"] = []
        for row, tags in enumerate(batch["tags"]):
            before, labels = None, []
            for word in encoded.word_ids(row):
                labels.append(-100 if word is None or word == before else numbers.get(tags[word], 0))
                before = word
            encoded["labels"].append(labels)
        return dict(encoded)

    def scores(prediction):
        counted = prediction.label_ids != -100
        found, right = prediction.predictions.argmax(-1)[counted], prediction.label_ids[counted]
        both = np.sum((found == right) & (right != 0))
        return {"f1": float(2 * both / max(np.sum(found != 0) + np.sum(right != 0), 1))}

    train, test = (part.map(encode, batched=True, remove_columns=part.column_names) for part in (train, test))
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=test,
        processing_class=tokenizer,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        compute_metrics=scores,
    )
    trainer.train()
    finish(trainer, trainer.evaluate())


if __name__ == "__main__":
    main()
