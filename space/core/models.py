"""Load the two models that are compared, with their tokenizers and the report of the run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.kinds import CLASSES, MULTI_LABEL, REGRESSION, Kind, kind_of
from core.limits import MOST_CHARACTERS
from core.startup import SIDES
from trainer_ext.errors import InputError
from trainer_ext.models.loading import head_of, load_model, load_tokenizer, longest_text, rows_of
from trainer_ext.report.io import FILE_NAME, load
from trainer_ext.report.schema import CompressionReport, Parameters
from trainer_ext.tasks.postprocess import THRESHOLD
from trainer_ext.tasks.registry import SINGLE_LABEL, TASKS

Probabilities = dict[str, float]  # by label


def likeliest(probabilities: Probabilities) -> list[str]:
    """Return the label with the highest probability, as a list."""
    return [max(probabilities, key=probabilities.__getitem__)]


def above_threshold(probabilities: Probabilities) -> list[str]:
    """Return all labels with a probability above the threshold of the package."""
    return [label for label, probability in probabilities.items() if probability > THRESHOLD]


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return probabilities that sum to 1 over the labels, the last dimension."""
    return logits.softmax(-1)


# For each problem type of a model's config: logits to probabilities, and probabilities to the predicted labels.
Decoder = tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[Probabilities], list[str]]]
DECODERS: dict[str | None, Decoder] = {
    None: (softmax, likeliest),
    SINGLE_LABEL: (softmax, likeliest),
    MULTI_LABEL: (torch.sigmoid, above_threshold),
}


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        name: Its folder or Hub id.
        model: The model in evaluation mode.
        tokenizer: Its tokenizer.
        max_tokens: The number of tokens that it can read; longer texts are cut off.
        kind: The kind of task.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    kind: Kind = CLASSES

    @property
    def labels(self) -> list[str]:
        """Its classes, sorted by class id."""
        return [name for _, name in sorted((self.model.config.id2label or {}).items())]

    @property
    def problem_type(self) -> str | None:
        """One of `DECODERS`."""
        return self.model.config.problem_type

    @property
    def parameters(self) -> int:
        """Number of unique parameters."""
        return sum(weight.numel() for weight in self.model.parameters())

    @property
    def megabytes(self) -> float:
        """Size of its weights in units of 10^6 bytes."""
        return sum(weight.nbytes for weight in self.model.parameters()) / 1e6

    @torch.inference_mode()
    def ask(self, texts: Sequence[str], *, max_tokens: int, second: str = "") -> list[Probabilities]:
        """Classify texts in one batch.

        Args:
            texts: The texts.
            max_tokens: Read at most this many tokens of each text.
            second: The second text of each, if the model reads pairs.

        Returns:
            The probability of every label, for each text.
        """
        max_length = min(self.max_tokens, max_tokens)
        pairs = [[second] * len(texts)] if second else []
        encoded = self.tokenizer(
            list(texts), *pairs, truncation=True, max_length=max_length, padding=True, return_tensors="pt"
        ).to(self.model.device)
        to_probabilities, _ = DECODERS[self.problem_type]
        rows = to_probabilities(self.model(**encoded).logits.float()).tolist()
        return [dict(zip(self.labels, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class Whole:
    """The baseline before its vocabulary was trimmed, as the report has it.

    Attributes:
        tokens: Number of its tokens.
        megabytes: Size of its weights in units of 10^6 bytes.
        parameters: Number of its parameters.
    """

    tokens: int
    megabytes: float
    parameters: Parameters


@dataclass(frozen=True)
class Pair:
    """The two models and their report, which is None if no report was saved with the compressed model.

    `exports` are opened by `core.deployed`: the exported files of the compressed model, if there are any.
    """

    baseline: Side
    compressed: Side
    report: CompressionReport | None
    exports: tuple[Any, ...] = ()

    @property
    def sides(self) -> dict[str, Side]:
        """Both models by name: "baseline" and "compressed"."""
        return {"baseline": self.baseline, "compressed": self.compressed}

    @property
    def kind(self) -> Kind:
        """The kind of task, that of both models."""
        return self.baseline.kind

    @property
    def whole(self) -> Whole | None:
        """The size of the baseline with all its tokens, if its vocabulary was trimmed before it was trained."""
        report = self.report
        if report is None or report.vocabulary is None or report.vocabulary.trimmed != "before":
            return None
        tokens, size, parameters = report.vocabulary.tokens, report.bytes, report.parameters
        if tokens is None or size is None or parameters is None or parameters.baseline is None:
            return None
        return Whole(tokens.baseline or 0, (size.baseline or 0) / 1e6, parameters.baseline)

    def to(self, device: str) -> Pair:
        """Return a pair with copies of the models on a device."""

        def moved(side: Side) -> Side:
            model: Any = copy.deepcopy(side.model)
            return replace(side, model=model.to(device))

        return Pair(moved(self.baseline), moved(self.compressed), self.report)


def open_pair(names: dict[str, str]) -> Pair:
    """Load both models; compact models need no remote code, because the package contains their classes.

    Args:
        names: Folder or Hub id of "baseline" and "compressed".

    Raises:
        InputError: A model cannot be loaded or is for a task that the page does not show, or the tasks or the labels of
            the two differ.
    """
    report = find_report(names["compressed"])  # first, because it is quick to find that it cannot be read
    baseline, compressed = (open_side(names[name], report) for name in SIDES)
    if baseline.kind is not compressed.kind:
        raise InputError(
            f"{baseline.name} is for {baseline.kind.task}, {compressed.name} for {compressed.kind.task}; compare models of "
            "the same task."
        )
    if sorted(baseline.labels) != sorted(compressed.labels):
        raise InputError(
            f"{baseline.name} has the labels {baseline.labels}, {compressed.name} has {compressed.labels}; compare "
            "models with the same labels."
        )
    return Pair(baseline, compressed, report)


def open_side(name: str, report: CompressionReport | None = None) -> Side:
    """Load one model with its tokenizer; raises as :func:`open_pair` does."""
    model = load_model(name, option="the model", way_out="give a folder or a Hub id that can be read")
    config = model.config
    kind = kind_of(config, report)
    if (
        kind is None
        and head_of(config) == CLASSES.head
        and (config.problem_type == REGRESSION or config.num_labels == 1)
    ):
        raise InputError(
            f"{name} gives a number for each text (regression), which this page does not show. How well both models do is in "
            "the run's compression.json and in its model card, compressed/README.md; `trainer-ext compress RECIPE --resume` "
            "prints it again, and `trainer-ext benchmark RUN` times them."
        )
    if kind is None:
        raise InputError(
            f"{name} is {config.architectures} for {config.problem_type} with {config.num_labels} label(s); this page "
            "compares models that give classes to texts, to pairs of texts or to words, or find the answer to a question."
        )
    options = dict(next(task for task in TASKS if task.name == kind.task).tokenizer)
    tokenizer = load_tokenizer(name, way_out="save it there", rows=rows_of(model), **options)
    if kind.spans and not tokenizer.is_fast:
        raise InputError(
            f"The tokenizer of {name} does not know where a token is in its text, which {kind.task} needs; save a fast one "
            "(tokenizer.json) there."
        )
    longest = min(tokenizer.model_max_length, longest_text(config) or MOST_CHARACTERS)
    return Side(name, model.eval(), tokenizer, longest, kind)


def find_report(name: str) -> CompressionReport | None:
    """Return the report of a compressed model from its folder, its run or its repository, or None."""
    if Path(name).is_dir():
        files = (Path(name, FILE_NAME), Path(name).resolve().parent / FILE_NAME)
        return next((load(file) for file in files if file.exists()), None)
    try:
        return load(hf_hub_download(name, FILE_NAME))
    except (HfHubHTTPError, LocalEntryNotFoundError):  # there is no report, or no network
        return None
