"""Publish arguments: what a model card says that no measurement can tell."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class PublishArguments:
    """What a model card says that no measurement can tell; nothing of it changes a run."""

    card_license: str | None = field(
        default=None, metadata={"help": "Licence of the published model, as the Hub writes it: apache-2.0, cc-by-4.0."}
    )
    card_language: list[str] = field(
        default_factory=list, metadata={"help": "Languages of the texts, as ISO 639 codes: mr."}
    )
    card_datasets: list[str] = field(
        default_factory=list, metadata={"help": "Hub ids of the data that the model was trained on."}
    )
    card_base_model: str | None = field(
        default=None,
        metadata={
            "help": "Hub id of the model that the baseline was made from. Default: model_name_or_path if it is one."
        },
    )
