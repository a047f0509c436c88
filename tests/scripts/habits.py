"""What else scripts do with Trainer, one habit at a time: `--habit NAME` of the functions in HABITS."""

import json
import sys

import torch
from common import accuracy, finish, imports, parse, rows, texts
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    ProgressCallback,
    TrainerCallback,
    get_linear_schedule_with_warmup,
    set_seed,
)

Trainer, TrainingArguments = imports()


class WeightedTrainer(Trainer):
    """Classes that are rare count more; as in most scripts, without super()."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        weights = torch.tensor([1.0, 2.0, 1.0], device=labels.device)
        loss = F.cross_entropy(outputs.logits, labels, weight=weights)
        return (loss, outputs) if return_outputs else loss


class SaveBest(TrainerCallback):
    """Saves the model itself whenever a metric is the best so far."""

    best = -1.0

    def on_train_begin(self, args, state, control, **kwargs):
        self.best = -1.0

    def on_evaluate(self, args, state, control, metrics=None, model=None, **kwargs):
        if metrics["eval_accuracy"] >= self.best:
            self.best = metrics["eval_accuracy"]
            model.save_pretrained(f"{args.output_dir}/best")


class WriteLog(TrainerCallback):
    """Writes the log to a file of its own."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        with open(f"{args.output_dir}/log.jsonl", "a") as file:
            file.write(json.dumps({**(logs or {}), "step": state.global_step}) + "\n")


def weighted(make, args):
    """A loss of one's own."""
    return make(WeightedTrainer)


def callbacks(make, args):
    """Several callbacks, early stopping among them."""
    args.load_best_model_at_end, args.metric_for_best_model, args.greater_is_better = True, "accuracy", True
    args.eval_strategy = args.save_strategy = "steps"
    args.eval_steps = args.save_steps = 10
    return make(Trainer, callbacks=[SaveBest(), WriteLog(), ProgressCallback(), EarlyStoppingCallback(5)])


def search(make, args):
    """A small search; the best trial's arguments train the model."""
    trainer = make(Trainer, search=True)
    best = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-3, 5e-3)},
        lambda metrics: metrics["eval_accuracy"],
        n_trials=2,
        direction="maximize",
        backend="optuna",
    )
    for name, value in best.hyperparameters.items():
        setattr(trainer.args, name, value)
    return trainer


def groups(make, args):
    """Two groups of parameters by overriding create_optimizer: the head learns faster."""

    class Grouped(Trainer):
        def create_optimizer(self):
            head = [p for name, p in self.model.named_parameters() if name.startswith("classifier")]
            rest = [p for name, p in self.model.named_parameters() if not name.startswith("classifier")]
            self.optimizer = torch.optim.AdamW(
                [{"params": rest}, {"params": head, "lr": 2 * self.args.learning_rate}], lr=self.args.learning_rate
            )
            return self.optimizer

    return make(Grouped)


def optimizer(make, args):
    """An optimizer and a schedule of one's own."""
    return make(
        Trainer,
        optimizers=lambda model: (
            made := torch.optim.AdamW(model.parameters(), lr=args.learning_rate),
            get_linear_schedule_with_warmup(made, 2, args.max_steps),
        ),
    )


def frozen(make, args):
    """The embeddings and the first layer do not learn."""
    return make(Trainer, freeze=("embeddings.", "layer.0."))


HABITS = {each.__name__: each for each in (weighted, callbacks, search, groups, optimizer, frozen)}


def main():
    at = sys.argv.index("--habit")
    habit = HABITS[sys.argv[at + 1]]
    del sys.argv[at : at + 2]
    script, args = parse(TrainingArguments)
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


if __name__ == "__main__":
    main()
