"""Student: the model that is trained, made from the dense one by dropping layers and attaching masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate.utils import broadcast_object_list
from rich.console import Console
from rich.progress import Progress

from ..models.architectures import layers_of, prunable_weights
from ..utils.files import write_json
from . import latency_table, masks
from .layer_dropping import drop_layers
from .units import PruningSpec

if TYPE_CHECKING:
    from ..training_args import DistillPruneTrainingArguments

TABLE_NAME = "latency_table.json"


def prepare_model(model, args: DistillPruneTrainingArguments):
    """Drop the layers that are to go and attach masks, as the arguments say.

    Args:
        model: the dense model; it gets the masks itself where no layer goes, else it stays as it is.
        args: what to prune. A latency table is measured once and kept in `output_dir`.

    Returns:
        The student.

    Raises:
        ValueError: what cannot be pruned, or a target out of reach.
    """
    spec = args.pruning_spec
    if hasattr(model, "pruning"):  # masks were attached, or opened, before; so was found what follows from the model
        return masks.attach(model, _as_found(spec, model.config.pruning)) if spec else model
    student = model
    if args.prune_layers or args.prune_layer_ids:
        student = drop_layers(model, int(args.prune_layers), args.prune_layer_ids)
    if spec is None:
        return student
    if student is not model:
        spec = replace(spec, dense_weights=prunable_weights(layers_of(model)))
    if spec.speedup is not None:
        spec = replace(spec, latency=_latency(model, student, spec, args))
        spec = replace(spec, sparsity=latency_table.expected_sparsity(student, spec))
    return masks.attach(student, spec)


def _as_found(spec: PruningSpec, before: dict) -> PruningSpec:
    spec = replace(spec, dense_weights=before["dense_weights"])
    if spec.speedup is None:
        return spec
    return replace(spec, latency=before["latency"], sparsity=before["sparsity"])


def _latency(dense, student, spec: PruningSpec, args: DistillPruneTrainingArguments) -> dict:
    """The latency table of this machine: measured by the main process, the same in all."""
    device = args.prune_latency_device
    place = latency_table.machine(
        student,
        device=str(args.device) if device == "auto" else device,
        dtype=args.prune_latency_dtype,
        batch_size=int(args.prune_latency_batch_size),
        sequence_length=int(args.prune_latency_length),
    )
    # Which budget the correction is for is part of what was measured.
    place |= {"speedup": spec.speedup, "structure": spec.structure, "attention_units": spec.attention, "ffn": spec.ffn}
    place["dense_layers"] = dense.config.num_hidden_layers
    file = Path(args.output_dir) / TABLE_NAME
    found = [latency_table.cached(file, place) if args.process_index == 0 else None]
    if args.process_index == 0 and found[0] is None:
        found = [_measured(dense, student, spec, place, args)]
        write_json(file, found[0])
    return broadcast_object_list(found)[0]


def _measured(dense, student, spec: PruningSpec, place: dict, args: DistillPruneTrainingArguments) -> dict:
    with torch.random.fork_rng(), Progress(console=Console(stderr=True), disable=args.disable_tqdm) as progress:
        task = progress.add_task("latency table", total=None)
        return latency_table.measure_latency_table(
            dense,
            student,
            spec,
            place,
            on_step=lambda done, total: progress.update(task, completed=done, total=total),
        )
