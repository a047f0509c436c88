"""Help for a Trainer: calls to overridden methods, further groups of the optimizer, and runs before or after the main one."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerState, set_seed
from transformers.trainer_utils import has_length

from ..errors import InputError, one_line
from .checkpoints import STATE, begin_checkpoint, checkpoint_to_resume, is_finished, last_checkpoint

logger = logging.getLogger(__name__)

# Folders in the output folder: the dense model with its checkpoints, and the checkpoints of the recovery.
DENSE, RECOVERY = "dense", "recovery"


# Overrides: the methods of Trainer that a script defines, with the signatures of any version of transformers.


def is_overridden(trainer: Trainer, name: str) -> bool:
    """Return whether the class of a trainer has another method of this name than `Trainer`."""
    return getattr(type(trainer), name) is not getattr(Trainer, name)


def plain_model(trainer: Trainer) -> Any:
    """Return the model of a trainer without its containers and without the autocast that bf16 and fp16 runs put around it.

    `unwrap_model(keep_fp32_wrapper=False)` also takes what transformers puts around `forward`, which reads `return_dict`:
    it unwraps until it meets the first `forward`, and compares a function with a method.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    inner = getattr(model, "_orig_mod", model)  # of a compiled model
    forward = vars(inner).pop("_original_forward", None)
    if forward is not None:
        del inner.forward
        if inner.forward != forward:  # it was not that of the class
            inner.forward = forward
    return model


def call_as_known(method: Callable, *given: Any, **named: Any) -> Any:
    """Call a method that scripts override, without the named arguments that its signature does not have.

    Args:
        method: the method. Overrides from scripts for older versions have fewer arguments.
        *given: arguments that `Trainer` passes by position, too.
        **named: further arguments.
    """
    known = known_arguments(getattr(method, "__func__", method))
    if known is not None:
        named = {name: value for name, value in named.items() if name in known}
    return method(*given, **named)


@functools.lru_cache(maxsize=64)  # it is asked at every step
def known_arguments(function: Callable) -> frozenset[str] | None:
    """Return the names of the arguments of a function, or None if it takes any name."""
    parameters = inspect.signature(function).parameters
    return None if any(each.kind is each.VAR_KEYWORD for each in parameters.values()) else frozenset(parameters)


# Optimizer groups: parameters that are learned beside the model, in an optimizer of the user's too.


def score_parameters(model: torch.nn.Module) -> dict[int, torch.nn.Parameter]:
    """Return the learned scores of a model with masks, by identity."""
    ends = ("pruning.attention.scores", "pruning.ffn.scores")
    return {id(p): p for name, p in model.named_parameters() if name.endswith(ends)}


def add_parameters(
    optimizer: Optimizer, parameters: Mapping[int, torch.nn.Parameter], *, scheduler: Any = None, **options: Any
) -> None:
    """Give parameters a group of their own, unless the optimizer has some of them already.

    Args:
        optimizer: changed in place.
        parameters: by identity.
        scheduler: made before for this optimizer, or None; it moves the new group like the last one that it knows.
        **options: of the group; the others are the defaults of the optimizer.

    Raises:
        ValueError: If the scheduler cannot take one more group.
    """
    if not parameters or any(id(p) in parameters for group in optimizer.param_groups for p in group["params"]):
        return
    optimizer.add_param_group({"params": list(parameters.values()), **options})
    if scheduler is None:
        return
    if not isinstance(scheduler, LambdaLR):
        raise ValueError(
            f"The {type(scheduler).__name__} in `optimizers` cannot take one more group, which the scores of the masks "
            "and the map to a teacher of another width need. Use a LambdaLR, such as transformers.get_scheduler makes; or "
            "give optimizers=(optimizer, None) and choose lr_scheduler_type; or give optimizer_cls_and_kwargs."
        )
    group = optimizer.param_groups[-1]
    scheduler.base_lrs.append(group["lr"])
    scheduler.lr_lambdas.append(scheduler.lr_lambdas[-1])
    group["lr"] *= scheduler.lr_lambdas[-1](scheduler.last_epoch)


