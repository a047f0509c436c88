"""Read a recipe, a YAML file and `--field value` pairs, into typed arguments, and refuse values that cannot work."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from transformers import HfArgumentParser

from ..benchmark.energy import check_country, check_seconds
from ..data.records import NO_TEXT
from ..errors import InputError, one_line
from ..hub.sanitize import refusal
from ..models.loading import LONGEST
from ..tasks.dataset import DataArguments
from ..tasks.registry import task_of
from ..training_args import PREFIXES, DistillPruneTrainingArguments, prunes_at_once
from ..utils.distributed import check_one_process
from ..vocabulary.trim import BEFORE, VocabularyArguments
from .recipe_file import read_values, read_words
from .scratch import ScratchArguments

SCRATCH = "scratch"
MAX_BATCH_SIZE = 2**16  # of the latency measurement
MAX_SEED = 2**32 - 1  # of NumPy


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
            "help": "Class names in the order of the model's ids, for a fine-tuned model that has none of its own, or for a new "
            "head; the data may hold these names or the ids 0, 1, ... Names that contradict the model's own are refused."
        },
    )
    baseline_epochs: float = field(
        default=0.0,
        metadata={
            "help": "Epochs to fine-tune the baseline before compressing; 0 takes it as it is (fine-tuned). A stored head for the "
            "classes of the data is trained on; else the head is new."
        },
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
            "help": "Allow a run without pruning and distillation: the baseline, trained further with the same schedule, to "
            "compare compressed models with."
        },
    )
    metrics: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Further metrics by name, loaded with evaluate.load. With more than two classes, f1, precision and recall "
            "are the mean over the classes of the test file (macro)."
        },
    )
    trust_metric_code: bool = field(
        default=False,
        metadata={
            "help": "Run a metric that is a script in a folder, or of a user of the Hub (user/name): its code runs."
        },
    )
    export_formats: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Files to export the compressed model to at the end: onnx, onnx-int8, openvino, openvino-int8, as "
            "`trainer-ext export` does. A sweep has its own list, `export`."
        },
    )
    latency_batch_sizes: list[int] = field(
        default_factory=lambda: [1, 32], metadata={"help": "Batch sizes at which latency is measured, in texts."}
    )
    latency_sequence_length: int = field(
        default=64,
        metadata={
            "help": "Length at which latency is measured, in tokens. Default: 64, or max_length if that is less."
        },
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


@dataclass
class PublishArguments:
    """Facts for the model card that cannot be measured; they change nothing in a run."""

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


@dataclass(frozen=True)
class Recipe:
    """Everything that a run needs; `resolved` has all given fields in one mapping."""

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

    @property
    def models(self) -> dict[str, str]:
        """The folders or Hub ids of the models that a run reads, by what they are."""
        names = [name for name in self.training.teacher_names if name != "self"]
        teachers = {f"the teacher {name}": name for name in names}
        name = self.model.model_name_or_path
        return teachers if self.from_scratch or not name else {f"the model {name}": name, **teachers}

    def training_arguments(self, **changes: Any) -> DistillPruneTrainingArguments:
        """Return the training arguments with some fields changed, checked again."""
        names = {f.name for f in dataclasses.fields(DistillPruneTrainingArguments)}
        given = {name: value for name, value in {**self.resolved, **changes}.items() if name in names}
        return _parse(given, DistillPruneTrainingArguments)[0]


def recipe_fields() -> dict[str, dataclasses.Field]:
    """Return all fields that a recipe may set, by name: ours first, then those of TrainingArguments."""
    training = [f for f in _fields(DistillPruneTrainingArguments) if f.init]
    compression = [f for f in training if f.name.startswith(PREFIXES)]
    kinds = (ModelArguments, VocabularyArguments, DataArguments, ScratchArguments, PublishArguments)
    model, vocabulary, data, scratch, card = map(_fields, kinds)
    return {f.name: f for f in [*model, *vocabulary, *compression, *data, *scratch, *card, *training]}


@functools.cache
def _fields(kind: type) -> list[dataclasses.Field]:
    """Return the fields of a dataclass as they were declared: HfArgumentParser writes simpler types into the class."""
    declared, found = get_type_hints(kind), []
    for one in map(copy.copy, dataclasses.fields(kind)):
        one.type = declared[one.name]
        found.append(one)
    return found


def meaning_of(field: dataclasses.Field) -> str:
    """Return what a field of `recipe_fields` means, on one line.

    A help text is a format string of argparse, so a percent sign stands twice in it.
    """
    text = str(field.metadata.get("help", "See `transformers.TrainingArguments`."))
    return " ".join(text.split()).replace("%%", "%")


def defaults_of(fields: Iterable[dataclasses.Field]) -> dict[str, Any]:
    """Return the default of each field of a dataclass by name; None for those without one."""
    found = {}
    for one in fields:
        made = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        found[one.name] = None if made is dataclasses.MISSING else made
    return found


def read_recipe(path: str | Path | None, overrides: Sequence[str] = (), scale: str | None = None) -> Recipe:
    """Read a recipe. Fields of the scale win over those of the file, and the command line over both.

    Args:
        path: a YAML file of `field: value` lines, with further such mappings under `scales`; None for no file.
        overrides: `["--field", "value", ...]`.
        scale: the name of one of the scales.

    Raises:
        InputError: The file cannot be read, a field is unknown (the message suggests the nearest name), there is no such
            scale, or a value is out of range.
    """
    known = recipe_fields()
    given = {**(read_values(Path(path), known, scale) if path is not None else {}), **read_words(overrides, known)}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see `trainer-ext compress --fields`."
            raise InputError(f"Unknown field {name!r}; {hint}")
        if isinstance(value, list) and not value:
            raise InputError(f"{name} is an empty list; {_to_write(known[name])}")
        if name == "label_column" and isinstance(value, list):
            raise InputError(
                f"label_column is one column, got {', '.join(map(repr, value))}; for one column of 0 and 1 per class, give "
                f"--problem_type multi_label_classification --label_columns {shlex.join(map(str, value))}."
            )
        if NO_TEXT.search(str(value)):
            raise InputError(
                f"{name} holds a zero byte or half a character, got {ascii(value)[:200]}; write it again."
            )
    kinds = (ModelArguments, VocabularyArguments, ScratchArguments, DataArguments, PublishArguments)
    model, vocabulary, scratch, data, card, training = _parse(given, *kinds, DistillPruneTrainingArguments)
    if given.get("max_length") is None and model.model_name_or_path != SCRATCH and not model.baseline_epochs:
        data.max_length = LONGEST  # or less: the model tells
    fit_lengths(model, data, given)
    _check_model(model, data)
    _check_texts(model, data, training, given)
    if training.dense_epochs:
        raise InputError(f"dense_epochs={training.dense_epochs} is for scripts; here give baseline_epochs.")
    _check_ranges(training, _TRAINING)
    if training.num_train_epochs == 0 and training.max_steps == -1 and not prunes_at_once(training.prune_method):
        raise InputError(
            f"num_train_epochs=0 trains nothing, and prune_method={training.prune_method} needs a training: give epochs, or "
            "prune_method=obs, which prunes without."
        )
    for name in ("card_base_model", "card_datasets"):
        value = getattr(card, name)
        for hub_id in value if isinstance(value, list) else filter(None, [value]):
            if why := refusal(hub_id):
                raise InputError(f"{name} {hub_id!r} is not a Hub id such as user/name: {why}")
    for name in ("vocab_corpus", "vocab_when"):
        if getattr(vocabulary, name) and vocabulary.vocab_size is None:
            raise InputError(
                f"{name} is given without vocab_size: give the number of tokens to keep, or leave it out."
            )
    if vocabulary.vocab_when == BEFORE and not (model.baseline_epochs or model.model_name_or_path == SCRATCH):
        raise InputError(
            "vocab_when=before trims the vocabulary before the baseline is trained, and this one is taken as it is: give "
            "--baseline_epochs, or vocab_when=after."
        )
    return Recipe(model, vocabulary, scratch, data, training, given)


def fit_lengths(model: ModelArguments, data: DataArguments, given: Mapping[str, Any]) -> None:
    """Make the defaults that depend on `max_length` fit it.

    Args:
        model: gets the length at which latency is measured.
        data: has `max_length`, and gets the stride of windows.
        given: the fields that are given, which stay.
    """
    if given.get("latency_sequence_length") is None:
        model.latency_sequence_length = min(ModelArguments.latency_sequence_length, data.max_length)
    if given.get("doc_stride") is None:
        data.doc_stride = max(1, min(DataArguments.doc_stride, data.max_length // 2))


def _to_write(field: dataclasses.Field) -> str:
    """Say what stands in a recipe in place of an empty list."""
    default = defaults_of([field])[field.name]
    shown = " ".join(map(str, default)) if isinstance(default, list) else str(default or "")
    instead = "none" if default == [] else f"the default{shown and f', {shown}'}"
    return f"give at least one value, or leave it out (or write {field.name}: null) for {instead}."


class _Parser(HfArgumentParser):
    """Raises an error where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        line = one_line(message, most=400)  # it quotes what was typed
        raise InputError(f"{line[0].upper()}{line[1:]}; see `trainer-ext compress --fields`.")


