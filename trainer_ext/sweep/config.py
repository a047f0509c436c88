"""Sweep fields: which fields each run of a sweep has, and which its baseline is trained by; checked before any starts.

Later ones win: recipe, its scale, the sweep's `fields`, its scale, the group, the axis, the command line. A field that
varies cannot be given on the command line as well.

Sweep file: a YAML file that names a recipe and what is varied becomes the list of runs, checked before any starts.

    base: mahanews_shc.yaml              # a recipe, beside this file
    output_dir: runs/grid
    fields: {num_train_epochs: 8}        # laid over the recipe, for every run
    scales: {small: {num_train_epochs: 2}}       # laid over that with --scale small
    groups: {SHC: {test_file: a.csv}, LPC: {test_file: b.csv}}      # each a sweep of its own, with its own baseline
    axes:                                # a grid: every label of one axis with every label of the others
      sparsity: {"25 % removed": {prune_sparsity: 0.25}, "50 % removed": {prune_sparsity: 0.5}}
      prune_method: [movement, magnitude]        # short for {movement: {prune_method: movement}, ...}
    skip: [{sparsity: "25 % removed", prune_method: magnitude}]
    export: [openvino-int8]              # each run in these formats too

Instead of `axes`, `ranges: {prune_sparsity: [0.2, 0.8], prune_method: [movement, magnitude]}` and `trials: 12` search:
two numbers are the ends of a range, anything else are choices.
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
from typing import Any

import yaml

from ..data.arguments import DataArguments
from ..errors import InputError
from ..pipeline.recipe import ModelArguments, Recipe, read_recipe, recipe_fields
from ..pipeline.recipe_file import read_values, read_words
from ..pipeline.scratch import ScratchArguments
from ..utils.files import write_text
from ..utils.yaml import read_yaml

KEYS = ("base", "output_dir", "fields", "scales", "groups", "axes", "skip", "ranges", "trials", "export")
Fields = dict[str, Any]
MOST_RUNS = 10_000


@dataclass(frozen=True)
class Job:
    """One run: what it is called, where it lies below its group, and the fields that set it apart.

    Attributes:
        name: labels of its settings.
        settings: label by axis.
        fields: laid over the recipe.
    """

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    fields: Fields = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name as a folder's: letters (with their vowel signs) and digits of any script, the rest as dashes."""
        name = unicodedata.normalize("NFC", self.name).lower()
        kept = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in name)
        return "-".join(kept.split()) or "run"


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says; `groups` has the one empty name where there are none."""

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
        """The runs of the grid, in the order of the file; of a search none are known yet."""
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
        InputError: no such file, an unknown key (with the nearest known one), or a value of another shape.
    """
    path = Path(path)
    values = read_yaml(path)
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            raise InputError(
                f"{path.name}: unknown key {key!r}; "
                + (f"did you mean {near[0]!r}?" if near else f"a sweep file has {', '.join(KEYS)}.")
            )
    if not isinstance(values.get("base"), str):
        raise InputError(
            f"{path.name}: base is {'not given' if values.get('base') is None else repr(values['base'])}; name the recipe that is varied, such as base: trec6_minilm.yaml."
        )
    base = path.parent / values["base"]
    if not base.is_file():
        raise InputError(f"{path.name}: there is no recipe {str(base)!r}; name one beside the sweep file as base.")
    if bool(values.get("axes")) == bool(values.get("ranges")):
        raise InputError(f"{path.name}: give either axes (a grid) or ranges and trials (a search).")
    trials = values.get("trials", 0)
    if values.get("ranges") and not (type(trials) is int and trials >= 1):
        raise InputError(
            f"{path.name}: trials is {trials!r}; give the number of runs that ranges may take, 1 or more."
        )
    ranges = _of(path, values, "ranges")
    for name, choices in ranges.items():
        if not isinstance(choices, list) or len(choices) < 2:
            raise InputError(f"{path.name}: ranges.{name} is {choices!r}; give [low, high], or a list of choices.")
        if is_range(choices) and not -math.inf < choices[0] < choices[1] < math.inf:
            raise InputError(f"{path.name}: ranges.{name} is {choices}; give two finite numbers, the lower end first.")
    output_dir = values.get("output_dir")
    if not isinstance(output_dir, str | None):
        raise InputError(f"{path.name}: output_dir is {output_dir!r}; give the path of a folder.")
    found = SweepFile(
        path=path,
        base=base,
        output_dir=output_dir,
        fields=_of(path, values, "fields"),
        scales=_named(path, values, "scales"),
        groups=_named(path, values, "groups") or {"": {}},
        axes={str(axis): _labels(path, axis, labels) for axis, labels in _of(path, values, "axes").items()},
        skip=_skips(path, values.get("skip", [])),
        ranges=ranges,
        trials=trials,
        export=_words(path, values.get("export", [])),
    )
    _check_names(path, found)
    return found


