"""Resuming: which checkpoint a run goes on from; never one that was cut off while it was written or removed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..errors import InputError

STATE = "trainer_state.json"  # the file that Trainer writes last
_NAME = re.compile(r"checkpoint-(\d+)")
# Beginnings of the names of what exact resuming needs: weights, and the state of everything that moves them.
_NEEDED = (("model", "adapter_model", "pytorch_model"), ("optimizer",), ("scheduler",), ("rng_state",))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint."""
    return next(filter(is_complete, _newest_first(folder)), None)


def is_complete(checkpoint: Path) -> bool:
    """Whether everything of a checkpoint is there: its writer or its remover may have been killed."""
    if not _state(checkpoint):
        return False
    files = list(checkpoint.iterdir())
    if any(file.is_dir() for file in files):  # of FSDP and DeepSpeed, which have files of their own
        return True
    return all(any(file.name.startswith(names) for file in files) for names in _NEEDED)


def is_finished(checkpoint: Path) -> bool:
    """Whether a checkpoint is of the last step of its run."""
    state = _state(checkpoint)
    return state is not None and state["global_step"] >= state["max_steps"]


def checkpoint_to_resume(output_dir: str | Path, asked: str | bool | None) -> str | None:
    """The checkpoint that `resume_from_checkpoint` means.

    Trainer would take the folder with the highest number, and fail there if its writer was killed.

    Args:
        output_dir: where the checkpoints of the run lie.
        asked: as `Trainer.train` takes it: True for the newest one, or the folder of one.

    Raises:
        InputError: what is asked for was cut off; the message says what to delete.
    """
    if not asked:
        return None
    if asked is not True:
        if _NAME.fullmatch(Path(asked).name) and Path(asked).is_dir() and not _state(Path(asked)):
            raise InputError(
                f"{asked} was cut off while it was written (no whole {STATE}): delete it, and resume from an earlier one "
                "or with resume_from_checkpoint=True, which takes the newest that is complete."
            )
        return str(asked)
    if found := last_checkpoint(Path(output_dir)):
        return str(found)
    broken = ", ".join(path.name for path in _newest_first(Path(output_dir)))
    if broken:
        raise InputError(
            f"No checkpoint in {output_dir} is complete: delete {broken}, and start without resume_from_checkpoint."
        )
    raise InputError(f"No checkpoint in {output_dir} to resume from; start without resume_from_checkpoint.")


def is_past_the_end(trainer) -> bool:
    """Whether nothing is left to train; then the training is stopped.

    Ask before a batch is taken: of a finished run that is resumed in the middle of an epoch Trainer makes one step more, and
    not every schedule has come down to a learning rate of 0.
    """
    if trainer.state.global_step < trainer.state.max_steps:
        return False
    trainer.control.should_training_stop = True
    return True


def begin_checkpoint(folder: Path) -> None:
    """Take the mark of completeness from an older checkpoint of the same step, which is about to be written over."""
    if _NAME.fullmatch(folder.name):
        (folder / STATE).unlink(missing_ok=True)


def _newest_first(folder: Path) -> list[Path]:
    numbered = {int(name[1]): path for path in folder.glob("checkpoint-*") if (name := _NAME.fullmatch(path.name))}
    return [numbered[step] for step in sorted(numbered, reverse=True)]


def _state(checkpoint: Path) -> dict[str, Any] | None:
    """What Trainer wrote last, None where it is not whole."""
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(state, dict) and all(isinstance(state.get(name), int) for name in ("global_step", "max_steps"))
    return state if known else None
