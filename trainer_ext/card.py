"""Card: a report becomes a model card; the words are in templates/."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from . import card_facts, card_markdown, report, tables
from .card_metadata import CardInput, check_ids, exports, metadata, teachers
from .card_sections import assemble, section
from .energy_words import about_energy, in_words
from .metric_names import TITLES, is_fraction
from .tables import findings

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
        loader=PackageLoader("trainer_ext"),
        undefined=StrictUndefined,
        finalize=card_markdown.escape,  # what comes from outside is text, wherever the template puts it
        keep_trailing_newline=True,
    )
    environment.filters |= {"section": section, "fenced": card_markdown.fenced, "percent": tables.percent}
    environment.globals |= {
        "table": card_markdown.table,
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
    files = card_facts.export_folders(exports(numbers))
    return {
        "name": card.repo_id.rpartition("/")[2],
        "title": card_facts.task_title(numbers),
        "use": card_facts.use_of(numbers),
        "compact": numbers.sparsity is not None and numbers.sparsity.structure == "compact",
        "teachers": teachers(numbers),
        "folders": files,
        "export_rows": [_export_row(row) for rows in files.values() for row in rows],
        "parts": card_facts.parts(numbers.parameters) if numbers.parameters else [],
        "layers": card_facts.layers(numbers.sparsity) if numbers.sparsity else [],
        "splits": [split.split for split in (*([quality] if quality else []), *numbers.other_quality)],
        "differences": card_facts.differences(numbers),
        "rare": card_facts.rare_classes(quality) if quality else [],
        "costs": numbers.training or report.Pair(),
        "few_rows": card_facts.FEW_ROWS,
        "quality_table": card_markdown.rich_table(tables.quality_table(numbers, answers=False)),
        "latency_table": card_markdown.rich_table(tables.latency_table(numbers)),
        "machines": [*dict.fromkeys(tables.machines([row]) for row in numbers.latency)],
        "vocabulary_table": numbers.vocabulary
        and card_markdown.rich_table(tables.vocabulary_table(numbers.vocabulary)),
        "energy_table": card_facts.energy_measured(numbers) and card_markdown.rich_table(tables.energy_table(numbers)),
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
