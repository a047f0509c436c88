"""Card metadata: the YAML front matter of a model card, made from the report, read back, and merged with edits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..errors import InputError, one_line
from ..report.formatting import TITLES
from ..report.schema import CompressionReport, Export, Inference, Pair, Scores, Sparsity, TrainingCost
from ..utils import yaml
from .sanitize import refusal

# The Hub's names of metrics that it calls differently than we do.
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
    "movement": ["block-movement-pruning"],
    "soft_movement": ["block-movement-pruning"],
    "magnitude": ["magnitude-pruning"],
    "obs": ["optimal-brain-surgeon"],
}
PIPELINES = frozenset({"text-classification", "token-classification", "question-answering"})
NO_DATASET = "custom"  # the Hub requires a dataset type; we do not make up an id
# Metadata that follows from the report, so that edits of it are not kept.
COMPUTED = frozenset({"base_model_relation", "co2_eq_emissions", "library_name", "model-index", "pipeline_tag"})
_FRONT_MATTER = re.compile(r"\A\s*---\n(.*?\n|)---[ \t]*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class CardInput:
    """Everything that a model card is made from.

    Attributes:
        report: The numbers.
        repo_id: `user/name`, used in the code that loads the model; the name of a folder if it is not published.
        base_model: Hub id of the model that was compressed; None if it is not on the Hub.
        license: Licence identifier of the Hub, such as `apache-2.0`.
        language: ISO 639 codes.
        datasets: Hub ids.
        tags: Additional tags.
        picture: Path of the parameter plot in the repository.
        space: Hub id of the Space that compares the two models.
        baseline_of: Hub id of the compressed model, if this is the card of its baseline.
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
    """Check that every Hub id is valid: the ids become links and lines of code.

    Raises:
        InputError: An id is not valid on the Hub.
    """
    fields = ("repo_id", "base_model", "space", "baseline_of")
    ids = [(name, value) for name in fields if (value := getattr(card, name)) is not None]
    for name, value in [*ids, *(("datasets", value) for value in card.datasets)]:
        if why := refusal(value):
            raise InputError(f"{name} {value!r} is not a Hub id such as user/name: {why}")


def metadata(card: CardInput) -> dict[str, Any]:
    """Return the metadata of a new card, in the order in which it is written.

    Args:
        card: The card; its report must hold plain Python numbers, as `report.from_dict` returns them.
    """
    report = card.report
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
        model_name=card.repo_id.rpartition("/")[2] if results else None,
        # "quantized" would be wrong: the weights that transformers loads are never int8, only exports may be.
        base_model_relation="finetune" if card.base_model else None,
        co2_eq_emissions=None if card.baseline_of else _emissions(report),
    )
    return data.to_dict()


def front_matter(values: Mapping[str, Any]) -> str:
    """Return metadata as the YAML block at the top of a card."""
    return f"---\n{yaml.dump(values)}---\n"


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """Return the metadata of a card, empty if it has none, and the text below its front matter.

    Raises:
        InputError: The front matter is not YAML of `key: value` lines.
    """
    found = _FRONT_MATTER.match(card)
    if not found:
        return {}, card
    try:
        values = yaml.load(found[1])
    except ValueError as error:
        raise InputError(
            f"The front matter of the card, between its --- lines, is not valid YAML: {one_line(error)}; correct it."
        ) from error
    if not isinstance(values, dict | None):
        raise InputError(f"The front matter of the card must hold `key: value` lines, got {one_line(repr(values))}.")
    return values or {}, card[found.end() :]


