"""Find the checkpoint to resume from; never one whose writing or removal was interrupted."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..errors import InputError

STATE = "trainer_state.json"  # the file that Trainer writes last
_NAME = re.compile(r"checkpoint-(\d+)")
# Exact resuming needs a file of each group, by the start of its name.
_NEEDED = (("model", "adapter_model", "pytorch_model"), ("optimizer",), ("scheduler",), ("rng_state",))


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, or None."""
    return next(filter(is_complete, _newest_first(folder)), None)


def is_complete(checkpoint: Path) -> bool:
    """Return whether all files of a checkpoint are there: a process may have been killed while it wrote or removed them."""
    if not _state(checkpoint):
        return False
    files = list(checkpoint.iterdir())
    if any(file.is_dir() for file in files):  # FSDP and DeepSpeed have other files
        return True
    return all(any(file.name.startswith(names) for file in files) for names in _NEEDED)


def is_finished(checkpoint: Path) -> bool:
    """Return whether a checkpoint was written at the last step of its run."""
    state = _state(checkpoint)
    return state is not None and state["global_step"] >= state["max_steps"]


def checkpoint_to_resume(output_dir: str | Path, asked: str | bool | None) -> str | None:
    """Return the checkpoint that `resume_from_checkpoint` stands for.

    Trainer would take the folder with the highest number, and fail if it is incomplete.

    Args:
        output_dir: the folder of the checkpoints.
        asked: as for `Trainer.train`: True for the newest one, or the folder of one.

    Raises:
        InputError: There is no complete checkpoint; the message says what to delete.
    """
    if not asked:
        return None
    if asked is not True:
        if _NAME.fullmatch(Path(asked).name) and Path(asked).is_dir() and not _state(Path(asked)):
            raise InputError(
                f"{asked} is incomplete (no valid {STATE}): delete it, and resume from an earlier checkpoint or with "
                "resume_from_checkpoint=True, which takes the newest complete one."
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


def check_fits(checkpoint: Path, model: Any, spec: Any) -> None:
    """Refuse a checkpoint of another run: `Trainer` would silently load the weights that fit and leave the others.

    Args:
        checkpoint: the folder.
        model: the model that is trained on, with its masks.
        spec: its `PruningSpec`, or None if nothing is pruned.

    Raises:
        InputError: The checkpoint has no masks, other masks, or the weights of another model.
    """
    file = checkpoint / "model.safetensors"
    if not file.is_file():  # in parts, of an adapter, of FSDP or DeepSpeed
        return
    with safe_open(file, framework="pt") as opened:
        stored = {name: [*opened.get_slice(name).get_shape()] for name in opened.keys()}
    masked = any(name.startswith("pruning.") for name in stored)
    way_out = "without resume_from_checkpoint, in another output_dir"
    if masked is not (spec is not None):
        has, other = ("masks", "prunes nothing") if masked else ("no masks", "prunes")
        start = (
            "give the arguments that it was written with"
            if masked
            else f"open it as the model to start from, {way_out}"
        )
        raise InputError(f"{checkpoint} has {has}, and this run {other}, so it cannot go on with it: {start}.")
    written = _json(checkpoint / "config.json").get("pruning") or {}
    asked = ("speedup",) if written.get("speedup") else ("sparsity", "speedup")  # a speed-up decides the sparsity
    for name in ("method", "structure", "attention", "block_size", "ffn", *asked):
        if name in written and written[name] != getattr(spec, name):
            raise InputError(
                f"{checkpoint} was written with prune_{name}={written[name]}, and this run has {getattr(spec, name)}: "
                f"give that, or start {way_out}."
            )
    state = model.state_dict()
    ours = {name: [*tensor.shape] for name, tensor in state.items()}
    lacking = state.keys() - stored.keys() - stored_elsewhere(state, stored).keys()
    wrong = sorted({*lacking, *(name for name in stored if ours.get(name) != stored[name])})
    if wrong:
        raise InputError(
            f"{checkpoint} is of another model or teacher: {wrong[0]} is {stored.get(wrong[0], 'missing')} there and "
            f"{ours.get(wrong[0], 'missing')} here. Resume with the model and the arguments that it was written with, or start "
            f"{way_out}."
        )


def stored_elsewhere(state: Mapping[str, Any], stored: Container[str]) -> dict[str, str]:
    """Return which tensors of a model a file holds under another name: of tied ones it holds one.

    Args:
        state: the state dict of the model.
        stored: the names in the file.

    Returns:
        `{name: name in the file}` of the tensors that are not there under their own name.
    """
    there = {(each.data_ptr(), each.shape): name for name, each in state.items() if name in stored and each.numel()}
    missing = {name: (each.data_ptr(), each.shape) for name, each in state.items() if name not in stored}
    return {name: there[place] for name, place in missing.items() if place in there}


def is_past_the_end(trainer) -> bool:
    """Return whether no step is left, and if so stop the training.

    Call it before a batch is taken. When a finished run is resumed in the middle of an epoch, Trainer takes one step more,
    and not every schedule ends with a learning rate of 0.
    """
    if trainer.state.global_step < trainer.state.max_steps:
        return False
    trainer.control.should_training_stop = True
    return True


def begin_checkpoint(folder: Path) -> None:
    """Mark an older checkpoint of the same step as incomplete before it is overwritten."""
    if _NAME.fullmatch(folder.name):
        (folder / STATE).unlink(missing_ok=True)


def _newest_first(folder: Path) -> list[Path]:
    numbered = {int(name[1]): path for path in folder.glob("checkpoint-*") if (name := _NAME.fullmatch(path.name))}
    return [numbered[step] for step in sorted(numbered, reverse=True)]


def _json(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file, or nothing if there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _state(checkpoint: Path) -> dict[str, Any] | None:
    """Return the content of `trainer_state.json`, which Trainer writes last, or None if it is incomplete."""
    state = _json(checkpoint / STATE)
    known = all(isinstance(state.get(name), int) for name in ("global_step", "max_steps"))
    return state if known else None
