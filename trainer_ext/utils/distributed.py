"""Sharding: ways to run in several pieces or processes are refused where every process needs the whole model.

Several processes with a copy each (`torchrun`, `accelerate launch`) are what the trainer is made for.
"""

from __future__ import annotations

import os

from ..errors import InputError

_SPLIT = "it splits the weights over the processes, and every process needs them whole to rank and cut them"
# By what is found: why it does not work, and what to leave out.
_STRATEGIES = {
    "FSDP": (_SPLIT, "fsdp, and FSDP in the configuration of `accelerate launch`"),
    "DeepSpeed": (
        "it splits the weights (ZeRO-3) or keeps them in its own precision, and scores must be whole and in fp32",
        "deepspeed, and DeepSpeed in the configuration of `accelerate launch`",
    ),
    "Megatron-LM": (_SPLIT, "Megatron-LM in the configuration of `accelerate launch`"),
    "parallelism_config": (
        _SPLIT,
        "parallelism_config, in the arguments and in the configuration of `accelerate launch`",
    ),
}
# What `accelerate launch` chose, by the variable that accelerate reads.
_LAUNCHED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "parallelism_config",
}
# How launchers say how many processes they started: torchrun and accelerate, then those of MPI.
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def check_whole_parameters(args) -> None:
    """Refuse strategies that split a model over processes, before anything is built.

    Units are ranked over the whole model and the small model is cut out of whole weights; a teacher is a copy, or is
    opened, as a whole too. DeepSpeed is refused at every stage: with half precision it casts the scores too.

    Args:
        args: a `TrainingArguments`, or None; what `accelerate launch` chose is read from the environment.

    Raises:
        ValueError: if such a strategy was chosen.
    """
    found = next((name for variable, name in _LAUNCHED.items() if _is_on(variable)), None)
    if args is not None:
        given = {
            "DeepSpeed": args.deepspeed_plugin,
            "FSDP": args.fsdp,
            "parallelism_config": args.parallelism_config,
        }
        found = next((name for name, value in given.items() if value), found)
    if found is None:
        return
    why, what = _STRATEGIES[found]
    raise ValueError(
        f"Pruning and distillation do not work with {found}: {why}. Leave out {what}; started with torchrun or "
        "`accelerate launch` alone, each process has a copy."
    )


def check_whole_model(model) -> None:
    """Refuse a model that was opened in pieces: over several devices, or with a part of each weight per process.

    Raises:
        ValueError: if it was.
    """
    places = sorted({str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()})
    if len(places) > 1:
        raise ValueError(
            f"Pruning and distillation need the model on one device, but device_map put it on {', '.join(places)}: "
            "open it without device_map."
        )
    import torch  # here, because the command line starts without it

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from torch.distributed.tensor import DTensor

        if any(isinstance(weight, DTensor) for weight in model.parameters()):
            raise ValueError(
                f"Pruning and distillation do not work with a model that was opened with tp_plan, tp_size or "
                f"distributed_config: {_SPLIT}. Open it without."
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


def check_one_process() -> None:
    """Refuse several processes where one writes, checks and measures: they would write over each other.

    Raises:
        InputError: if a launcher started several.
    """
    counts = (os.environ.get(name, "") for name in _COUNTS)
    processes = max((int(count) for count in counts if count.isdecimal()), default=1)
    if processes > 1:
        raise InputError(
            f"trainer-ext works in one process and {processes} were started: leave torchrun, `accelerate launch` or "
            "mpirun out. To train in several, use DistillPruneTrainer in a script of your own."
        )


def _is_on(variable: str) -> bool:
    """As accelerate reads it."""
    return os.environ.get(variable, "false").lower() == "true"
