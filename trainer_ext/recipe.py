"""Recipe: a YAML file and `--field value` pairs become checked, typed arguments."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from .arguments import DistillPruneTrainingArguments
from .data import DataArguments
from .errors import InputError, one_line
from .publish_arguments import PublishArguments
from .recipe_checks import MODEL, TRAINING, check_card, check_ranges, check_words
from .recipe_file import read_values, read_words
from .scratch import ScratchArguments
from .tasks import task_of
from .vocabulary_arguments import VocabularyArguments

SCRATCH = "scratch"
MOST_TEXTS = 2**16  # of one forward pass


@dataclass
class ModelArguments:
    """Which model to compress, and how to measure it."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "The baseline: a folder, a Hub id, or 'scratch' for a small BERT made from the train texts."
        },
    )
    class_names: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Class names in the order of the model's ids, for a fine-tuned model that has none of its own."
        },
    )
    baseline_epochs: float = field(
        default=0.0,
        metadata={"help": "Epochs to fine-tune the baseline before compressing; 0 takes it as it is (fine-tuned)."},
    )
    scratch_epochs: float = field(
        default=20.0, metadata={"help": "Epochs to train a baseline made from scratch; above 0."}
    )
    scratch_learning_rate: float = field(
        default=5e-4,
        metadata={"help": "Learning rate of a baseline made from scratch; above 0."},
    )
    scratch_compression_rate: float | None = field(
        default=None,
        metadata={"help": "Learning rate of compressing a model made from scratch, above 0. Default: learning_rate."},
    )
    control: bool = field(
        default=False,
        metadata={
            "help": "Allow a run that removes and distils nothing: the baseline trained on with the same schedule, the row "
            "that compressed models are held against."
        },
    )
    metrics: list[str] = field(
        default_factory=list, metadata={"help": "Further metrics by name, loaded with evaluate.load."}
    )
    trust_metric_code: bool = field(
        default=False,
        metadata={
            "help": "Run a metric that is a script in a folder, or of a user of the Hub (user/name): its code runs."
        },
    )
    latency_batch_sizes: list[int] = field(
        default_factory=lambda: [1, 32], metadata={"help": "Batch sizes at which latency is measured, in texts."}
    )
    latency_sequence_length: int = field(
        default=64, metadata={"help": "Length at which latency is measured, in tokens; at most max_length."}
    )
    measure_energy: bool = field(
        default=False,
        metadata={"help": "Measure the energy of training and of predictions; needs trainer-ext[emissions]."},
    )
    energy_country: str | None = field(
        default=None,
        metadata={
            "help": "Where the machine stands, as ISO 3166 alpha-3 (IND), for grams of CO2. Default: kWh alone."
        },
    )
    energy_seconds: float = field(
        default=60.0, metadata={"help": "Seconds of predictions whose energy is measured, per model; at least 10."}
    )


@dataclass(frozen=True)
class Recipe:
    """Everything a run needs; `resolved` is the same as one flat mapping of what was given."""

    model: ModelArguments
    vocabulary: VocabularyArguments
    scratch: ScratchArguments
    data: DataArguments
    training: DistillPruneTrainingArguments
    resolved: dict[str, Any]

    @property
    def from_scratch(self) -> bool:
        """Whether the baseline is made from the train texts."""
        return self.model.model_name_or_path == SCRATCH

    def training_arguments(self, **changes: Any) -> DistillPruneTrainingArguments:
        """The training arguments with some fields changed, checked anew."""
        return _build(_parser(DistillPruneTrainingArguments), self._training_argv(changes))[0]

    def _training_argv(self, changes: dict[str, Any]) -> list[str]:
        names = {f.name for f in dataclasses.fields(DistillPruneTrainingArguments)}
        return _argv({k: v for k, v in {**self.resolved, **changes}.items() if k in names})


class _Parser(HfArgumentParser):
    """Raises where argparse would print its usage and leave."""

    def error(self, message: str):
        raise InputError(f"{message[0].upper()}{message[1:]}; see `trainer-ext compress --fields`.")


