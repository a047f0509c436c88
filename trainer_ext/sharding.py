"""Sharding: strategies that split parameters over processes are refused where every process needs them whole."""

from __future__ import annotations

import os


def check_whole_parameters(args) -> None:
    """Refuse FSDP and DeepSpeed ZeRO-3, before anything is built.

    Units are ranked over the whole model and the small model is cut out of whole weights; a teacher is a copy, or is
    opened, as a whole too. ZeRO-1 and ZeRO-2 split only what the optimizer keeps and the gradients.

    Args:
        args: a `TrainingArguments`, or None; what `accelerate launch` chose is read from the environment.

    Raises:
        ValueError: if a strategy splits parameters.
    """
    plugin = args.deepspeed_plugin if args is not None else None
    # As accelerate reads it.
    launched_with_fsdp = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if plugin is not None and plugin.zero_stage == 3:
        found, way_out = "DeepSpeed ZeRO-3", "Set zero_optimization.stage to 2 in the DeepSpeed configuration"
    elif launched_with_fsdp or (args is not None and args.fsdp):
        found, way_out = "FSDP", "Leave fsdp out, and FSDP out of the configuration of `accelerate launch`"
    else:
        return
    raise ValueError(
        f"Pruning and distillation do not work with {found}: it splits the weights over the processes, and every process "
        f"needs them whole to rank and cut them. {way_out}, or start with torchrun alone: each process then has a copy."
    )


def check_one_device(args) -> None:
    """Refuse DataParallel, whose copies of a model would each have their own masks.

    Raises:
        ValueError: if one process has several devices.
    """
    if args.n_gpu > 1:
        raise ValueError(
            f"Pruning and distillation do not work with DataParallel ({args.n_gpu} devices in one process): its "
            "copies would each have their own masks. Start with torchrun, or set CUDA_VISIBLE_DEVICES to one device."
        )
