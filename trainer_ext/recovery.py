"""Recovery: after a model was shrunk, a second run of `Trainer.train` on what is left, dense and with the teacher.

Block movement pruning calls the like of it filling (Lagunas et al. 2021, arXiv 2109.04838, section 4).
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from pathlib import Path

from transformers import set_seed

from .run_directory import is_finished, last_checkpoint


def was_finished(output_dir: str, resume_from_checkpoint: str | bool | None) -> bool:
    """Whether a run is resumed at its last step, so that a recovery that is found there belongs to it.

    Args:
        output_dir: of the run.
        resume_from_checkpoint: as `Trainer.train` takes it.
    """
    given = last_checkpoint(Path(output_dir)) if resume_from_checkpoint is True else resume_from_checkpoint
    return bool(given) and is_finished(Path(given))


@contextlib.contextmanager
def recovery_run(trainer, folder: str) -> Iterator[Path]:
    """While it lasts, `trainer.args` are those of the recovery; afterwards its log follows that of the first run.

    Args:
        trainer: a Trainer whose model is shrunk and whose arguments have `prune_recovery_epochs`.
        folder: where the checkpoints of the first run lie; those of the recovery lie in `recovery` below it.

    Yields:
        The folder of the checkpoints.
    """
    args, init, before = trainer.args, trainer.model_init, trainer.state.log_history
    trainer.args = copy.copy(args)
    trainer.args.output_dir = os.path.join(folder, "recovery")
    trainer.args.num_train_epochs, trainer.args.max_steps = args.prune_recovery_epochs, -1
    trainer.model_init = None  # it would start again from the dense model
    set_seed(args.seed)  # the same start for a run that was resumed at the end of the first
    try:
        yield Path(trainer.args.output_dir)
    finally:
        trainer.args, trainer.model_init = args, init
    trainer.state.log_history = before + trainer.state.log_history
