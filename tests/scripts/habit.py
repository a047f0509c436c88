"""What the scripts about a habit share: a classifier of three topics, which each of them trains in its own way."""

from common import accuracy, finish, parse, rows, texts
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, set_seed


def start(habit, training_arguments):
    """Train the trainer that `habit(make, args)` returns, evaluate it, and save its model.

    `make(trainer_class, search=False, freeze=(), optimizers=None, **options)` gives a trainer of that class on the data of the
    script: with `search` it makes its model itself, `freeze` names what does not learn, `optimizers` takes the model.
    """
    script, args = parse(training_arguments)
    set_seed(args.seed)
    train, test = rows(script, texts())
    names = sorted(set(train["label"]))
    tokenizer = AutoTokenizer.from_pretrained(script.model)

    def encode(batch):
        labels = [names.index(name) for name in batch["label"]]
        return dict(tokenizer(batch["text"], truncation=True, max_length=script.max_length)) | {"labels": labels}

    train, test = (part.map(encode, batched=True, remove_columns=part.column_names) for part in (train, test))

    def new_model():
        return AutoModelForSequenceClassification.from_pretrained(script.model, num_labels=len(names))

    def make(trainer_class, *, search=False, freeze=(), optimizers=None, **options):
        model = None if search else new_model()
        for name, parameter in model.named_parameters() if freeze else ():
            parameter.requires_grad = not any(part in name for part in freeze)
        if search:
            options["model_init"] = lambda: new_model()
        if optimizers is not None:
            options["optimizers"] = optimizers(model)
        return trainer_class(
            model,
            args,
            train_dataset=train,
            eval_dataset=test,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
            **options,
        )

    trainer = habit(make, args)
    trainer.train()
    finish(trainer, trainer.evaluate())
