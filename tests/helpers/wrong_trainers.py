"""Trainers that are wrong in one way each: what a comparison with the right one must notice."""

from __future__ import annotations

import torch
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback


class Deaf(Trainer):
    """Has no callbacks but its own."""

    def __init__(self, *arguments, callbacks=None, **named):
        super().__init__(*arguments, **named)

    def add_callback(self, callback):
        if callback is PrinterCallback:
            super().add_callback(callback)


class Twice(Trainer):
    """Logs everything twice."""

    def log(self, logs, start_time=None):
        super().log(dict(logs), start_time)
        super().log(logs, start_time)


class Heavier(Trainer):
    """Has another loss."""

    def compute_loss(self, *arguments, **named):
        found = super().compute_loss(*arguments, **named)
        return (1.5 * found[0], found[1]) if isinstance(found, tuple) else 1.5 * found


class Restless(Trainer):
    """Draws a random number more at every start."""

    def get_train_dataloader(self):
        torch.rand(1)
        return super().get_train_dataloader()


class Longer(Trainer):
    """Trains and evaluates on each row twice."""

    def get_train_dataloader(self):
        return [*(loader := super().get_train_dataloader()), *loader]


class Misnamed(Trainer):
    """Gives metrics and losses of an evaluation other names and values."""

    def evaluation_loop(self, *arguments, **named):
        found = super().evaluation_loop(*arguments, **named)
        predictions = None if found.predictions is None else found.predictions[:1]
        metrics = {f"{name}_": value for name, value in found.metrics.items()}
        return found._replace(metrics=metrics, predictions=predictions, num_samples=found.num_samples + 1)


class Keepless(Trainer):
    """Writes checkpoints without optimizer, scheduler, random state and trainer_state.json, and never turns them over."""

    def save_model(self, output_dir=None, _internal_call=False):
        super().save_model(output_dir, _internal_call)
        self.args.save_only_model, self.args.save_total_limit = True, None


class Reseeded(Trainer):
    """Trains with another seed than was asked for."""

    def get_train_dataloader(self):
        torch.manual_seed(self.args.seed + 1)
        return super().get_train_dataloader()


class Willing(Trainer):
    """Refuses nothing."""

    def _validate_args(self):
        pass


class Misplaced(Trainer):
    """Saves models in another folder than was asked for."""

    def _save(self, output_dir=None, state_dict=None):
        super()._save(f"{output_dir or self.args.output_dir}/inner", state_dict)


class Thorough(Trainer):
    """Evaluates once more, before it trains."""

    def get_train_dataloader(self):
        self.evaluate()
        return super().get_train_dataloader()
