"""The baselines of a sweep: an axis about the model, its data or its training makes several, each with runs of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .config import Fields, Job, SweepFile, baseline_fields
from .results import BASELINE


@dataclass(frozen=True)
class SharedBaseline:
    """A baseline with the runs that compress it."""

    name: str  # `baseline`, or with the labels in which it differs from others: `baseline (good)`
    jobs: list[Job]


def baselines_of(file: SweepFile, common: Mapping[str, Any], jobs: Sequence[Job]) -> list[SharedBaseline]:
    """Return the baselines of some runs, in the order of the runs.

    Args:
        file: says which axes make another baseline.
        common: the fields that all runs share.
        jobs: the runs, at least one.
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(_text(baseline_fields(common, job)), []).append(job)
    if len(groups) == 1:
        return [SharedBaseline(BASELINE, list(jobs))]
    axes = [axis for axis, labels in _values(file).items() if len({_alone(common, fields) for fields in labels}) > 1]
    labels = [
        ", ".join(f"{axis}={first.settings[axis]}" if axis in file.ranges else first.settings[axis] for axis in axes)
        for first, *_ in groups.values()
    ]
    if len({*labels}) < len(labels):  # the axes make other baselines only together, or a number is shown too short
        labels = [first.name for first, *_ in groups.values()]
    return [
        SharedBaseline(f"{BASELINE} ({label})", found) for label, found in zip(labels, groups.values(), strict=True)
    ]


def differ_by_seed_alone(common: Mapping[str, Any], jobs: Sequence[Job]) -> bool:
    """Return whether the baselines of some runs are one recipe with several seeds."""
    found = [baseline_fields(common, job) for job in jobs]
    return len({_text({name: value for name, value in one.items() if name != "seed"}) for one in found}) == 1


def _values(file: SweepFile) -> dict[str, list[Fields]]:
    """Return by axis the fields that each of its labels sets; a range is an axis too."""
    of_ranges = {name: [{name: choice} for choice in choices] for name, choices in file.ranges.items()}
    return {axis: list(labels.values()) for axis, labels in file.axes.items()} | of_ranges


def _alone(common: Mapping[str, Any], fields: Fields) -> str:
    return _text(baseline_fields(common, Job("", fields=fields)))


def _text(fields: Fields) -> str:
    return json.dumps(fields, sort_keys=True, default=str)
