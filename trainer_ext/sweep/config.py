"""Read a sweep file, list its runs, and compute the recipe fields of each run and of its baseline.

A sweep file is YAML:

    base: mahanews_shc.yaml              # the recipe, relative to this file
    output_dir: runs/grid
    fields: {num_train_epochs: 8}        # overrides the recipe, for every run
    scales: {small: {num_train_epochs: 2}}       # overrides that with --scale small
    groups: {SHC: {test_file: a.csv}, LPC: {test_file: b.csv}}      # one sweep each, with a baseline of its own
    axes:                                # a grid: every combination of one label per axis
      sparsity: {"25 % removed": {prune_sparsity: 0.25}, "50 % removed": {prune_sparsity: 0.5}}
      prune_method: [movement, magnitude]        # short for {movement: {prune_method: movement}, ...}
    skip: [{sparsity: "25 % removed", prune_method: magnitude}]
    export: [openvino-int8]              # also export and measure each run in these formats

`ranges: {prune_sparsity: [0.2, 0.8], prune_method: [movement, magnitude]}` with `trials: 12` instead of `axes` is a search
by Optuna: two numbers are a range, of whole numbers if the field takes no others; anything else is a list of choices.

A field may be set in several places. The last one wins: recipe, its scale, `fields`, scale of the sweep file, group,
command line, axis. A field that varies cannot be given on the command line.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from ..data.arguments import DataArguments
from ..errors import InputError
from ..export.formats import FORMATS
from ..pipeline.recipe import ModelArguments, Recipe, read_recipe, recipe_fields
from ..pipeline.recipe_file import as_words, read_values, read_words
from ..pipeline.scratch import ScratchArguments
from ..training_args import DEFAULT_METHOD
from ..utils import yaml
from ..utils.files import write_text
from ..vocabulary.trim import BEFORE

KEYS = ("base", "output_dir", "fields", "scales", "groups", "axes", "skip", "ranges", "trials", "export")
RESERVED_FOLDERS = ("best", "shared")
MOST_RUNS = 10_000
Fields = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    name: str  # the labels of its settings
    settings: dict[str, str] = field(default_factory=dict)  # label by axis
    fields: Fields = field(default_factory=dict)  # override the recipe

    @property
    def folder(self) -> str:
        """The name as a folder name: letters and digits of any script, everything else as dashes."""
        name = unicodedata.normalize("NFC", self.name).lower()
        kept = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in name)
        return "-".join(kept.split()) or "run"


@dataclass(frozen=True)
class SweepFile:
    """The content of a sweep file; without groups it has one group with an empty name."""

    path: Path
    base: Path
    output_dir: str | None = None
    fields: Fields = field(default_factory=dict)
    scales: dict[str, Fields] = field(default_factory=dict)
    groups: dict[str, Fields] = field(default_factory=lambda: {"": {}})
    axes: dict[str, dict[str, Fields]] = field(default_factory=dict)
    skip: list[dict[str, str]] = field(default_factory=list)
    ranges: dict[str, list] = field(default_factory=dict)
    trials: int = 0
    export: list[str] = field(default_factory=list)

    @property
    def varied(self) -> set[str]:
        """Names of the fields that the axes or ranges set."""
        return {name for labels in self.axes.values() for fields in labels.values() for name in fields} | {
            *self.ranges
        }

    def jobs(self) -> list[Job]:
        """Return the runs of the grid, in the order of the file; a search has none yet."""
        found = []
        for labels in itertools.product(*self.axes.values()) if self.axes else ():
            settings = dict(zip(self.axes, labels, strict=True))
            if any(all(settings.get(axis) == label for axis, label in one.items()) for one in self.skip):
                continue
            fields: Fields = {}
            for axis, label in settings.items():
                fields |= self.axes[axis][label]
            found.append(Job(", ".join(labels), settings, fields))
        return found


def read_sweep_file(path: str | Path) -> SweepFile:
    """Read and check a sweep file; its recipe is not read yet.

    Raises:
        InputError: There is no such file, or it has an unknown key (the message suggests the nearest one) or a wrong value.
    """
    path = Path(path)
    values = yaml.read_yaml(path)

    def refuse(message: str) -> InputError:
        return InputError(f"{path.name}: {message}")

    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"a sweep file has {', '.join(KEYS)}."
            raise refuse(f"unknown key {key!r}; {advice}")

    def mapping(key: str) -> dict[str, Any]:
        found = values.get(key) or {}
        if not yaml.is_fields(found):
            raise refuse(f"{key} must be a mapping of names, got {found!r}.")
        return found

    def fields_by_name(key: str) -> dict[str, Fields]:
        found = mapping(key)
        for name, fields in found.items():
            if not isinstance(fields, dict | None):
                raise refuse(f"{key}.{name} must be a mapping of fields, got {fields!r}.")
        return {name: dict(fields or {}) for name, fields in found.items()}

    name = values.get("base")
    if not isinstance(name, str):
        given = "not given" if name is None else repr(name)
        raise refuse(f"base is {given}; name the recipe to vary, such as base: trec6_minilm.yaml.")
    base = path.parent / name
    if not base.is_file():
        raise refuse(f"there is no recipe {str(base)!r}; give base as a path relative to the sweep file.")
    if bool(values.get("axes")) == bool(values.get("ranges")):
        raise refuse("give either axes (a grid) or ranges and trials (a search).")
    trials = values.get("trials", 0)
    if values.get("ranges") and not (type(trials) is int and trials >= 1):
        raise refuse(f"trials is {trials!r}; give the number of runs of the search, 1 or more.")
    ranges = mapping("ranges")
    for field_name, choices in ranges.items():
        if not isinstance(choices, list) or len(choices) < 2:
            raise refuse(f"ranges.{field_name} is {choices!r}; give [low, high], or a list of choices.")
        if not is_range(field_name, choices):
            continue
        if not -math.inf < choices[0] < choices[1] < math.inf:
            raise refuse(f"ranges.{field_name} is {choices}; give two finite numbers, the smaller one first.")
        if is_whole(field_name) and any(one != int(one) for one in choices):
            raise refuse(f"ranges.{field_name} is {choices}; that field takes whole numbers, so give two of them.")
    output_dir = values.get("output_dir")
    if not isinstance(output_dir, str | None):
        raise refuse(f"output_dir is {output_dir!r}; give the path of a folder.")
    skip, export = values.get("skip", []), values.get("export", [])
    if not isinstance(skip, list) or not all(isinstance(one, dict) for one in skip):
        raise refuse(f"skip must be a list of {{axis: label}} mappings, got {skip!r}.")
    if not isinstance(export, list) or not all(isinstance(one, str) and one in FORMATS for one in export):
        raise refuse(f"export must be a list of {', '.join(FORMATS)}; got {export!r}.")
    found = SweepFile(
        path=path,
        base=base,
        output_dir=output_dir,
        fields=mapping("fields"),
        scales=fields_by_name("scales"),
        groups=fields_by_name("groups") or {"": {}},
        axes={axis: _labels(path, axis, labels) for axis, labels in mapping("axes").items()},
        skip=[{str(axis): str(label) for axis, label in one.items()} for one in skip],
        ranges=ranges,
        trials=trials,
        export=export,
    )
    _check_runs(found)
    return found


def only_groups(file: SweepFile, names: Sequence[str]) -> SweepFile:
    """Return a sweep file with some of its groups; with all of them if none is named.

    Raises:
        InputError: There is no such group.
    """
    known = [name for name in file.groups if name]
    for name in names:
        if name not in known:
            has = f"has the groups {', '.join(known)}" if known else "has no groups; leave --group out"
            raise InputError(f"{file.path.name}: there is no group {name!r}; it {has}.")
    return dataclasses.replace(file, groups={name: file.groups[name] for name in names}) if names else file


def _labels(path: Path, axis: str, labels: Any) -> dict[str, Fields]:
    """Return the labels of an axis and the fields that each sets; a list is short for one field of that name."""
    if isinstance(labels, list) and labels:
        values = [as_words({axis: value}, recipe_fields())[axis] for value in labels]
        return {
            f"{axis}={' '.join(map(str, value)) if isinstance(value, list) else value}": {axis: value}
            for value in values
        }
    if isinstance(labels, dict) and labels and all(isinstance(one, dict | None) for one in labels.values()):
        return {str(label): dict(fields or {}) for label, fields in labels.items()}
    raise InputError(
        f"{path.name}: axes.{axis} must be a list of values of that field, or a mapping of labels to fields; "
        f"got {labels!r}."
    )


def _check_runs(file: SweepFile) -> None:
    """Refuse a `skip` without effect, too many runs or none, and runs or groups that would share a folder."""
    name = file.path.name
    for one in file.skip:
        for axis, label in one.items():
            if label not in file.axes.get(axis, {}):
                raise InputError(f"{name}: skip names {axis}: {label}, but there is no such label.")
    count = math.prod(map(len, file.axes.values()))
    if count > MOST_RUNS:
        raise InputError(f"{name}: the axes make {count:,} runs; a sweep has at most {MOST_RUNS:,}.")
    jobs = file.jobs()
    if file.axes and not jobs:
        raise InputError(f"{name}: skip leaves no run of the grid.")
    for folders in ([job.folder for job in jobs], [Job(group).folder for group in file.groups]):
        for folder, same in itertools.groupby(sorted(folders)):
            if len(list(same)) > 1:
                raise InputError(f"{name}: two labels give the same folder {folder!r}; change one of them.")
            if folder in RESERVED_FOLDERS:
                raise InputError(f"{name}: the folder {folder!r} is reserved; change the label.")


def is_range(name: str, choices: list) -> bool:
    """Return whether these are the two ends of a range of numbers; otherwise they are choices.

    Args:
        name: of the field. Of a field that takes no number, such as true or false, two numbers are choices.
        choices: as the sweep file has them.
    """
    numbers = len(choices) == 2 and all(type(one) in (int, float) for one in choices)
    field = recipe_fields().get(name)
    return numbers and (field is None or bool({int, float} & _types(field)))


def is_whole(name: str) -> bool:
    """Return whether a field takes whole numbers only."""
    field = recipe_fields().get(name)
    return field is not None and int in (types := _types(field)) and float not in types


def _types(field: dataclasses.Field) -> set[Any]:
    """Return the types of the values of a field: one, or those of a union."""
    return {*get_args(field.type)} if isinstance(field.type, UnionType) else {field.type}


def is_sweep_file(path: str | Path) -> bool:
    """Return whether a YAML file is a sweep file: it names a base recipe, which a recipe does not."""
    return "base" in yaml.read_yaml(Path(path))


def recipe_scales(path: Path) -> set[str]:
    """Return the names of the scales that a recipe defines."""
    scales = yaml.read_yaml(path).get("scales")
    return {*scales} if isinstance(scales, Mapping) else set()


# Fields that make another baseline when an axis sets them; all others are about the compression.
_BASELINE_FIELDS = frozenset(
    {f.name for kind in (ModelArguments, DataArguments, ScratchArguments) for f in dataclasses.fields(kind)}
    - {"control", "metrics", "export_formats", "latency_batch_sizes", "latency_sequence_length", "measure_energy"}
    - {"energy_country", "energy_seconds"}
) | {"seed"}
# Fields that do not affect the baseline: where results are written, how progress is shown ...
_NO_EFFECT = frozenset({"output_dir", "disable_tqdm", "log_level", "control"})
# ... and everything about the compression and its measurement.
_COMPRESSION_PREFIXES = ("prune_", "distill_", "vocab_", "card_", "export_", "latency_", "energy_")
# A compression that needs neither a training nor labels, for the recipe of a baseline without these fields.
_NO_TRAINING = {"prune_method": DEFAULT_METHOD, "num_train_epochs": 0, "max_steps": -1}


def common_fields(file: SweepFile, group: str, words: Sequence[str], scale: str | None) -> Fields:
    """Return the fields that all runs of a group share.

    Args:
        file: the sweep file.
        group: the name of one of its groups.
        words: `["--field", "value", ...]` of the command line.
        scale: the name of a scale of the sweep file, of its recipe, or of both.

    Raises:
        InputError: There is no such scale, or a field is unknown or varies.
    """
    of_recipe = recipe_scales(file.base)
    scales = of_recipe | {*file.scales}
    if scale is not None and scale not in scales:
        raise InputError(f"--scale {scale}: {file.path.name} has {', '.join(sorted(scales)) or 'no scales'}.")
    known = recipe_fields()
    given = read_words(words, known)
    for name in sorted(given.keys() & file.varied):
        raise InputError(f"--{name} cannot be given, because {file.path.name} varies it; leave the option out.")
    base = read_values(file.base, known, scale if scale in of_recipe else None)
    output = {"output_dir": file.output_dir} if file.output_dir else {}
    fields = base | output | file.fields | (file.scales.get(scale, {}) if scale else {}) | file.groups[group] | given
    return as_words(fields, known)


def run_fields(common: Mapping[str, Any], job: Job, folder: Path, teacher_cache: Path) -> Fields:
    """Return all fields of one run.

    The teacher's logits are cached once for all runs. A run without pruning and distillation is a control: the baseline,
    trained further with the same schedule.

    Args:
        common: see `common_fields`.
        job: the run.
        folder: of the run.
        teacher_cache: the folder of the cached logits.
    """
    fields = {**common, **job.fields, "output_dir": str(folder)}
    asked = fields.get("prune_sparsity") is not None or fields.get("prune_speedup")
    prunes = fields.get("prune_method", DEFAULT_METHOD if asked else "none") != "none" and (
        float(fields.get("prune_sparsity", 0.5) or 0) > 0 or fields.get("prune_speedup")
    )
    drops = fields.get("prune_layers") or fields.get("prune_layer_ids") or fields.get("vocab_size") is not None
    teaches = fields.get("distill_teacher") or fields.get("distill_teachers")
    if not (prunes or drops or teaches):
        fields["control"] = True
    hidden = fields.get("distill_hidden") or fields.get("distill_relations")  # needed at every step, so never cached
    if teaches and not hidden and not fields.get("distill_cache_dir"):
        fields["distill_cache_dir"] = str(teacher_cache)
    return fields


def baseline_fields(common: Mapping[str, Any], job: Job) -> Fields:
    """Return the fields that the baseline of a run is trained with, without those about the compression.

    With vocab_when=before they say which tokens are kept: runs that keep the same ones share a baseline.
    """
    given = {**common, **job.fields}
    own = {name: value for name, value in job.fields.items() if name in _BASELINE_FIELDS}
    fields = {
        name: value
        for name, value in {**common, **own}.items()
        if name not in _NO_EFFECT and not name.startswith(_COMPRESSION_PREFIXES)
    }
    if given.get("vocab_when") == BEFORE:
        fields |= {name: value for name, value in given.items() if name.startswith("vocab_")}
    if common.get("measure_energy") and "energy_country" in common:
        fields["energy_country"] = common["energy_country"]
    if fields.get("texts") is not None or fields.get("num_train_epochs") in (0, "0"):
        fields |= _NO_TRAINING
    return fields | {"latency_sequence_length": 1}


def recipe_from(fields: Mapping[str, Any]) -> Recipe:
    """Return the recipe with these fields.

    Raises:
        InputError: A field is unknown, or a value is out of range.
    """
    with tempfile.TemporaryDirectory() as folder:
        return read_recipe(write_fields(Path(folder) / "recipe.yaml", fields))


def write_fields(file: Path, fields: Mapping[str, Any]) -> Path:
    """Write fields as a recipe file; other processes never see half of it."""
    write_text(file, yaml.dump(fields))
    return file
