"""Refuse sharded models: every process needs the whole model. Data parallelism (`torchrun`) is supported."""

from __future__ import annotations

import os

from ..errors import InputError

_SPLIT = "it splits the weights over the processes, and every process needs all of them to rank and remove units"
# By strategy: why it does not work, and what to leave out.
_STRATEGIES = {
    "FSDP": (_SPLIT, "fsdp, and FSDP in the configuration of `accelerate launch`"),
    "DeepSpeed": (
        "it splits the weights (ZeRO-3) or keeps them in its own precision, and scores must be complete and in fp32",
        "deepspeed, and DeepSpeed in the configuration of `accelerate launch`",
    ),
    "Megatron-LM": (_SPLIT, "Megatron-LM in the configuration of `accelerate launch`"),
    "parallelism_config": (
        _SPLIT,
        "parallelism_config, in the arguments and in the configuration of `accelerate launch`",
    ),
}
# Environment variables with which `accelerate launch` chooses a strategy.
_LAUNCHED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "parallelism_config",
}
# Environment variables with the number of processes: of torchrun and accelerate, then of MPI launchers.
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def check_whole_parameters(args) -> None:
    """Refuse strategies that split a model over processes.

    Ranking, shrinking and teachers need the whole model. DeepSpeed is refused at every stage, because in half precision
    it casts the scores too.

    Args:
        args: a `TrainingArguments`, or None. The choice of `accelerate launch` is read from the environment.

    Raises:
        ValueError: Such a strategy was chosen.
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
    """Refuse a model that was loaded onto several devices or with tensor parallelism.

    Raises:
        ValueError: It was.
    """
    devices = sorted({str(device) for device in (getattr(model, "hf_device_map", None) or {}).values()})
    if len(devices) > 1:
        raise ValueError(
            f"Pruning and distillation need the model on one device, but device_map put it on {', '.join(devices)}: "
            "load it without device_map."
        )
    import torch  # here, so that the command line starts without it

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from torch.distributed.tensor import DTensor

        if any(isinstance(weight, DTensor) for weight in model.parameters()):
            raise ValueError(
                f"Pruning and distillation do not work with a model that was loaded with tp_plan, tp_size or "
                f"distributed_config: {_SPLIT}. Load it without."
            )


def check_one_device(args) -> None:
    """Refuse DataParallel, where every copy of the model would have its own masks.

    Raises:
        ValueError: One process has several devices.
    """
    if args.n_gpu > 1:
        raise ValueError(
            f"Pruning and distillation do not work with DataParallel ({args.n_gpu} devices in one process): its "
            "copies would each have their own masks. Start with torchrun, or set CUDA_VISIBLE_DEVICES to one device."
        )


def check_one_process() -> None:
    """Refuse several processes of a command: they would overwrite each other's files.

    Raises:
        InputError: A launcher started several.
    """
    counts = (os.environ.get(name, "") for name in _COUNTS)
    processes = max((int(count) for count in counts if count.isdecimal()), default=1)
    if processes > 1:
        raise InputError(
            f"trainer-ext needs one process, but {processes} were started: run it without torchrun, `accelerate launch` or "
            "mpirun. To train in several processes, use DistillPruneTrainer in your own script."
        )


def _is_on(variable: str) -> bool:
    """Return whether an environment variable is true, as accelerate reads it."""
    return os.environ.get(variable, "false").lower() == "true"
