"""Speed closing: where the target is a speed, the structure that training found is timed before it is fixed.

The latency table was corrected on a structure by random scores. Learned ones spread otherwise over the layers, and what
the parts take, alone, does not quite add up: so the correction is found again for the structure that is at hand.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from . import layer_timing, masks
from .families import layers_of
from .files import write_json
from .structures import find_structure
from .units import PruningSpec

FILE_NAME = "latency_correction.json"


def close(model, args) -> None:
    """Fix the final structure of a model with masks; where its target is a speed, after timing it.

    Args:
        model: on the device it is trained on.
        args: a `TrainingArguments`. What was measured is kept in `output_dir`, so that a run that is killed here and
            resumed finds the same structure; the main process measures for all.
    """
    spec = PruningSpec(**model.config.pruning)
    if spec.latency is not None:
        scores = masks.final_scores(model)
        structure = find_structure(layers_of(model), spec, *scores)
        key = hashlib.sha256(json.dumps([spec.latency, structure.heads, structure.neurons]).encode()).hexdigest()
        found = [None]
        if args.process_index == 0:
            file = Path(args.output_dir) / FILE_NAME
            found = [_kept(file, key)]
            if found[0] is None:
                with torch.random.fork_rng():  # a resumed run that need not measure draws the same numbers afterwards
                    found = [layer_timing.correct_for(model, spec, *scores)]
                write_json(file, {"key": key, "correction": found[0]})
        model.config.pruning["latency"]["table"]["correction"] = broadcast_object_list(found)[0]
    masks.close(model)


def _kept(file: Path, key: str) -> float | None:
    """The correction that was found for this very structure before."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return float(found["correction"]) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