def is_range(choices: list) -> bool:
    """Whether these are the ends of a range: two numbers; anything else are choices."""
    return len(choices) == 2 and all(type(one) in (int, float) for one in choices)


def is_sweep_file(path: str | Path) -> bool:
    """Whether a YAML file names a base recipe, which a recipe does not."""
    return "base" in read_yaml(Path(path))


def recipe_scales(path: Path) -> set[str]:
    """Names of the scales that a recipe itself has."""
    scales = read_yaml(path).get("scales")
    return {*scales} if isinstance(scales, Mapping) else set()


def _of(path: Path, values: Mapping, key: str) -> dict:
    found = values.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InputError(f"{path.name}: {key} must be a mapping of names, got {found!r}.")
    return found


def _named(path: Path, values: Mapping, key: str) -> dict[str, Fields]:
    found = _of(path, values, key)
    for name, fields in found.items():
        if fields is not None and not isinstance(fields, dict):
            raise InputError(f"{path.name}: {key}.{name} must be a mapping of fields, got {fields!r}.")
    return {name: dict(fields or {}) for name, fields in found.items()}


def _labels(path: Path, axis: str, labels: Any) -> dict[str, Fields]:
    """The labels of an axis and what each sets; a list is short for one field of that name."""
    if isinstance(labels, list) and labels:
        return {f"{axis}={_word(value)}": {axis: value} for value in labels}
    if isinstance(labels, dict) and labels and all(isinstance(one, dict | None) for one in labels.values()):
        return {str(label): dict(fields or {}) for label, fields in labels.items()}
    raise InputError(
        f"{path.name}: axes.{axis} must be a list of values of that field, or labels with the fields that each sets; "
        f"got {labels!r}."
    )


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _skips(path: Path, skips: Any) -> list[dict[str, str]]:
    if not isinstance(skips, list) or not all(isinstance(one, dict) for one in skips):
        raise InputError(f"{path.name}: skip must be a list of {{axis: label}} mappings, got {skips!r}.")
    return [{str(axis): str(label) for axis, label in one.items()} for one in skips]


def _words(path: Path, words: Any) -> list[str]:
    from ..export.formats import FORMATS

    if not isinstance(words, list) or not all(isinstance(word, str) and word in FORMATS for word in words):
        raise InputError(f"{path.name}: export must be a list of {', '.join(FORMATS)}; got {words!r}.")
    return words


def _check_names(path: Path, found: SweepFile) -> None:
    """Every skip must mean something, no two runs may share a folder, and none may hide what the sweep writes."""
    for one in found.skip:
        for axis, label in one.items():
            if label not in found.axes.get(axis, {}):
                raise InputError(f"{path.name}: skip names {axis}: {label}, which is no label of an axis.")
    count = math.prod(map(len, found.axes.values()))
    if count > MOST_RUNS:
        raise InputError(f"{path.name}: its axes make {count:,} runs; a sweep has at most {MOST_RUNS:,}.")
    jobs = found.jobs()
    if found.axes and not jobs:
        raise InputError(f"{path.name}: skip leaves nothing of the grid.")
    _check_folders(path, [job.folder for job in jobs])
    _check_folders(path, [Job(name).folder for name in found.groups])


def _check_folders(path: Path, folders: Sequence[str]) -> None:
    for folder, same in itertools.groupby(sorted(folders)):
        if len(list(same)) > 1 or folder in ("best", "shared"):
            raise InputError(
                f"{path.name}: two runs would lie in the folder {folder!r}, or it is taken; change a label."
            )


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
