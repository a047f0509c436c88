"""Compress checks: what a recipe asks for, refused before data or a model is opened.

Publish arguments: what a model card says that no measurement can tell.

Recipe: a YAML file and `--field value` pairs become checked, typed arguments.

Recipe checks: ranges of the fields that transformers and the commands take as they come, refused before any work.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from ..benchmark.energy import check_country, check_seconds
from ..data.records import NO_TEXT
from ..errors import InputError, one_line
from ..hub.sanitize import refusal
from ..tasks.dataset import DataArguments
from ..tasks.registry import task_of
from ..training_args import DistillPruneTrainingArguments
from ..utils.distributed import check_one_process
from ..vocabulary.trim import VocabularyArguments
from .recipe_file import read_values, read_words
from .scratch import ScratchArguments


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


_MOST_SEED = 2**32 - 1  # of NumPy

# Whether a number fits, and what is expected of it. NaN compares false everywhere and fits nowhere.
_WHOLE = (lambda x: x >= 1, "1 or more")
_SHARE = (lambda x: 0 <= x < 1, "in [0, 1)")
_NOT_NEGATIVE = (lambda x: 0 <= x < math.inf, "0 or more, and finite")
_SEED = (lambda x: 0 <= x <= _MOST_SEED, f"in [0, {_MOST_SEED}]")
_STEPS = (lambda x: 0 < x < math.inf, "above 0: steps, or below 1 a share of all steps")
TRAINING = {
    "learning_rate": _NOT_NEGATIVE,
    "num_train_epochs": (lambda x: 0 < x < math.inf, "above 0, and finite"),
    "max_steps": (lambda x: x == -1 or x >= 1, "1 or more, or -1 for num_train_epochs"),
    "per_device_train_batch_size": _WHOLE,
    "per_device_eval_batch_size": _WHOLE,
    "gradient_accumulation_steps": _WHOLE,
    "weight_decay": _NOT_NEGATIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "adam_epsilon": _NOT_NEGATIVE,
    "warmup_steps": _NOT_NEGATIVE,
    "label_smoothing_factor": _SHARE,
    "dataloader_num_workers": _NOT_NEGATIVE,
    "save_total_limit": _WHOLE,
    "seed": _SEED,
    "data_seed": _SEED,
    "logging_steps": _STEPS,
    "save_steps": _STEPS,
    "neftune_noise_alpha": _NOT_NEGATIVE,
}
MODEL = {
    "energy_seconds": _NOT_NEGATIVE,
    "baseline_epochs": _NOT_NEGATIVE,
    "scratch_epochs": (lambda x: 0 < x < math.inf, "above 0, and finite"),
    "scratch_compression_rate": (lambda x: 0 < x < math.inf, "above 0, and finite"),
    "scratch_learning_rate": (lambda x: 0 < x < math.inf, "above 0, and finite"),
}


def check_ranges(args: Any, ranges: dict[str, tuple]) -> None:
    """Refuse numbers that are out of range; a field that is None is left to its default.

    Args:
        args: what has the fields.
        ranges: by field, whether a number fits and what is expected of it; `TRAINING` or `MODEL`.

    Raises:
        InputError: naming the field, what it must be and its value.
    """
    for name, (fits, expected) in ranges.items():
        value = getattr(args, name)
        if value is not None and not fits(value):
            raise InputError(f"{name} must be {expected}, got {value}.")


def check_words(values: Mapping[str, Any]) -> None:
    """Refuse words that no file name, column or model can be: with a zero byte, or half a character.

    Args:
        values: fields by name, as a file and a command line give them.

    Raises:
        InputError: naming the field.
    """
    for name, value in values.items():
        if NO_TEXT.search(str(value)):
            raise InputError(
                f"{name} holds a zero byte or half a character, got {ascii(value)[:200]}; write it again."
            )


def check_card(args: Any) -> None:
    """Refuse what a card could not say after all the work.

    Args:
        args: what has the `card_*` fields.

    Raises:
        InputError: what is to be a Hub id cannot be one.
    """
    for name in ("card_base_model", "card_datasets"):
        value = getattr(args, name)
        for one in value if isinstance(value, list) else filter(None, [value]):
            if why := refusal(one):
                raise InputError(f"{name} {one!r} is no Hub id such as user/name: {why}")


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


def check_strategy(recipe: Recipe) -> None:
    """Refuse fields that contradict each other, ask for nothing, or cannot work with the task.

    Args:
        recipe: what is to be done.

    Raises:
        InputError: naming the field and the way out.
    """
    check_one_process()
    args = recipe.training
    removals = {
        "prune_method": args.pruning_spec and args.prune_method,
        "prune_layers": int(args.prune_layers),
        "prune_layer_ids": args.prune_layer_ids,
        "vocab_size": recipe.vocabulary.vocab_size is not None and str(recipe.vocabulary.vocab_size),
    }
    removed = ", ".join(f"{name}={value}" for name, value in removals.items() if value)
    if recipe.model.control and removed:
        raise InputError(
            f"control: nothing may be removed, but {removed} is given; leave it out, or leave control out."
        )
    if not removed and not args.teacher_names and not recipe.model.control:
        raise InputError(
            "Nothing to do: give prune_method (such as movement), prune_layers, vocab_size or distill_teacher; or "
            "control, to train the baseline on."
        )
    if args.save_strategy == "no" or args.save_only_model:
        raise InputError("save_strategy=no and save_only_model leave nothing to resume from; use 'steps' or 'epoch'.")
    if args.eval_strategy != "no":
        raise InputError(
            "eval_strategy must be 'no': the test files are measured once, at the end, and choose nothing."
        )
    task = task_of(recipe.data)
    if args.label_smoothing_factor and not task.smooth:
        raise InputError(
            f"label_smoothing_factor={args.label_smoothing_factor} means nothing for {task.title}; use 0."
        )
    if recipe.model.metrics and not task.more_metrics:
        raise InputError(f"metrics={recipe.model.metrics}: {task.title} is scored by its own metrics; leave it out.")
    _check_metrics(recipe.model)
    if args.resume_from_checkpoint:
        raise InputError(
            f"resume_from_checkpoint={args.resume_from_checkpoint}: compress finds its own checkpoints; give --resume."
        )
    if args.push_to_hub:
        raise InputError("push_to_hub: compress publishes nothing; look at the result first, then push compressed/.")
    if recipe.model.measure_energy:
        check_country(recipe.model.energy_country)
        check_seconds(recipe.model.energy_seconds)


def _check_metrics(model) -> None:
    """Metrics are code: those of others run only if asked to, and all are opened now, not after the training."""
    if not model.metrics:
        return
    from ..tasks.metrics import load_metric

    for name in model.metrics:
        if not model.trust_metric_code and ("/" in name or Path(name).exists()):
            raise InputError(f"metrics: {name!r} is code that would run here; read it, then give trust_metric_code.")
        try:
            load_metric(name)
        except ValueError as error:
            raise InputError(one_line(error, most=600)) from error
