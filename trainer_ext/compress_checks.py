"""Compress checks: what a recipe asks for, refused before data or a model is opened."""

from __future__ import annotations

from pathlib import Path

from .energy import check_country
from .errors import InputError, one_line
from .inference_energy import check_seconds
from .recipe import Recipe
from .sharding import check_one_process
from .tasks import task_of


def check_strategy(recipe: Recipe) -> None:
    """Refuse fields that contradict each other, ask for nothing, or cannot work with the task.

    Args:
        recipe: what is to be done.

    Raises:
        InputError: naming the field and the way out.
    """
    check_one_process()
    args = recipe.training
    removals = {
        "prune_method": args.pruning_spec and args.prune_method,
        "prune_layers": int(args.prune_layers),
        "prune_layer_ids": args.prune_layer_ids,
        "vocab_size": recipe.vocabulary.vocab_size is not None and str(recipe.vocabulary.vocab_size),
    }
    removed = ", ".join(f"{name}={value}" for name, value in removals.items() if value)
    if recipe.model.control and removed:
        raise InputError(
            f"control: nothing may be removed, but {removed} is given; leave it out, or leave control out."
        )
    if not removed and not args.teacher_names and not recipe.model.control:
        raise InputError(
            "Nothing to do: give prune_method (such as movement), prune_layers, vocab_size or distill_teacher; or "
            "control, to train the baseline on."
        )
    if args.save_strategy == "no" or args.save_only_model:
        raise InputError("save_strategy=no and save_only_model leave nothing to resume from; use 'steps' or 'epoch'.")
    if args.eval_strategy != "no":
        raise InputError(
            "eval_strategy must be 'no': the test files are measured once, at the end, and choose nothing."
        )
    task = task_of(recipe.data)
    if args.label_smoothing_factor and not task.smooth:
        raise InputError(
            f"label_smoothing_factor={args.label_smoothing_factor} means nothing for {task.title}; use 0."
        )
    if recipe.model.metrics and not task.more_metrics:
        raise InputError(f"metrics={recipe.model.metrics}: {task.title} is scored by its own metrics; leave it out.")
    _check_metrics(recipe.model)
    if args.resume_from_checkpoint:
        raise InputError(
            f"resume_from_checkpoint={args.resume_from_checkpoint}: compress finds its own checkpoints; give --resume."
        )
    if args.push_to_hub:
        raise InputError("push_to_hub: compress publishes nothing; look at the result first, then push compressed/.")
    if recipe.model.measure_energy:
        check_country(recipe.model.energy_country)
        check_seconds(recipe.model.energy_seconds)


def _check_metrics(model) -> None:
    """Metrics are code: those of others run only if asked to, and all are opened now, not after the training."""
    if not model.metrics:
        return
    from .metrics import load_metric

    for name in model.metrics:
        if not model.trust_metric_code and ("/" in name or Path(name).exists()):
            raise InputError(f"metrics: {name!r} is code that would run here; read it, then give trust_metric_code.")
        try:
            load_metric(name)
        except ValueError as error:
            raise InputError(one_line(error, most=600)) from error
