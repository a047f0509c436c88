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

from .resuming import STATE, is_finished, last_checkpoint


def recovery_checkpoint(folder: Path, given: str | None) -> str | None:
    """The checkpoint from which a recovery goes on.

    None where steps are left to train before it, and of a recovery that is older than these steps: an earlier run in the same
    folder left it.

    Args:
        folder: where the checkpoints of the recovery lie.
        given: the checkpoint from which the run before it was resumed.
    """
    last = last_checkpoint(folder)
    if not given or not is_finished(Path(given)) or last is None:
        return None
    before, after = ((path / STATE).stat().st_mtime_ns for path in (Path(given), last))
    return str(last) if after >= before else None


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
