"""Card: a report becomes a model card; the words are in templates/.

Card facts: what a card says about a report beyond its tables; pure functions that return numbers and names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from .. import report
from ..report import tables
from ..report.energy_text import about_energy, in_words
from ..report.metric_names import TITLES, is_fraction
from ..report.schema import ClassPair, CompressionReport, Export, Pair, Parameters, Quality, Sparsity
from ..report.tables import findings
from ..tasks.registry import TASKS
from . import markdown
from .card_merge import assemble, section
from .card_metadata import CardInput, check_ids, exports, metadata, teachers

FEW_ROWS = 50  # with fewer, one more wrong answer moves a class by two points or more
PARTS = ("embeddings", "encoder", "head", "total")


@dataclass(frozen=True)
class Loss:
    """The class whose F1 fell most, in points of it."""

    label: str
    points: float
    rows: int


@dataclass(frozen=True)
class Differences:
    """One split, and the class that lost most on it."""

    quality: Quality
    worst: Loss | None


@dataclass(frozen=True)
class CardPart:
    """Where parameters lie: how many there were, how many are left."""

    name: str
    before: int
    after: int


@dataclass(frozen=True)
class CardLayer:
    """What one layer keeps: heads by their numbers in the larger model, and neurons."""

    heads: list[int]
    neurons: int


def use_of(report: CompressionReport) -> str | None:
    """Which lines load the model: `pairs`, the problem type where the task has several, or the task."""
    if report.model.task == "text-classification" and report.recipe.get("text_pair_column"):
        return "pairs"
    return report.model.problem_type or report.model.task


def task_title(report: CompressionReport) -> str | None:
    """The task for people to read."""
    rows = [task for task in TASKS if task.name == report.model.task]
    return next((task.title for task in rows if task.problem_type == report.model.problem_type), report.model.task)


def differences(report: CompressionReport) -> list[Differences]:
    """Every split on which the two models can be compared answer by answer, or class by class."""
    splits = [report.quality, *report.other_quality] if report.quality else []
    return [
        Differences(quality, worst_class(quality))
        for quality in splits
        if quality.agreement is not None or quality.lost is not None or quality.per_class
    ]


def worst_class(quality: Quality) -> Loss | None:
    """The class that lost most; None where none did, or where classes were not scored."""
    pairs = [pair for pair in quality.per_class if pair.support and None not in _f1(pair)]
    pair = min(pairs, key=lambda pair: _f1(pair)[1] - _f1(pair)[0], default=None)
    points = 0.0 if pair is None else 100 * (_f1(pair)[0] - _f1(pair)[1])
    return Loss(pair.label, points, pair.support) if points > 0 else None


def rare_classes(quality: Quality) -> list[ClassPair]:
    """The classes with few test rows, fewest first."""
    return sorted((pair for pair in quality.per_class if pair.support < FEW_ROWS), key=lambda pair: pair.support)


def parts(parameters: Pair[Parameters]) -> list[CardPart]:
    """Embeddings, encoder, head and their total; empty where one of the models was not counted."""
    before, after = parameters.baseline, parameters.compressed
    return [CardPart(name, getattr(before, name), getattr(after, name)) for name in PARTS] if before and after else []


def layers(sparsity: Sparsity) -> list[CardLayer]:
    """What each layer keeps; empty where it was not written down."""
    if sparsity.heads is None or sparsity.ffn_width is None:
        return []
    return [CardLayer(heads, width) for heads, width in zip(sparsity.heads, sparsity.ffn_width, strict=False)]


def energy_measured(report: CompressionReport) -> bool:
    """Whether the energy of predictions or of a training was measured."""
    costs = report.training or Pair()
    return report.inference is not None or any(
        side is not None and side.energy_kwh is not None for side in (costs.baseline, costs.compressed)
    )


def export_folders(rows: Sequence[Export]) -> dict[str, list[Export]]:
    """Exported files by the folder of the repository that they share with what they are used with."""
    folders: dict[str, list[Export]] = {}
    for row in rows:
        folders.setdefault(PurePosixPath(row.path).parts[1], []).append(row)
    return folders


def _f1(pair: ClassPair) -> tuple[float | None, float | None]:
    return tuple(side.f1 if side else None for side in (pair.baseline, pair.compressed))


__all__ = ["CardInput", "render"]


def render(card: CardInput) -> str:
    """The model card, front matter and all; the same input gives the same bytes. Of a baseline it is a short one.

    Raises:
        InputError: what should be a Hub id cannot be one.
        ValueError: the report holds what a report may not, such as NaN; the message has the name of the field.
    """
    check_ids(card)
    card = replace(card, report=report.from_dict(report.to_dict(card.report)))  # NumPy's numbers become Python's
    template = _template("baseline_template.md" if card.baseline_of else "card_template.md")
    return assemble(metadata(card), template.render(card=card, report=card.report, **_facts(card)))


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("trainer_ext.hub"),
        undefined=StrictUndefined,
        finalize=markdown.escape,  # what comes from outside is text, wherever the template puts it
        keep_trailing_newline=True,
    )
    environment.filters |= {"section": section, "fenced": markdown.fenced, "percent": tables.percent}
    environment.globals |= {
        "table": markdown.table,
        "in_words": in_words,
        "is_fraction": is_fraction,
        "number": tables.number,
        "titles": TITLES,
        "within_noise": tables.within_noise,
    }
    return environment.get_template(name)


def _facts(card: CardInput) -> dict[str, Any]:
    """What the template shows beside the report itself."""
    numbers, quality = card.report, card.report.quality
    files = export_folders(exports(numbers))
    return {
        "name": card.repo_id.rpartition("/")[2],
        "title": task_title(numbers),
        "use": use_of(numbers),
        "compact": numbers.sparsity is not None and numbers.sparsity.structure == "compact",
        "teachers": teachers(numbers),
        "folders": files,
        "export_rows": [_export_row(row) for rows in files.values() for row in rows],
        "parts": parts(numbers.parameters) if numbers.parameters else [],
        "layers": layers(numbers.sparsity) if numbers.sparsity else [],
        "splits": [split.split for split in (*([quality] if quality else []), *numbers.other_quality)],
        "differences": differences(numbers),
        "rare": rare_classes(quality) if quality else [],
        "costs": numbers.training or report.Pair(),
        "few_rows": FEW_ROWS,
        "quality_table": markdown.rich_table(tables.quality_table(numbers, answers=False)),
        "latency_table": markdown.rich_table(tables.latency_table(numbers)),
        "machines": [*dict.fromkeys(tables.machines([row]) for row in numbers.latency)],
        "vocabulary_table": numbers.vocabulary and markdown.rich_table(tables.vocabulary_table(numbers.vocabulary)),
        "energy_table": energy_measured(numbers) and markdown.rich_table(tables.energy_table(numbers)),
        "energy_lines": _energy_lines(numbers),
        "recipe_yaml": yaml.safe_dump(numbers.recipe, allow_unicode=True, sort_keys=False),
    }


def _export_row(row: report.Export) -> tuple[str, ...]:
    return (
        f"{row.format}\n{row.path.removeprefix('compressed/')}",
        "" if row.bytes is None else f"{row.bytes / 1e6:.1f}",
        findings(row),
        "" if row.agreement is None else tables.percent(row.agreement),
    )


def _energy_lines(numbers: report.CompressionReport) -> list[str]:
    cost = (numbers.training or report.Pair()).compressed or report.TrainingCost()
    return about_energy(numbers.inference, cost.energy_kwh) if numbers.inference else []
