"""Argument checks: the ranges of the prune_* and distill_* fields, and what cannot be asked for together."""

from __future__ import annotations

import math

CHOICES = {
    "prune_method": ("none", "movement", "soft_movement", "magnitude"),
    "prune_structure": ("compact", "plain"),
    "prune_latency_dtype": ("float32", "bfloat16", "float16"),
    "prune_attention": ("block", "head", "none"),
    "prune_ffn": ("neuron", "none"),
}
# Whether a number fits, and what is expected of it. NaN compares false everywhere and fits nowhere.
RANGES = {
    "prune_sparsity": (lambda x: 0 <= x < 1, "in [0, 1); 0.5 removes half"),
    "prune_speedup": (lambda x: 1 <= x < math.inf, "at least 1; 2 halves the time of a forward pass"),
    "prune_layers": (lambda x: 0 <= x < math.inf and x % 1 == 0, "0 or a whole number"),
    "prune_recovery_epochs": (lambda x: 0 <= x < math.inf, "0 or more"),
    "prune_latency_batch_size": (lambda x: 1 <= x < math.inf, "at least 1"),
    "prune_latency_length": (lambda x: 1 <= x < math.inf, "at least 1"),
    "prune_block_size": (lambda x: 1 <= x < math.inf, "at least 1; 32 is usual"),
    "prune_start": (lambda x: 0 <= x < 1, "a fraction of the run in [0, 1)"),
    "prune_end": (lambda x: 0 < x <= 1, "a fraction of the run in (0, 1]"),
    "prune_score_lr": (lambda x: 0 < x < math.inf, "above 0; 0.01 is usual"),
    "distill_alpha": (lambda x: 0 <= x <= 1, "in [0, 1]; 0.9 is usual"),
    "distill_temperature": (lambda x: 0 < x < math.inf, "above 0; 2 is usual"),
    "distill_hidden": (lambda x: 0 <= x < math.inf, "0 or more; 1 is usual"),
    "distill_relations": (lambda x: 0 <= x < math.inf, "0 or more; 1 is usual"),
}
OPTIONAL = frozenset({"prune_speedup"})


def check_compression(args) -> None:
    """Refuse what is out of range or cannot go together.

    Args:
        args: whatever has the `prune_*` and `distill_*` fields.

    Raises:
        ValueError: naming the field, its value, its range and the way out.
    """
    for name, allowed in CHOICES.items():
        if getattr(args, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(args, name)!r}.")
    for name, (fits, expected) in RANGES.items():
        value = getattr(args, name)
        if value is None and name in OPTIONAL:
            continue
        if not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, got {value!r}; YAML reads 1e-2 as text, 1.0e-2 not.")
        if not fits(value):
            raise ValueError(f"{name} must be {expected}, got {value}.")
    _check_pruning(args)
    _check_teachers(args)
    _check_inner_layers(args)


def _check_pruning(args) -> None:
    if args.prune_start >= args.prune_end:
        raise ValueError(
            f"prune_start={args.prune_start} must be below prune_end={args.prune_end}: the sparsity rises between "
            "the two, as fractions of the run."
        )
    if args.prune_method != "none" and args.prune_attention == args.prune_ffn == "none":
        raise ValueError("prune_attention and prune_ffn are both 'none': nothing is left to prune.")
    if args.prune_speedup is not None and args.prune_method == "none":
        raise ValueError(f"prune_speedup={args.prune_speedup} needs a prune_method, such as movement.")
    ids = args.prune_layer_ids
    if ids is not None and (not isinstance(ids, list) or not ids or not all(type(i) is int and i >= 0 for i in ids)):
        raise ValueError(f"prune_layer_ids must be a list of layers counted from 0, got {ids!r}.")


def _check_teachers(args) -> None:
    if args.distill_teacher == "":
        raise ValueError("distill_teacher is empty; give 'self', a folder or a Hub id, or leave it out.")
    names = args.distill_teachers
    if names is not None:
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"distill_teachers must be a list of 'self', folders or Hub ids, got {names!r}.")
        if args.distill_teacher is not None:
            raise ValueError(
                f"Got both distill_teacher={args.distill_teacher!r} and distill_teachers={names}. Choose one."
            )
    if args.distill_cache_dir == "":
        raise ValueError("distill_cache_dir is empty; give a folder, or leave it out.")


def _check_inner_layers(args) -> None:
    for name in ("distill_hidden", "distill_relations"):
        if args.distill_cache_dir is not None and getattr(args, name):
            raise ValueError(
                f"distill_cache_dir keeps the teacher's answers only, but {name}={getattr(args, name)} needs its "
                "inner states at every step; leave one of the two out."
            )
    layers = args.distill_layers
    if layers is None:
        return
    if not isinstance(layers, list) or not layers or not all(type(i) is int and i >= 0 for i in layers):
        raise ValueError(f"distill_layers must be a list of layers in [0, depth of the teacher], got {layers!r}.")
    if len(set(layers)) < len(layers):
        raise ValueError(f"distill_layers names a layer twice: {layers!r}.")
