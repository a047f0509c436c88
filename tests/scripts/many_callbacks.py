"""Several callbacks, early stopping among them, and the best model at the end."""

import json

from common import imports
from habit import start
from transformers import EarlyStoppingCallback, ProgressCallback, TrainerCallback

Trainer, TrainingArguments = imports()


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


def callbacks(make, args):
    args.load_best_model_at_end, args.metric_for_best_model, args.greater_is_better = True, "accuracy", True
    args.eval_strategy = args.save_strategy = "steps"
    args.eval_steps = args.save_steps = 10
    return make(Trainer, callbacks=[SaveBest(), WriteLog(), ProgressCallback(), EarlyStoppingCallback(5)])


if __name__ == "__main__":
    start(callbacks, TrainingArguments)