def merge_metadata(generated: Mapping[str, Any], now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Merge generated metadata with that of an existing card, which a person may have edited.

    Args:
        generated: Metadata of the new card.
        now: Metadata of the existing card.
        before: Metadata that was generated when the existing card was written; empty if it is not known.

    Returns:
        Computed keys as generated, the tags of both cards without those that a person removed, and every other key as a
        person left it or, if nobody changed it, as generated.
    """
    merged = {}
    for key in {**generated, **now}:
        edited = key not in COMPUTED and now.get(key) != before.get(key)
        source = now if edited else generated
        if key == "tags":
            merged[key] = _merge_tags(*(_as_list(values.get(key)) for values in (generated, now, before)))
        elif key in source:
            merged[key] = source[key]
    return merged


def _merge_tags(generated: list, now: list, before: list) -> list:
    kept = [tag for tag in generated if tag in now or tag not in before]
    return kept + [tag for tag in now if tag not in generated and tag not in before]


def _as_list(value: Any) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def teachers(report: CompressionReport) -> list[str]:
    """Return the teachers of the distillation, as the recipe names them; none if nothing was trained."""
    if not report.trained:
        return []
    several = report.recipe.get("distill_teachers") or report.recipe.get("distill_teacher") or []
    return [str(name) for name in (several if isinstance(several, list) else [several])]


def exports(report: CompressionReport) -> list[Export]:
    """Return the exports of the compressed model, without those of the baseline."""
    return [row for row in report.exports if row.path.startswith("compressed/")]


def _tags(card: CardInput) -> list[str]:
    report = card.report
    if card.baseline_of:
        return ["baseline", "trainer-ext", *card.tags]
    sparsity = report.sparsity or Sparsity()
    tags = ["compression"]
    tags += ["pruned"] if sparsity.achieved else []
    tags += METHOD_TAGS.get(sparsity.method or "", [])
    tags += ["layer-pruning"] if report.recipe.get("prune_layers") or report.recipe.get("prune_layer_ids") else []
    tags += ["knowledge-distillation"] if teachers(report) else []
    tags += ["vocabulary-trimming"] if report.vocabulary else []
    tags += [row.path.split("/")[1] for row in exports(report)]  # onnx, openvino
    return [*dict.fromkeys([*tags, "trainer-ext", *card.tags])]


def _results(card: CardInput) -> Iterator[EvalResult]:
    report = card.report
    if report.quality is None or report.model.task is None:
        return
    dataset = card.datasets[0] if len(card.datasets) == 1 else NO_DATASET
    for quality in (report.quality, *report.other_quality):
        for metric, value in _scores(quality.baseline if card.baseline_of else quality.compressed, quality.metric):
            yield EvalResult(
                task_type=report.model.task,
                dataset_type=dataset,
                dataset_name=dataset if dataset != NO_DATASET else _data_name(report) or quality.split,
                dataset_split=quality.split,
                metric_type=HUB_METRICS.get(metric, metric),
                metric_name=TITLES.get(metric, metric),
                metric_value=value,
            )


def _data_name(report: CompressionReport) -> str:
    """Return the name of the data without its path: the one table that was split, else the folder; "" if neither is known."""
    recipe = report.recipe
    folder = PurePath(str(recipe.get("data_dir") or "")).name
    folder = "" if folder == ".." else folder
    files = recipe.get("train_files") or []
    stem = PurePath(str(files[0])).stem if isinstance(files, list) and len(files) == 1 else ""
    return stem or folder if recipe.get("test_share") else folder or stem


def _scores(scores: Scores | None, main: str) -> list[tuple[str, float]]:
    """Return the scores by name, the main metric first because the Hub shows the first one."""
    return sorted(scores.by_name.items() if scores else (), key=lambda item: item[0] != main)


def _emissions(report: CompressionReport) -> dict[str, Any] | None:
    """Return the emissions of both trainings in grams, or None if they were not measured or the country is not known."""
    costs, inference = report.training or Pair[TrainingCost](), report.inference or Inference()
    country = inference.country or report.recipe.get("energy_country")
    grams = [side.emissions_g for side in (costs.baseline, costs.compressed) if side and side.emissions_g is not None]
    if not grams or not country:
        return None
    values = {
        "emissions": sum(grams),
        "source": "codecarbon, an estimate" if inference.estimated is not False else "codecarbon",
        "training_type": "fine-tuning",
        "geographical_location": str(country),
        "hardware_used": inference.hardware or next((row.processor for row in report.latency), None),
    }
    return {name: value for name, value in values.items() if value is not None}