def moved_optimizer(
    given: tuple[Optimizer | None, Any], names: Mapping[int, str], model: torch.nn.Module
) -> tuple[Optimizer | None, Any]:
    """Return the optimizer and the schedule of a script anew, for a model whose parameters have the names of those before.

    Groups and their options stay, and the schedule is at its start. What the optimizer has gathered is left behind: the
    parameters have other shapes.

    Args:
        given: optimizer and schedule of the script, each or None.
        names: names of the parameters that the optimizer has, by identity.
        model: the model to train.

    Raises:
        ValueError: If the optimizer or the schedule cannot be made again.
    """
    optimizer, scheduler = given
    if optimizer is None:
        if scheduler is not None:
            raise _cannot_move(scheduler, " without its optimizer")
        return None, None
    new = dict(model.named_parameters())
    groups = [
        {**group, "params": [new[name] for p in group["params"] if (name := names.get(id(p))) in new]}
        for group in optimizer.param_groups
    ]
    for group in groups:
        group["lr"] = group.pop("initial_lr", group["lr"])
    known = known_arguments(type(optimizer).__init__)
    options = {name: value for name, value in optimizer.defaults.items() if known is None or name in known}
    try:
        made = type(optimizer)(groups, **options)
    except Exception as error:  # a class of the user's can raise anything
        raise _cannot_move(optimizer, f" ({type(error).__name__}: {one_line(error)})") from error
    if scheduler is None:
        return made, None
    if not isinstance(scheduler, LambdaLR):
        raise _cannot_move(scheduler, ", only a LambdaLR, such as transformers.get_scheduler makes")
    return made, LambdaLR(made, scheduler.lr_lambdas)


def _cannot_move(what: Any, why: str) -> ValueError:
    return ValueError(
        f"What is trained is smaller than the model that `optimizers` was made for, and the {type(what).__name__} there cannot "
        f"be made again for it{why}. Give optimizer_cls_and_kwargs=(CLASS, {{...}}) and choose lr_scheduler_type instead."
    )


# Recovery: a second run of `Trainer.train`, on the shrunk model, dense and with the teacher. Block movement pruning calls
# a similar run "filling" (Lagunas et al. 2021, arXiv 2109.04838, section 4).


def recovery_checkpoint(folder: Path, resumed: Path | None, step: int) -> str | None:
    """Return the newest complete checkpoint of a recovery, or None if the recovery must start anew.

    A recovery resumes only if the main training was resumed from its last checkpoint in the same output folder: only then
    does it start from the same small model. This follows from the steps in the checkpoints, not from times, which copying a folder changes.

    Args:
        folder: the folder of the recovery's checkpoints, inside that of the run before it.
        resumed: the checkpoint that the run before it was resumed from.
        step: the step at which the run before it ended.
    """
    if resumed is None or not is_finished(resumed) or resumed.resolve().parent != folder.resolve().parent:
        return None
    last = last_checkpoint(folder)
    ended_there = TrainerState.load_from_json(str(resumed / STATE)).global_step == step
    return str(last) if last and ended_there else None


def forget_checkpoints(folder: Path) -> None:
    """Mark the checkpoints in a folder, left by an earlier run, as incomplete, so that no run resumes from them."""
    for checkpoint in folder.glob("checkpoint-*"):
        begin_checkpoint(checkpoint)


@contextlib.contextmanager
def recovery_arguments(trainer: Any, folder: Path) -> Iterator[None]:
    """Give a trainer the arguments of the recovery for a while; afterwards its log follows that of the first run.

    Args:
        trainer: a Trainer whose model is shrunk and whose arguments have `prune_recovery_epochs`.
        folder: the folder of the recovery's checkpoints.
    """
    args, init, log = trainer.args, trainer.model_init, trainer.state.log_history
    trainer.args = copy.copy(args)
    trainer.args.output_dir = str(folder)
    _make(folder, args)
    trainer.args.num_train_epochs, trainer.args.max_steps = args.prune_recovery_epochs, -1
    trainer.model_init = None  # it would start again from the dense model
    set_seed(args.seed)  # the same random state whether or not the main training was resumed
    try:
        yield
    finally:
        trainer.args, trainer.model_init = args, init
    trainer.state.log_history = log + trainer.state.log_history


def check_epochs(trainer: Any, *, trains_dense: bool, prunes: bool) -> None:
    """Refuse runs before or after the main one if the training set is a stream: they count epochs, and it has none.

    Args:
        trainer: a Trainer.
        trains_dense: whether `dense_epochs` is used.
        prunes: whether `prune_recovery_epochs` is used.

    Raises:
        InputError: The message says what to do instead.
    """
    dataset, args = trainer.train_dataset, trainer.args
    if dataset is None or has_length(dataset) or is_overridden(trainer, "get_train_dataloader"):
        return
    for name, used, way_out in (
        ("dense_epochs", trains_dense, "train the model before that, with max_steps, and start from the result"),
        ("prune_recovery_epochs", prunes, "leave it out and raise max_steps"),
    ):
        if used and getattr(args, name, None):
            raise InputError(
                f"{name}={getattr(args, name)} counts epochs, and the training set is a stream, whose length is not known "
                f"(max_steps is for the main training): give a dataset with a length, or {way_out}."
            )


# Dense training: a run of `Trainer.train` before the main one, on the whole model and as the script would have had it.


