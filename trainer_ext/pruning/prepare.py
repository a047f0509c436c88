"""Prepare: turn the dense model into the model that is trained, by dropping layers and attaching masks."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast_object_list
from rich.console import Console

from ..models.architectures import config_of, find_encoder, layers_of, prunable_weights
from ..models.loading import longest_text
from ..utils.files import write_json
from ..utils.progress import progress_bar
from . import latency_table, masks
from .config import PruningSpec
from .layer_dropping import drop_layers

if TYPE_CHECKING:
    from ..training_args import DistillPruneTrainingArguments

TABLE_NAME = "latency_table.json"
USUAL_LENGTH = 128  # tokens per text, if the arguments do not say
BUSY = (
    "Other programs kept this machine busy while the layers were timed for the speed-up, also when that was repeated, so "
    "that the model may miss it."
)
REFUSED = (
    "Run it again when the machine is idle, give a fraction instead (prune_sparsity=0.5), or use the times as they are "
    "(prune_latency_busy=warn; in trainer-ext compress --force)."
)
KEPT = "For times to rely on, run it again when the machine is idle, or give a sparsity instead."

logger = logging.getLogger(__name__)


def prepare_model(model, args: DistillPruneTrainingArguments):
    """Drop layers and attach masks, as the arguments say.

    Args:
        model: the dense model. It gets the masks itself if no layer is dropped; otherwise it is not changed.
        args: what to prune. A latency table is measured once and kept in `output_dir`.

    Returns:
        The model to train.

    Raises:
        ValueError: If the model cannot be pruned so, or the target is out of reach.
    """
    spec = args.pruning_spec
    if hasattr(model, "pruning"):  # it has masks: what depends on the dense model was found when they were attached
        if spec is None:
            return model
        before = config_of(model).pruning
        spec = replace(spec, dense_weights=before["dense_weights"])
        if spec.speedup is not None:
            spec = replace(spec, latency=before["latency"], sparsity=before["sparsity"])
        return masks.attach(model, spec)
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


def _latency(dense, student, spec: PruningSpec, args: DistillPruneTrainingArguments) -> dict[str, Any]:
    device = args.prune_latency_device
    reads = longest_text(find_encoder(dense)[1].config) or USUAL_LENGTH
    place = latency_table.machine(
        student,
        device=str(args.device) if device == "auto" else device,
        dtype=args.prune_latency_dtype,
        batch_size=int(args.prune_latency_batch_size),
        sequence_length=int(args.prune_latency_length or min(reads, USUAL_LENGTH)),
    )
    folder, is_main = Path(str(args.output_dir)), args.process_index == 0
    return latency_for(
        *(dense, student, spec, place),
        folder=folder,
        is_main=is_main,
        progress=not args.disable_tqdm,
        refuse_busy=args.prune_latency_busy == "refuse",
    )


def latency_for(
    dense,
    student,
    spec: PruningSpec,
    place: dict[str, Any],
    *,
    folder: Path,
    is_main: bool,
    progress: bool,
    refuse_busy: bool = False,
) -> dict[str, Any]:
    """Return the latency table of this machine: kept from before, or measured by the main process for all.

    If other work disturbed the timing, also when it was repeated, that is said, or refused.

    Args:
        dense: the model that the speed-up is relative to.
        student: the model to be pruned: the same, or with layers dropped.
        spec: what to prune, with the speed-up.
        place: what to measure, from `latency_table.machine`.
        folder: where the table is kept.
        is_main: whether this is the main process.
        progress: whether to show a progress bar on standard error.
        refuse_busy: whether to refuse a table that other work disturbed, also one that was kept.

    Raises:
        ValueError: If the speed-up cannot be reached, or the table is refused.
    """
    # The correction depends on the target and on what is pruned.
    place |= {"speedup": spec.speedup, "structure": spec.structure, "attention_units": spec.attention, "ffn": spec.ffn}
    place["dense_layers"] = find_encoder(dense)[1].config.num_hidden_layers
    file = folder / TABLE_NAME
    found = [latency_table.cached(file, place) if is_main else None]
    if found[0] is not None and found[0].get("busy") and refuse_busy:
        found = [None]  # it may be quiet now
    if is_main and found[0] is None:
        bar = progress_bar(console=Console(stderr=True), disable=not progress)
        with torch.random.fork_rng(), bar:
            task = bar.add_task("latency table", total=None)
            found = [
                latency_table.measure_latency_table(
                    *(dense, student, spec, place),
                    on_step=lambda done, total: bar.update(task, completed=done, total=total),
                )
            ]
        write_json(file, found[0])
    table = broadcast_object_list(found)[0]
    if table.get("busy"):
        if refuse_busy:
            raise ValueError(f"{BUSY} {REFUSED}")
        if is_main:
            logger.warning("%s %s", BUSY, KEPT)
    return table
