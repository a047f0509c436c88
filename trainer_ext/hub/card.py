"""Render the model card of a compression report; its text is in templates/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from .. import report
from ..report import tables
from ..report.formatting import TITLES, about_energy, agreement, in_words, is_fraction
from ..report.schema import ClassPair, CompressionReport, Export, Pair, Parameters, Quality, Sparsity, TrainingCost
from ..tasks.registry import TASKS
from ..utils import yaml
from . import markdown
from .card_merge import assemble, section
from .card_metadata import CardInput, check_ids, exports, metadata, teachers

FEW_ROWS = 50  # with fewer, one more wrong prediction changes the score of a class by two points or more
PARTS = ("embeddings", "encoder", "head", "total")


def render(card: CardInput) -> str:
    """Return the model card with its front matter; for a baseline, a short one. The same input gives the same bytes.

    Raises:
        InputError: A Hub id is not valid.
        ValueError: The report holds a value that a report may not hold, such as NaN; the message names the field.
    """
    check_ids(card)
    card = replace(card, report=report.from_dict(report.to_dict(card.report)))  # NumPy's numbers become Python's
    template = _template("baseline_template.md" if card.baseline_of else "card_template.md")
    return assemble(metadata(card), template.render(card=card, report=card.report, **_variables(card)))


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("trainer_ext.hub"),
        undefined=StrictUndefined,
        finalize=markdown.escape,  # every value is escaped unless the template marks it safe
        keep_trailing_newline=True,
    )
    environment.filters |= {"section": section, "fenced": markdown.fenced, "percent": tables.percent}
    environment.globals |= {
        "agreement": agreement,
        "table": markdown.table,
        "in_words": in_words,
        "is_fraction": is_fraction,
        "number": tables.number,
        "titles": TITLES,
        "within_noise": tables.within_noise,
    }
    return environment.get_template(name)


def _variables(card: CardInput) -> dict[str, Any]:
    """Return what the templates use besides the report itself."""
    numbers, quality = card.report, card.report.quality
    splits = [quality, *numbers.other_quality] if quality else []
    costs = numbers.training or Pair[TrainingCost]()
    energy = numbers.inference or any(
        cost and cost.energy_kwh is not None for cost in (costs.baseline, costs.compressed)
    )
    extra_kwh = costs.compressed.energy_kwh if costs.compressed else None
    folders = export_folders(exports(numbers))
    return {
        "name": card.repo_id.rpartition("/")[2],
        "title": task_title(numbers),
        "use": usage(numbers),
        "compact": numbers.sparsity is not None and numbers.sparsity.structure == "compact",
        "teachers": teachers(numbers),
        "folders": folders,
        "export_rows": [_export_row(row) for rows in folders.values() for row in rows],
        "parts": parameter_counts(numbers.parameters) if numbers.parameters else [],
        "layers": layers(numbers.sparsity) if numbers.sparsity else [],
        "splits": [split.split for split in splits],
        "differences": [(split, worst_class(split)) for split in splits if _is_compared(split)],
        "rare": rare_classes(quality) if quality else [],
        "costs": costs,
        "few_rows": FEW_ROWS,
        "quality_table": markdown.rich_table(tables.quality_table(numbers, answers=False)),
        "latency_table": markdown.rich_table(tables.latency_table(numbers)),
        "busy": any(row.busy for row in numbers.latency),
        "machines": [*dict.fromkeys(tables.machines([row]) for row in numbers.latency)],
        "vocabulary_table": numbers.vocabulary and markdown.rich_table(tables.vocabulary_table(numbers.vocabulary)),
        "energy_table": energy and markdown.rich_table(tables.energy_table(numbers)),
        "energy_lines": about_energy(numbers.inference, extra_kwh) if numbers.inference else [],
        "recipe_yaml": yaml.dump(numbers.recipe),
    }


def usage(numbers: CompressionReport) -> str | None:
    """Return which code loads the model: `pairs`, the problem type of a text classifier, or else the task."""
    if numbers.model.task == "text-classification" and numbers.recipe.get("text_pair_column"):
        return "pairs"
    return numbers.model.problem_type or numbers.model.task


def task_title(numbers: CompressionReport) -> str | None:
    """Return the name of the task in words."""
    rows = [task for task in TASKS if task.name == numbers.model.task]
    return next((task.title for task in rows if task.problem_type == numbers.model.problem_type), numbers.model.task)


@dataclass(frozen=True)
class ClassLoss:
    """A class whose F1 fell, and by how many points."""

    label: str
    points: float
    rows: int


def worst_class(quality: Quality) -> ClassLoss | None:
    """Return the class whose F1 fell most; None if none fell or classes were not scored."""
    losses = [
        ClassLoss(pair.label, 100 * (pair.baseline.f1 - pair.compressed.f1), pair.support)
        for pair in quality.per_class
        if pair.support and pair.baseline and pair.baseline.f1 is not None
        if pair.compressed and pair.compressed.f1 is not None
    ]
    worst = max(losses, key=lambda loss: loss.points, default=None)
    return worst if worst and worst.points > 0 else None


def rare_classes(quality: Quality) -> list[ClassPair]:
    """Return the classes with few test rows, fewest first."""
    return sorted((pair for pair in quality.per_class if pair.support < FEW_ROWS), key=lambda pair: pair.support)


def _is_compared(quality: Quality) -> bool:
    """Return whether the two models were compared prediction by prediction or class by class."""
    return quality.agreement is not None or quality.lost is not None or bool(quality.per_class)


@dataclass(frozen=True)
class ParameterCount:
    """The number of parameters of one part of the model, in both models."""

    name: str
    before: int
    after: int


def parameter_counts(parameters: Pair[Parameters]) -> list[ParameterCount]:
    """Return the counts of embeddings, encoder, head and their total; empty if a model was not counted."""
    before, after = parameters.baseline, parameters.compressed
    if before is None or after is None:
        return []
    return [ParameterCount(name, getattr(before, name), getattr(after, name)) for name in PARTS]


@dataclass(frozen=True)
class CardLayer:
    """The attention heads (by their numbers in the larger model) and the neurons that a layer keeps."""

    heads: list[int]
    neurons: int


def layers(sparsity: Sparsity) -> list[CardLayer]:
    """Return what each layer keeps; empty if the report does not say."""
    heads, widths = sparsity.heads, sparsity.ffn_width
    return [] if heads is None or widths is None else [CardLayer(*kept) for kept in zip(heads, widths, strict=False)]


def export_folders(rows: Sequence[Export]) -> dict[str, list[Export]]:
    """Group exports by their folder in the repository, `onnx` or `openvino`."""
    folders: dict[str, list[Export]] = {}
    for row in rows:
        folders.setdefault(PurePosixPath(row.path).parts[1], []).append(row)
    return folders


def _export_row(row: Export) -> tuple[str, ...]:
    return (
        f"{row.format}\n{row.path.removeprefix('compressed/')}",
        "" if row.bytes is None else f"{row.bytes / 1e6:.1f}",
        tables.findings(row),
        tables.percent(row.agreement) or "",
    )