@dataclass(frozen=True)
class DenseRun:
    """A dense training and the compression after it, as changes of the arguments of each.

    Attributes:
        dense: fields of the arguments for the dense training.
        compressed: those for the compression.
    """

    dense: dict[str, Any]
    compressed: dict[str, Any]


def dense_run_for(
    args: Any, new: list[str], *, why_not: str | None, becomes_teacher: bool, answers_at_random: bool
) -> DenseRun | None:
    """Decide whether the whole model is trained before it is compressed, and how long.

    Args:
        args: training arguments with `dense_epochs`: so many epochs, or None to train a model whose head is new as long as
            the script asked for, and to compress it in half of that.
        new: names of the head's parameters that are new.
        why_not: words for why no second training is possible, or None.
        becomes_teacher: whether the dense model becomes the teacher, for the message.
        answers_at_random: whether the teacher is the model as it is now.

    Raises:
        ValueError: If dense_epochs is given and no second training is possible.
    """
    asked, names = args.dense_epochs, ", ".join(new)
    if asked and why_not:
        raise ValueError(
            f"dense_epochs={asked} cannot be used {why_not}, since it trains twice. Train the model before that and start "
            "from the result; or set dense_epochs to 0."
        )
    if asked:
        return DenseRun({"num_train_epochs": asked, "max_steps": -1}, {})
    if new and asked is None and not why_not:
        logger.warning(
            "The head of the model (%s) is new. So the whole model is trained first, as long as the arguments say, and then "
            "compressed in half that time; the dense model is the baseline%s. dense_epochs sets how long, and 0 starts with "
            "the compression.",
            names,
            " and the teacher 'self'" if becomes_teacher else "",
        )
        steps = args.max_steps
        half = {"num_train_epochs": args.num_train_epochs / 2, "max_steps": -(-steps // 2) if steps > 0 else -1}
        return DenseRun({}, half)
    if new:
        logger.warning(
            "The head of the model (%s) is new%s: what is pruned now has not learned the task%s. Train the model first, "
            "%s.",
            names,
            f", and {why_not} it is not trained first" if why_not else "",
            ", and the teacher 'self' answers at random" if answers_at_random else "",
            "and start from the result" if why_not else "with dense_epochs",
        )
    return None


def dense_to_resume(folder: Path, asked: str | bool | None) -> tuple[str | None, Path | None, str | bool | None]:
    """Return where a run that begins with a dense training goes on.

    Args:
        folder: the folder of the dense training, inside that of the main run.
        asked: `resume_from_checkpoint` of `train`.

    Returns:
        `(checkpoint, finished, rest)`: the checkpoint of the dense training; the folder of its result, if it is finished;
        and what the main run resumes from.

    Raises:
        InputError: If there is nothing to resume, or a checkpoint of the main run without the dense model.
    """
    if not asked:
        return None, None, None
    if asked is True:
        if is_dense_model(folder):
            return None, folder, True if last_checkpoint(folder.parent) else None
        if last := last_checkpoint(folder):
            return str(last), None, None
    elif Path(asked).resolve().parent == folder.resolve():
        return str(asked), None, None
    found = Path(str(checkpoint_to_resume(folder.parent, asked)))
    for beside in (found.parent / DENSE, folder):
        if is_dense_model(beside):
            return None, beside, str(found)
    raise InputError(
        f"{found} continues the compression of a model that was trained dense first, but {found.parent / DENSE} holds no "
        "such model: copy that folder too, or start without resume_from_checkpoint."
    )


def _make(folder: Path, args: Any) -> None:
    """Make an output folder, as `Trainer` does at its start: callbacks of scripts write there."""
    if args.should_save:
        folder.mkdir(parents=True, exist_ok=True)


def is_dense_model(folder: Path) -> bool:
    """Return whether a folder holds the result of a finished dense training."""
    return (folder / STATE).is_file()


@contextlib.contextmanager
def changed_arguments(trainer: Any, **changes: Any) -> Iterator[None]:
    """Give a trainer other arguments for a while.

    Args:
        trainer: a Trainer.
        **changes: the fields that differ. Another output folder is made.
    """
    args = trainer.args
    trainer.args = copy.copy(args)
    for name, value in changes.items():
        setattr(trainer.args, name, value)
    if "output_dir" in changes:
        _make(Path(changes["output_dir"]), args)
    try:
        yield
    finally:
        trainer.args = args


@contextlib.contextmanager
def without_model_init(trainer: Any) -> Iterator[None]:
    """Let a trainer go on with its model for a while, where `model_init` would make a new one."""
    init, trainer.model_init = trainer.model_init, None
    try:
        yield
    finally:
        trainer.model_init = init
