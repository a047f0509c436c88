"""What the tests of the trainer share: a tiny task, a tiny model, trainers, and a run that another process can start."""

import gc
import json
import os
import signal
import sys
import time
from pathlib import Path

import hypothesis
import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset
from transformers import AutoConfig, AutoModelForSequenceClassification, TrainerCallback, set_seed

from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments

LABELS, VOCABULARY, LENGTH = 3, 128, 8
TIMING_KEYS = (
    *("train_runtime", "train_samples_per_second", "train_steps_per_second"),
    *("eval_runtime", "eval_samples_per_second", "eval_steps_per_second"),
)
# Trainer collects garbage at every start; without what the imports made, that takes 10 ms and not 400.
# The first example makes hypothesis's random generator; among what is frozen it is not found again and taken for lost.
hypothesis.given(hypothesis.strategies.none())(lambda _: None)()
gc.freeze()

PRUNE = {"prune_method": "movement", "prune_block_size": 8, "prune_sparsity": 0.5}


class Rows(Dataset):
    """Random token ids whose first token gives the label: something that a tiny model learns in a few steps."""

    def __init__(self, count, *, seed=0, kind="single_label_classification"):
        generator = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(1, VOCABULARY, (count, LENGTH), generator=generator)
        label = self.ids[:, 0] % LABELS
        self.labels = {
            "single_label_classification": label,
            "multi_label_classification": torch.nn.functional.one_hot(label, LABELS).float(),
            "regression": label.float() / LABELS,
        }[kind]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {
            "input_ids": self.ids[index],
            "attention_mask": torch.ones(LENGTH, dtype=torch.long),
            "labels": self.labels[index],
        }


def new_model(*, seed=0, model_type="bert", dropout=0.1, **config):
    """A random classifier of two layers; the same seed gives the same weights."""
    values = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 64,
        "num_labels": LABELS,
        "initializer_range": 0.2,  # at 0.02 the logits are near zero, where a wrong result looks right
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    set_seed(seed)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(model_type, **{**values, **config}))


def arguments(output_dir, cls=DistillPruneTrainingArguments, **fields):
    """Arguments of a run of a few steps on the processor, which logs each of them."""
    values = {
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "max_steps": 10,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    return cls(output_dir=str(output_dir), **{**values, **fields})


def make_trainer(
    output_dir, cls=DistillPruneTrainer, *, rows=32, model=None, args_class=DistillPruneTrainingArguments, **options
):
    """A trainer on the tiny task; `options` that `Trainer` knows go there, the others are fields of the arguments."""
    known = {
        "callbacks",
        "compute_loss_func",
        "compute_metrics",
        "data_collator",
        "eval_dataset",
        "model_init",
        "optimizer_cls_and_kwargs",
        "optimizers",
        "preprocess_logits_for_metrics",
        "processing_class",
        "teacher",
    }
    init = {name: options.pop(name) for name in known & set(options)}
    if model is None and "model_init" not in init:
        model = new_model()
    rows = Rows(rows) if isinstance(rows, int) else rows
    init.setdefault("eval_dataset", Rows(16, seed=1))
    return cls(model, arguments(output_dir, args_class, **options), train_dataset=rows, **init)


def without_timing(log_history):
    """The log without the entries that a clock wrote."""
    return [{name: value for name, value in entry.items() if name not in TIMING_KEYS} for entry in log_history]


def logged(trainer, name):
    """Every value that was logged under a name."""
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def differing(first, second):
    """Names of the tensors of two state dicts that are not equal to the last bit, or are in one of them only."""
    shared = first.keys() & second.keys()
    return sorted(
        (first.keys() ^ second.keys()) | {name for name in shared if not torch.equal(first[name], second[name])}
    )


class EventRecorder(TrainerCallback):
    """Writes down every event with its step."""

    def __init__(self):
        self.events = []

    def __getattribute__(self, name):
        if name.startswith("on_"):
            return lambda args, state, control, **kwargs: self.events.append((name, state.global_step))
        return super().__getattribute__(name)


class HoldAt(TrainerCallback):
    """Stops the clock after a step, so that whoever watches can end the process there."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            time.sleep(600)


class KillAt(TrainerCallback):
    """Kills the process, as kill -9 does, when an event comes at a step."""

    def __init__(self, event, step):
        def kill(args, state, control, **kwargs):
            if state.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(self, event, kill)


def resumable_run(folder, fields, *, hold_at=None, kill_at=None, resume=False):
    """One run of 20 steps that saves every second one: from the start, held or killed at a step, or resumed.

    Returns:
        What must be equal however often the run was interrupted: tensors of the last full-size checkpoint (weights,
        scores, masks), of the optimizer, of the shrunk model, and the log.
    """
    folder = Path(folder)
    callbacks = [HoldAt(hold_at)] if hold_at is not None else [KillAt(*kill_at)] if kill_at is not None else []
    options = {"max_steps": 20, "save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 4}
    trainer = make_trainer(folder, rows=36, callbacks=callbacks, **{**options, **PRUNE, **fields})
    trainer.train(resume_from_checkpoint=resume or None)
    trainer.save_model(folder / "small")
    optimizer = torch.load(folder / "checkpoint-20" / "optimizer.pt", weights_only=True)["state"]
    result = {
        "checkpoint": load_file(folder / "checkpoint-20" / "model.safetensors"),
        "small": load_file(folder / "small" / "model.safetensors"),
        "optimizer": {f"{i}.{name}": value for i, state in optimizer.items() for name, value in state.items()},
        "log": [
            {k: v for k, v in entry.items() if k != "train_loss"}
            for entry in without_timing(trainer.state.log_history)
        ],
        "structure": [trainer.compression.heads, trainer.compression.neurons],
        "best": [trainer.state.best_global_step, trainer.state.best_metric],
    }
    torch.save(result, folder / "result.pt")
    return result


if __name__ == "__main__":
    torch.set_num_threads(1)
    for request in json.loads(sys.argv[1]):
        resumable_run(**request)
    sys.stdout.flush()
    os._exit(0)