def recipe_fields() -> dict[str, dataclasses.Field]:
    """All fields that a recipe may set, by name; ours first, then those of TrainingArguments."""
    training = [f for f in dataclasses.fields(DistillPruneTrainingArguments) if f.init]
    compression = [f for f in training if f.name.startswith(("prune_", "distill_"))]
    kinds = (ModelArguments, VocabularyArguments, DataArguments, ScratchArguments, PublishArguments)
    model, vocabulary, data, scratch, card = (list(dataclasses.fields(kind)) for kind in kinds)
    return {f.name: f for f in [*model, *vocabulary, *compression, *data, *scratch, *card, *training]}


def read_recipe(path: str | Path, overrides: Sequence[str] = (), scale: str | None = None) -> Recipe:
    """Read a recipe and lay the fields of a scale, then those of the command line over it.

    Args:
        path: a YAML file of `field: value` lines, and of further such mappings under `scales`.
        overrides: `["--field", "value", ...]`.
        scale: the name of one of its scales.

    Raises:
        InputError: a file that cannot be read, an unknown field (with the nearest known name), a scale that is not
            there, or a value out of range.
    """
    known = recipe_fields()
    given = {**read_values(Path(path), known, scale), **read_words(overrides, known)}
    for name in given:
        _check_known(name)
    check_words(given)
    kinds = (ModelArguments, VocabularyArguments, ScratchArguments, DataArguments, PublishArguments)
    model, vocabulary, scratch, data, card, training = _build(
        _parser(*kinds, DistillPruneTrainingArguments), _argv(given)
    )
    _check_model(model, data)
    check_ranges(training, TRAINING)
    check_card(card)
    if vocabulary.vocab_corpus and vocabulary.vocab_size is None:
        raise InputError(
            "vocab_corpus is given without vocab_size: give the number of tokens to keep, or leave it out."
        )
    return Recipe(model, vocabulary, scratch, data, training, given)


def _parser(*kinds: type) -> _Parser:
    return _Parser(kinds, allow_abbrev=False)


def _build(parser: _Parser, argv: list[str]) -> tuple:
    try:
        return parser.parse_args_into_dataclasses(args=argv)
    except InputError:
        raise
    except Exception as error:  # TrainingArguments reads files, parses JSON and imports what its fields name
        raise InputError(one_line(error, most=400) or type(error).__name__) from error


def _argv(values: dict[str, Any]) -> list[str]:
    argv: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        words = value if isinstance(value, list) else [value]
        argv += [f"--{name}", *(json.dumps(word) if isinstance(word, dict) else str(word) for word in words)]
    # argparse takes a word with a leading dash for an option, unless it is a number: bind it to its field.
    bound: list[str] = []
    for word in argv:
        if bound and word.startswith("-") and not word.startswith("--") and bound[-1].startswith("--"):
            bound[-1] = f"{bound[-1]}={word}"
        else:
            bound.append(word)
    return bound


def _check_known(name: str) -> None:
    known = recipe_fields()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see `trainer-ext compress --fields`."
        raise InputError(f"Unknown field {name!r}; {hint}")


def _check_model(model: ModelArguments, data: DataArguments) -> None:
    if not model.model_name_or_path:
        raise InputError("--model_name_or_path is not given; name a folder, a Hub id, or 'scratch'.")
    task_of(data)
    check_ranges(model, MODEL)
    checks = (
        (
            "latency_sequence_length",
            1 <= model.latency_sequence_length <= data.max_length,
            f"in [1, {data.max_length}]",
        ),
        (
            "latency_batch_sizes",
            all(1 <= size <= MOST_TEXTS for size in model.latency_batch_sizes or [0]),
            f"1 or more, and at most {MOST_TEXTS}",
        ),
        ("energy_country", model.measure_energy or not model.energy_country, "given together with measure_energy"),
    )
    for name, fits, expected in checks:
        if not fits:
            raise InputError(f"{name} must be {expected}, got {getattr(model, name)}.")
