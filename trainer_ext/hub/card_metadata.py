"""Card metadata: what the Hub reads of a model card, from the report and from what only its owner knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..errors import InputError
from ..report.metric_names import TITLES
from ..report.schema import CompressionReport, Inference, Pair, Scores, Sparsity, TrainingCost
from .sanitize import refusal

# How the Hub calls the metrics whose names differ from ours; the title says the rest.
HUB_METRICS = {
    "macro_f1": "f1",
    "micro_f1": "f1",
    "entity_f1": "f1",
    "subset_accuracy": "accuracy",
    "token_accuracy": "accuracy",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
METHOD_TAGS = {
    "movement": ("block-movement-pruning",),
    "soft_movement": ("block-movement-pruning",),
    "magnitude": ("magnitude-pruning",),
}
PIPELINES = frozenset({"text-classification", "token-classification", "question-answering"})
NO_DATASET = "custom"  # the Hub asks for a type; an id that does not exist would be a lie


@dataclass(frozen=True)
class CardInput:
    """Everything that a card is made of; nothing is looked up.

    Attributes:
        report: the numbers.
        repo_id: `user/name`, as the loading lines say it; a folder's name where nothing is published.
        base_model: Hub id of the model that was compressed; None where it is not on the Hub.
        license: as the Hub spells it, such as `apache-2.0`.
        language: ISO 639 codes.
        datasets: Hub ids.
        tags: further ones.
        picture: path of the drawn parameters in the repository.
        space: Hub id of the Space that compares the two models.
        baseline_of: Hub id of the compressed model, in the card of its baseline; None in its own.
    """

    report: CompressionReport
    repo_id: str
    base_model: str | None = None
    license: str | None = None
    language: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    picture: str | None = None
    space: str | None = None
    baseline_of: str | None = None


def check_ids(card: CardInput) -> None:
    """See that everything called a Hub id can be one: they become links and lines of code.

    Raises:
        InputError: one of them cannot.
    """
    ids = {
        "repo_id": [card.repo_id],
        "base_model": [card.base_model],
        "datasets": card.datasets,
        "space": [card.space],
        "baseline_of": [card.baseline_of],
    }
    for name, given in ids.items():
        for one in given:
            if why := refusal(one):
                raise InputError(f"{name} {one!r} is no Hub id such as user/name: {why}")


def metadata(card: CardInput) -> dict[str, Any]:
    """The front matter of a card, in the order in which it is written.

    Args:
        card: with a report of plain values, as `report.from_dict` returns it.
    """
    report, name = card.report, card.repo_id.rpartition("/")[2]
    results = list(_results(card))
    data = ModelCardData(
        license=card.license,
        language=[*card.language] or None,
        base_model=card.base_model,
        library_name="transformers",
        pipeline_tag=report.model.task if report.model.task in PIPELINES else None,
        tags=_tags(card),
        datasets=[*card.datasets] or None,
        eval_results=results or None,
        model_name=name if results else None,
        # The weights that transformers opens are never int8; int8 files may lie beside them.
        base_model_relation="finetune" if card.base_model else None,
        co2_eq_emissions=None if card.baseline_of else _emissions(report),
    )
    return data.to_dict()


def teachers(report: CompressionReport) -> list[str]:
    """Whose answers the model was trained on, as the recipe names them."""
    several = report.recipe.get("distill_teachers") or []
    one = report.recipe.get("distill_teacher")
    return [str(name) for name in (several if isinstance(several, list) else [several])] or ([str(one)] if one else [])


def exports(report: CompressionReport) -> list:
    """The exported files of the compressed model; those of the baseline lie elsewhere."""
    return [row for row in report.exports if row.path.startswith("compressed/")]


def _tags(card: CardInput) -> list[str]:
    report = card.report
    if card.baseline_of:
        return ["baseline", "trainer-ext", *card.tags]
    sparsity = report.sparsity or Sparsity()
    found = ["compression"]
    found += ["pruned"] if sparsity.achieved else []
    found += METHOD_TAGS.get(sparsity.method, ())
    if report.recipe.get("prune_layers") or report.recipe.get("prune_layer_ids"):
        found.append("layer-pruning")
    found += ["knowledge-distillation"] if teachers(report) else []
    found += ["vocabulary-trimming"] if report.vocabulary else []
    found += [row.path.split("/")[1] for row in exports(report)]  # onnx, openvino
    return [*dict.fromkeys([*found, "trainer-ext", *card.tags])]


def _results(card: CardInput) -> Iterator[EvalResult]:
    report = card.report
    if report.quality is None or report.model.task is None:
        return
    dataset = card.datasets[0] if len(card.datasets) == 1 else NO_DATASET
    for quality in (report.quality, *report.other_quality):
        for metric, value in _measured(quality.baseline if card.baseline_of else quality.compressed, quality.metric):
            yield EvalResult(
                task_type=report.model.task,
                dataset_type=dataset,
                dataset_name=dataset if dataset != NO_DATASET else str(report.recipe.get("data_dir") or quality.split),
                dataset_split=quality.split,
                metric_type=HUB_METRICS.get(metric, metric),
                metric_name=TITLES.get(metric, metric),
                metric_value=value,
            )


def _measured(scores: Scores | None, main: str) -> list[tuple[str, float]]:
    """The main metric first, as the Hub shows the first one."""
    return sorted(scores.by_name.items() if scores else (), key=lambda item: item[0] != main)


def _emissions(report: CompressionReport) -> dict[str, Any] | None:
    """Grams of both trainings, as far as they were measured; only where the country is known."""
    costs, found = report.training or Pair[TrainingCost](), report.inference or Inference()
    country = found.country or report.recipe.get("energy_country")
    grams = [side.emissions_g for side in (costs.baseline, costs.compressed) if side and side.emissions_g is not None]
    if not grams or not country:
        return None
    hardware = found.hardware or next((row.processor for row in report.latency), None)
    values = {
        "emissions": sum(grams),
        "source": "codecarbon, an estimate" if found.estimated is not False else "codecarbon",
        "training_type": "fine-tuning",
        "geographical_location": str(country),
        "hardware_used": hardware,
    }
    return {name: value for name, value in values.items() if value is not None}