def _parse(values: Mapping[str, Any], *kinds: Any) -> tuple[Any, ...]:
    """Return an instance of each dataclass; argparse converts the values to the types of their fields."""
    words: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        words.append(f"--{name}")
        for item in value if isinstance(value, list) else [value]:
            word = json.dumps(item) if isinstance(item, dict) else str(item)
            if word.startswith("-") and not word.startswith("--") and words[-1].startswith("--"):
                words[-1] = f"{words[-1]}={word}"  # argparse takes a separate word with a dash for an option
            else:
                words.append(word)
    try:
        return _Parser(kinds, allow_abbrev=False).parse_args_into_dataclasses(args=words)
    except InputError:
        raise
    except Exception as error:  # TrainingArguments reads files, parses JSON and imports what its fields name
        raise InputError(one_line(error, most=400) or type(error).__name__) from error


# Fields that transformers takes unchecked: whether a number fits, and what to expect. NaN fits nowhere.
_Range = tuple[Callable[[float], bool], str]
_COUNT: _Range = (lambda x: x >= 1, "1 or more")
_FRACTION: _Range = (lambda x: 0 <= x < 1, "in [0, 1)")
_POSITIVE: _Range = (lambda x: 0 < x < math.inf, "above 0, and finite")
_NOT_NEGATIVE: _Range = (lambda x: 0 <= x < math.inf, "0 or more, and finite")
_SEED: _Range = (lambda x: 0 <= x <= MAX_SEED, f"in [0, {MAX_SEED}]")
_STEPS: _Range = (lambda x: 0 < x < math.inf, "above 0: steps, or below 1 a fraction of all steps")
_TRAINING: dict[str, _Range] = {
    "learning_rate": _NOT_NEGATIVE,
    "num_train_epochs": _NOT_NEGATIVE,
    "max_steps": (lambda x: x == -1 or x >= 1, "1 or more, or -1 for num_train_epochs"),
    "per_device_train_batch_size": _COUNT,
    "per_device_eval_batch_size": _COUNT,
    "gradient_accumulation_steps": _COUNT,
    "weight_decay": _NOT_NEGATIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "adam_beta1": _FRACTION,
    "adam_beta2": _FRACTION,
    "adam_epsilon": _NOT_NEGATIVE,
    "warmup_steps": _NOT_NEGATIVE,
    "label_smoothing_factor": _FRACTION,
    "dataloader_num_workers": _NOT_NEGATIVE,
    "save_total_limit": _COUNT,
    "seed": _SEED,
    "data_seed": _SEED,
    "logging_steps": _STEPS,
    "save_steps": _STEPS,
    "neftune_noise_alpha": _NOT_NEGATIVE,
}
_MODEL: dict[str, _Range] = {
    "energy_seconds": _NOT_NEGATIVE,
    "baseline_epochs": _NOT_NEGATIVE,
    "scratch_epochs": _POSITIVE,
    "scratch_compression_rate": _POSITIVE,
    "scratch_learning_rate": _POSITIVE,
}


