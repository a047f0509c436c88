"""Sweep fields: which fields each run of a sweep has, and which its baseline is trained by; checked before any starts.

Later ones win: recipe, its scale, the sweep's `fields`, its scale, the group, the axis, the command line. A field that
varies cannot be given on the command line as well.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .data_arguments import DataArguments
from .errors import InputError
from .files import write_text
from .recipe import ModelArguments, Recipe, read_recipe, recipe_fields
from .recipe_file import read_values, read_words
from .scratch import ScratchArguments
from .sweep_file import Fields, Job, SweepFile, recipe_scales

# Of an axis, what makes another baseline; whatever else it sets is about the compression alone.
_MAKES_A_BASELINE = frozenset(
    {f.name for kind in (ModelArguments, DataArguments, ScratchArguments) for f in dataclasses.fields(kind)}
    - {"control", "metrics", "latency_batch_sizes", "latency_sequence_length", "measure_energy"}
    - {"energy_country", "energy_seconds"}
) | {"seed"}
# Where results lie and how progress is shown: changes nothing that a baseline is.
_SILENT = frozenset({"output_dir", "disable_tqdm", "log_level", "control"})


def common_fields(file: SweepFile, group: str, words: Sequence[str], scale: str | None) -> Fields:
    """What all runs of a group have in common.

    Args:
        file: the sweep file.
        group: one of its groups.
        words: `["--field", "value", ...]` of the command line.
        scale: the name of a scale of the sweep file, of its recipe, or of both.

    Raises:
        InputError: no such scale, an unknown field, or one that varies.
    """
    scales = {*file.scales} | recipe_scales(file.base)
    if scale is not None and scale not in scales:
        raise InputError(f"--scale {scale}: {file.path.name} has {', '.join(sorted(scales)) or 'no scales'}.")
    known = recipe_fields()
    given = read_words(words, known)
    for name in sorted(given.keys() & file.varied):
        raise InputError(f"--{name} is what {file.path.name} varies; leave it out, or take it out of the file.")
    base = read_values(file.base, known, scale if scale in recipe_scales(file.base) else None)
    place = {"output_dir": file.output_dir} if file.output_dir else {}
    return base | place | file.fields | (file.scales.get(scale, {}) if scale else {}) | file.groups[group] | given


def run_fields(common: Mapping[str, Any], job: Job, folder: Path, answers: Path) -> Fields:
    """The fields of one run: what it shares, what sets it apart, and where it lies.

    A teacher's answers are kept once for all runs. Where a run removes and distils nothing, it is a control: the
    baseline, trained on with the same schedule.

    Args:
        common: see `common_fields`.
        job: the run.
        folder: where it lies.
        answers: where teachers' answers are kept.
    """
    fields = {**common, **job.fields, "output_dir": str(folder)}
    removes = fields.get("prune_method", "none") != "none" and (
        float(fields.get("prune_sparsity", 0.5) or 0) > 0 or fields.get("prune_speedup")
    )
    drops = fields.get("prune_layers") or fields.get("prune_layer_ids") or fields.get("vocab_size") is not None
    teaches = fields.get("distill_teacher") or fields.get("distill_teachers")
    if not (removes or drops or teaches):
        fields["control"] = True
    inner = fields.get("distill_hidden") or fields.get("distill_relations")  # of every step: no store holds them
    if teaches and not inner and not fields.get("distill_cache_dir"):
        fields["distill_cache_dir"] = str(answers)
    return fields


def baseline_fields(common: Mapping[str, Any], job: Job) -> Fields:
    """The fields that the baseline of a run is trained by: what an axis says of the compression leaves it alone."""
    own = {name: value for name, value in job.fields.items() if name in _MAKES_A_BASELINE}
    kept = {name: value for name, value in (dict(common) | own).items() if name not in _SILENT}
    about = ("prune_", "distill_", "vocab_", "card_", "latency_", "energy_")  # the compression and its measurement
    bare = {name: value for name, value in kept.items() if not name.startswith(about)}
    return bare | {"latency_sequence_length": 1} | _energy(common)


def _energy(common: Mapping[str, Any]) -> Fields:
    """Where the energy of its training is counted, if it is."""
    return {name: common[name] for name in ("energy_country",) if name in common and common.get("measure_energy")}


def checked(fields: Mapping[str, Any]) -> Recipe:
    """The fields as a recipe.

    Raises:
        InputError: an unknown field, or a value out of range.
    """
    with tempfile.TemporaryDirectory() as folder:
        return read_recipe(write_fields(Path(folder) / "recipe.yaml", fields))


def write_fields(file: Path, fields: Mapping[str, Any]) -> Path:
    """Write fields as a recipe file, which another process may read at this moment."""
    write_text(file, yaml.safe_dump(dict(fields), allow_unicode=True, sort_keys=False))
    return file
