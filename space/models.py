"""Models: the two that are compared, opened with their tokenizers and with the report that describes them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

from compare import ANSWERS, MOST_CHARACTERS
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import nn
from transformers import PreTrainedTokenizerBase

from trainer_ext.errors import InputError
from trainer_ext.models.loading import head_of, load_model, load_tokenizer, longest_text, rows_of
from trainer_ext.report.io import FILE_NAME, load
from trainer_ext.report.schema import CompressionReport

HEAD = "ForSequenceClassification"


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        name: folder or Hub id.
        model: it, in evaluation mode.
        tokenizer: its tokenizer.
        longest: tokens that it reads at most; the rest of a text is cut off.
    """

    name: str
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    longest: int

    @property
    def labels(self) -> list[str]:
        """Its classes, by class id."""
        return [self.model.config.id2label[index] for index in range(self.model.config.num_labels)]

    @property
    def parameters(self) -> int:
        """Number of unique parameters."""
        return sum(weight.numel() for weight in self.model.parameters())

    @property
    def megabytes(self) -> float:
        """Of its weights, 10^6 bytes each."""
        return sum(weight.nbytes for weight in self.model.parameters()) / 1e6


@dataclass(frozen=True)
class Pair:
    """The two models and what was measured of them; None where no report lies with the compressed one."""

    baseline: Side
    compressed: Side
    report: CompressionReport | None

    @property
    def sides(self) -> dict[str, Side]:
        """Both by what they are."""
        return {"baseline": self.baseline, "compressed": self.compressed}

    def to(self, device: str) -> Pair:
        """The same with copies of the models on another device."""
        sides = {name: replace(side, model=copy.deepcopy(side.model).to(device)) for name, side in self.sides.items()}
        return replace(self, **sides)


def open_pair(names: dict[str, str]) -> Pair:
    """Open both; a compact model opens without trusting code from the Hub, its classes are the package's.

    Raises:
        InputError: one cannot be opened, is no classifier of whole texts, or their labels differ.
    """
    report = find_report(names["compressed"])  # first: what cannot be read is said before models are opened
    pair = Pair(*(open_side(names[name]) for name in ("baseline", "compressed")), report)
    if sorted(pair.baseline.labels) != sorted(pair.compressed.labels):
        raise InputError(
            f"{pair.baseline.name} answers {pair.baseline.labels}, {pair.compressed.name} answers "
            f"{pair.compressed.labels}; compare models with the same labels."
        )
    return pair


def open_side(name: str) -> Side:
    """Open one model with its tokenizer; raises as :func:`open_pair` does."""
    model = load_model(name, option="the model", way_out="give a folder or a Hub id that can be read", head=HEAD)
    config = model.config
    if head_of(config) != HEAD or config.problem_type not in ANSWERS or config.num_labels < 2:
        raise InputError(
            f"{name} is {config.architectures} for {config.problem_type} with {config.num_labels} label(s); this page "
            "compares classifiers of whole texts."
        )
    tokenizer = load_tokenizer(name, way_out="save it there", rows=rows_of(model))
    longest = min(tokenizer.model_max_length, longest_text(config) or MOST_CHARACTERS)
    return Side(name, model.eval(), tokenizer, longest)


def find_report(name: str) -> CompressionReport | None:
    """The report that lies with the compressed model, in its folder, in its run, or in its repository."""
    if Path(name).is_dir():
        found = [path for path in (Path(name, FILE_NAME), Path(name).resolve().parent / FILE_NAME) if path.exists()]
        return load(found[0]) if found else None
    try:
        return load(hf_hub_download(name, FILE_NAME))
    except (HfHubHTTPError, LocalEntryNotFoundError):  # it has none, or the Hub is not to be reached
        return None