def _check_ranges(args: Any, ranges: Mapping[str, _Range]) -> None:
    """Refuse numbers that are out of range; None stands for a default."""
    for name, (fits, expected) in ranges.items():
        value = getattr(args, name)
        if value is not None and not fits(value):
            raise InputError(f"{name} must be {expected}, got {value}.")


def _check_model(model: ModelArguments, data: DataArguments) -> None:
    if not model.model_name_or_path:
        raise InputError("--model_name_or_path is not given; name a folder, a Hub id, or 'scratch'.")
    task_of(data)
    _check_ranges(model, _MODEL)
    longest, sizes = data.max_length, model.latency_batch_sizes or [0]
    checks = (
        ("latency_sequence_length", 1 <= model.latency_sequence_length <= longest, f"in [1, {longest}]"),
        (
            "latency_batch_sizes",
            all(1 <= size <= MAX_BATCH_SIZE for size in sizes),
            f"1 or more, and at most {MAX_BATCH_SIZE}",
        ),
        ("energy_country", model.measure_energy or not model.energy_country, "given together with measure_energy"),
    )
    for name, fits, expected in checks:
        if not fits:
            raise InputError(f"{name} must be {expected}, got {getattr(model, name)}.")


def _check_texts(
    model: ModelArguments, data: DataArguments, training: DistillPruneTrainingArguments, given: Mapping[str, Any]
) -> None:
    """Refuse what needs labels if there are texts alone. Test files without a folder lie in the current one."""
    if data.test_share and {"test_file", "texts"} & given.keys():
        other = "texts" if "texts" in given else "test_file"
        raise InputError(f"test_share splits a labelled file, and {other} is given too: leave one of them out.")
    if data.texts is None:
        return
    if not data.data_dir and {"test_file", "more_test_files"} & given.keys():
        data.data_dir = "."
    task, needed = task_of(data), "needs labels, and texts has none"
    trains = training.num_train_epochs or training.max_steps > 0 or training.prune_recovery_epochs
    refused = {
        "train_files and texts are both given: leave one of them out.": "train_files" in given,
        f"model_name_or_path=scratch {needed}: name a fine-tuned classifier.": model.model_name_or_path == SCRATCH,
        f"baseline_epochs={model.baseline_epochs:g} {needed}: name a fine-tuned classifier, and leave it "
        "out.": model.baseline_epochs,
        f"texts cannot be used for {task.title}, whose answers are compared with labels: give data_dir.": (
            task.name != "text-classification" or task.same is None
        ),
        "holdout_share takes labelled rows of a train file, and texts has none: leave it out.": data.holdout_share,
        f"metrics={model.metrics} {needed}: leave it out, or give a labelled test_file.": (
            model.metrics and not data.data_dir
        ),
        f"Training on labels {needed}: give prune_method=obs with num_train_epochs=0, which trains nothing; or "
        "distill_teacher with distill_alpha=1, to learn from a teacher alone.": (
            trains and not (training.teacher_names and training.distill_alpha == 1)
        ),
    }
    for message, applies in refused.items():
        if applies:
            raise InputError(message)


