"""A small hyperparameter search; the best trial's arguments train the model."""

from common import imports
from habit import start

Trainer, TrainingArguments = imports()


def search(make, args):
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


if __name__ == "__main__":
    start(search, TrainingArguments)