def check_strategy(recipe: Recipe) -> None:
    """Refuse fields that contradict each other, have no effect, or do not fit the task.

    Args:
        recipe: what to do.

    Raises:
        InputError: The message names the field and what to do.
    """
    check_one_process()
    args, model, task = recipe.training, recipe.model, task_of(recipe.data)
    removals = {
        "prune_method": args.pruning_spec and args.prune_method,
        "prune_layers": int(args.prune_layers),
        "prune_layer_ids": args.prune_layer_ids,
        "vocab_size": recipe.vocabulary.vocab_size is not None and str(recipe.vocabulary.vocab_size),
    }
    removed = ", ".join(f"{name}={value}" for name, value in removals.items() if value)
    if model.control and removed:
        raise InputError(
            f"control: nothing may be removed, but {removed} is given; leave it out, or leave control out."
        )
    if not removed and not args.teacher_names and not model.control:
        raise InputError(
            "Nothing to do: give prune_sparsity, prune_layers, vocab_size or distill_teacher; or "
            "control, to train the baseline on."
        )
    if args.save_only_model:
        raise InputError("save_only_model: its checkpoints cannot be resumed; leave it out, or use save_strategy=no.")
    if args.eval_strategy != "no":
        raise InputError("eval_strategy must be 'no': the test files are measured once, at the end.")
    best = {
        "save_strategy=best": args.save_strategy == "best",
        "load_best_model_at_end": args.load_best_model_at_end,
        f"metric_for_best_model={args.metric_for_best_model}": args.metric_for_best_model is not None,
    }
    for name, given in best.items():
        if given:
            raise InputError(f"{name} needs evaluations, and compress makes none while it trains; leave it out.")
    if args.label_smoothing_factor and not task.smooth:
        raise InputError(
            f"label_smoothing_factor={args.label_smoothing_factor} has no meaning for {task.title}; use 0."
        )
    if args.resume_from_checkpoint:
        raise InputError(
            f"resume_from_checkpoint={args.resume_from_checkpoint}: compress finds its own checkpoints; give --resume."
        )
    if args.push_to_hub:
        raise InputError("push_to_hub: compress publishes nothing; look at the result first, then push compressed/.")
    if model.metrics and not task.more_metrics:
        raise InputError(f"metrics={model.metrics}: {task.title} is scored by its own metrics; leave it out.")
    _check_metrics(model)
    if model.measure_energy:
        check_country(model.energy_country)
        check_seconds(model.energy_seconds)


def _check_metrics(model: ModelArguments) -> None:
    """Load all metrics now rather than after training; the code of others runs only with `trust_metric_code`."""
    if not model.metrics:
        return
    from ..tasks.metrics import load_metric  # imports evaluate, which takes seconds

    for name in model.metrics:
        if not model.trust_metric_code and ("/" in name or Path(name).exists()):
            raise InputError(f"metrics: {name!r} is code that would run here; read it, then give trust_metric_code.")
        try:
            load_metric(name)
        except ValueError as error:
            raise InputError(one_line(error, most=600)) from error
