"""The gate before the hours: what can fail after a training is tried before it, on two batches and a random structure.

`CHECKS` lists the checks in their order: those that cost nothing come first, and each may use what earlier ones made. They
work on copies, in a scratch folder on the disk of the run, and leave no file and no other random state.
"""

from __future__ import annotations

import contextlib
import copy
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ..benchmark.energy import Meter
from ..benchmark.size import forward_flops, random_inputs
from ..data.encoding import text_columns
from ..distillation.teacher_cache import check_folder
from ..errors import CheckFailed, InputError, one_line
from ..models.architectures import config_of
from ..models.compact.fresh_process import fresh_logits
from ..models.loading import load_model, save_tokenizer
from ..models.outputs import allowed_difference, full_precision, logits
from ..pruning.preflight import same_random_state
from ..pruning.prepare import TABLE_NAME
from ..pruning.verify import shrink_and_verify
from ..report.run_directory import RunDirectory
from ..tasks.dataset import Data
from ..tasks.evaluate import compare_on, predict, try_metrics
from ..tasks.registry import task_of
from ..trainer import DistillPruneTrainer
from ..utils.files import scratch_in, whole_folder
from .recipe import Recipe
from .run_vocabulary import Encodings, RunVocabulary

ROWS = 8  # most texts of a batch, and of a test set whose answers are scored
SCRATCH = ".trainer_ext_trial-"
MODELS_ON_DISK = 3  # baseline, masked and compressed
_OPENED: set[tuple[str, str]] = set()  # which Python opened a model of which class
STATES = 3  # of a checkpoint: the weights, and two moments of the optimizer


@dataclass
class Trial:
    """What the checks try.

    Attributes:
        recipe: what to do.
        run: the folder of the run, which is not written to.
        data: the texts.
        model: the baseline before any training; not changed.
        tokenizer: its tokenizer.
        encodings: the data as inputs of each model.
        vocabulary: the trimmed vocabulary, if tokens are left out.
        scratch: a run of the trial's own.
        make_trainer: returns the trainer of the compression, from a run, a dense model that it may change, and arguments
            that are changed for it.
        trainer: with its masks and teachers; None before the check that makes it.
        masked: the model as that trainer has it; None before.
        smaller: the smallest model so far.
    """

    recipe: Recipe
    run: RunDirectory
    data: Data
    model: Any
    tokenizer: PreTrainedTokenizerBase
    encodings: Encodings
    vocabulary: RunVocabulary | None
    scratch: RunDirectory
    make_trainer: Callable[..., DistillPruneTrainer]
    trainer: DistillPruneTrainer | None = None
    masked: Any = None
    smaller: Any = field(init=False)

    def __post_init__(self) -> None:
        self.smaller = self.model


@dataclass(frozen=True)
class Check:
    """One check: what it tries in words, the function, and the way out if it fails with an error of another library."""

    name: str
    attempt: Callable[[Trial], None]
    way_out: str


def check_devices(trial: Trial) -> None:
    """One process uses one device."""
    if (count := trial.recipe.training.n_gpu) > 1:
        raise InputError(
            f"{count} devices in one process (DataParallel) cannot work; set CUDA_VISIBLE_DEVICES to one."
        )


def check_room(trial: Trial) -> None:
    """The disk has room for the models and their checkpoints, and a folder there can be renamed."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in trial.model.state_dict().values())
    args, free = trial.recipe.training, shutil.disk_usage(trial.scratch.root).free
    # The oldest checkpoint goes when the newest is complete; without a limit, at least one stays.
    checkpoints = 0 if args.save_strategy == "no" else STATES * ((args.save_total_limit or 1) + 1)
    needed = size * (MODELS_ON_DISK + checkpoints)
    if needed > free:
        raise InputError(
            f"The disk of output_dir {trial.run.root} has {free / 1e6:,.0f} MB left, and the models and checkpoints need "
            f"about {needed / 1e6:,.0f} MB; free some space, or choose another --output_dir or a smaller --save_total_limit."
        )
    with whole_folder(trial.scratch.root / "renamed"):
        pass


def check_metrics(trial: Trial) -> None:
    """Further metrics can be computed from answers of this task."""
    recipe = trial.recipe
    try_metrics(recipe.model.metrics, task=task_of(recipe.data), labels=trial.data.labels, args=recipe.data)


def check_energy(trial: Trial) -> None:
    """The energy of a moment can be measured."""
    if trial.recipe.model.measure_energy:
        meter = Meter(trial.recipe.model.energy_country)
        meter.start()
        meter.stop()


def check_trainer(trial: Trial) -> None:
    """The trainer can be made: vocabulary, architecture, target, masks and teachers fit.

    A latency table is measured here if it is needed, once for the trial and the run.
    """
    args, vocabulary, changes = trial.recipe.training, trial.vocabulary, {}
    if args.teacher_names and args.distill_cache_dir:
        check_folder(Path(args.distill_cache_dir))
        changes["distill_cache_dir"] = str(trial.scratch.root / "cache")
    if vocabulary is not None and "self" in args.teacher_names:
        trial.model.save_pretrained(trial.scratch.baseline)
        trial.tokenizer.save_pretrained(trial.scratch.baseline)
    kept, here = (run.checkpoints("compressed") for run in (trial.run, trial.scratch))
    if (kept / TABLE_NAME).is_file():
        here.mkdir(parents=True)
        shutil.copy2(kept / TABLE_NAME, here)
    try:
        trial.trainer = trial.make_trainer(trial.scratch, copy.deepcopy(trial.model), **changes)
    except InputError:
        raise
    except ValueError as error:  # a message of our own
        raise InputError(str(error)) from error
    trial.smaller = trial.masked = copy.deepcopy(trial.trainer.model)
    if trial.trainer.distillation is not None:
        trial.trainer.distillation.detach(trial.masked)


def check_step(trial: Trial) -> None:
    """The loss of the first and of the longest texts, with the terms of the teachers, and its gradient are finite."""
    trainer = trial.trainer
    if trainer is None or not _has_loss(trial.recipe):
        return
    if trainer.distillation is not None:
        trainer.distillation.skip_chance_check()  # 'self' may be a model that is trained later, and answers at random now
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.train()
    for batch in _batches(trainer):
        with trainer.compute_loss_context_manager():
            loss = cast(torch.Tensor, trainer.compute_loss(trainer.model, batch))
        loss.backward()
        norms = [each.grad.norm() for each in trainer.model.parameters() if each.grad is not None]
        if not (loss.isfinite() and torch.stack(norms).isfinite().all()):
            raise InputError(
                f"Tried before the training: the loss of a batch is {loss.item():g}, or its gradient is not finite. The "
                "weights of the model, or of a teacher, are damaged or far too large: take another one."
            )


def check_shrinking(trial: Trial) -> None:
    """The model with a random structure of the sparsity that is asked for shrinks, and computes the same on a batch."""
    if trial.trainer is None or not hasattr(trial.masked, "pruning"):
        return
    masked = copy.deepcopy(trial.masked)
    for group in masked.pruning.groups.values():
        group.scores.data.normal_()
    known = _small_tokenizer(trial).model_input_names
    batch = next(_batches(trial.trainer))
    try:
        trial.smaller, _ = shrink_and_verify(masked, {name: batch[name] for name in known if name in batch})
    except CheckFailed as error:
        raise ValueError(str(error).partition(";")[0]) from error  # what follows is the way out after a training


@full_precision()
def check_reopening(trial: Trial) -> None:
    """The small model and its tokenizer are saved, and open here and in a fresh process without this package.

    The process takes seconds and shows the same for every model of a class, so it runs once for each.
    """
    smaller, folder = copy.deepcopy(trial.smaller).to("cpu").float().eval(), trial.scratch.compressed
    with whole_folder(folder) as part:
        smaller.save_pretrained(part)
        save_tokenizer(_small_tokenizer(trial), part)
    batch = random_inputs(smaller, 2, sequence_length=min(8, trial.recipe.data.max_length))
    expected = logits(smaller, batch)
    found = [logits(load_model(folder, option="The model", way_out="take another one"), batch)]
    kind = (sys.executable, type(smaller).__name__)
    if kind not in _OPENED:
        found.append(fresh_logits(folder.resolve(), batch, HF_HUB_OFFLINE="1"))
    difference = max((each - expected).abs().max().item() for each in found)
    if not difference <= allowed_difference(expected):
        raise ValueError(f"opened again it answers differently, by {difference:.1e}")
    _OPENED.add(kind)


def check_answers(trial: Trial) -> None:
    """Both models answer the longest texts of every test set, and their answers are scored or compared."""
    recipe, task = trial.recipe, task_of(trial.recipe.data)
    sides = ((trial.model, trial.tokenizer), (trial.smaller, _small_tokenizer(trial)))
    for name, rows in trial.data.tests.items():
        lengths = [
            sum(map(len, texts)) for texts in zip(*(rows[column] for column in text_columns(rows)), strict=True)
        ]
        chosen = rows.select(_largest(lengths))
        answers = []
        for model, tokenizer in sides:
            encoded = Dataset.from_dict(task.encode(chosen, tokenizer, recipe.data))
            found = predict(model, encoded, tokenizer, batch_size=ROWS)
            answers.append(task.answer(found, encoded, chosen, trial.data.labels, recipe.data))
        compare_on(name, chosen, answers[0], answers[1], task=task, args=recipe.data, labels=trial.data.labels)


def check_workloads(trial: Trial) -> None:
    """Operations are counted at the length of the latency measurement, and the memory is enough for its largest batch."""
    options, config = trial.recipe.model, config_of(trial.model)
    length, most = options.latency_sequence_length, max(options.latency_batch_sizes)
    for model in (trial.model, trial.smaller):
        forward_flops(model, 1, length)
    wide = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", config.hidden_size)
    one = 4 * length * (2 * wide + 4 * config.hidden_size)  # bytes that the activations of a layer take, in fp32
    free = available_memory()
    if free is not None and most * one > free:
        raise InputError(
            f"latency_batch_sizes has {most:,}, which takes more than the {free / 1e9:.1f} GB of memory that are free; give "
            f"at most {max(1, free // (2 * one)):,}."
        )


def available_memory() -> int | None:
    """Return the bytes of memory that are free, or None where the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(encoding="ascii"), re.M)
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None


_REPORT = "Take another model, or report it with the output of --debug."
CHECKS: tuple[Check, ...] = (
    Check("the number of devices", check_devices, _REPORT),
    Check("room on the disk", check_room, "Choose another --output_dir."),
    Check("metrics", check_metrics, "Leave them out."),
    Check("measuring energy", check_energy, "Leave measure_energy out."),
    Check("masks and teachers", check_trainer, _REPORT),
    Check("a training step", check_step, _REPORT),
    Check("shrinking", check_shrinking, "It computes with numbers too large for its precision: take another model."),
    Check("saving and opening again", check_reopening, _REPORT),
    Check("answers to the longest test texts", check_answers, "Shorten or remove these texts, or take another model."),
    Check("latency", check_workloads, _REPORT),
)


@dataclass(frozen=True)
class Passed:
    """What a run keeps of the gate: a line for the console, and the latency table if one was measured."""

    line: str
    table: bytes | None


def pass_gate(
    recipe: Recipe,
    run: RunDirectory,
    data: Data,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    encodings: Encodings,
    vocabulary: RunVocabulary | None,
    make_trainer: Callable[..., DistillPruneTrainer],
) -> Passed:
    """Try before a training what happens in it and after it. The model and the random state stay as they are.

    Args:
        recipe: what to do.
        run: the folder of the run; nothing is written there.
        data: the texts.
        model: the baseline before any training.
        tokenizer: its tokenizer.
        encodings: the data as inputs of each model.
        vocabulary: the trimmed vocabulary, if tokens are left out.
        make_trainer: see `Trial`.

    Raises:
        InputError: The message says what failed, why, and what to do.
    """
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        place = next(folder for folder in (run.root.absolute(), *run.root.absolute().parents) if folder.exists())
        try:
            scratch = RunDirectory(stack.enter_context(scratch_in(place, SCRATCH)))
        except OSError as error:
            raise InputError(
                f"Cannot write to output_dir {run.root}: {error.strerror}; choose another --output_dir."
            ) from error
        stack.enter_context(same_random_state())
        trial = Trial(recipe, run, data, model, tokenizer, encodings, vocabulary, scratch, make_trainer)
        for check in CHECKS:
            try:
                check.attempt(trial)
            except InputError:
                raise
            except Exception as error:  # libraries and the code of others raise what they like
                reason = one_line(error, most=400) or type(error).__name__
                raise InputError(f"Tried before the training: {check.name}: {reason}. {check.way_out}") from error
        table = scratch.checkpoints("compressed") / TABLE_NAME
        return Passed(_line(recipe, time.perf_counter() - start), table.read_bytes() if table.is_file() else None)


def _line(recipe: Recipe, seconds: float) -> str:
    tried = ["a training step"] if _has_loss(recipe) else []
    if recipe.training.pruning_spec:
        tried += ["masks", "shrinking"]
    if recipe.training.teacher_names:
        tried.append("teachers")
    tried += ["saving and opening again", "the longest texts", "operations"]
    if recipe.model.metrics:
        tried.append(f"metrics {' and '.join(recipe.model.metrics)}")
    return f"Tried on two batches: {', '.join(tried)}: fine ({seconds:.0f} s)."


def _has_loss(recipe: Recipe) -> bool:
    """Return whether there is a loss: texts without labels have that of their teachers alone."""
    args = recipe.training
    return recipe.data.texts is None or (bool(args.teacher_names) and args.distill_alpha == 1)


def _batches(trainer: DistillPruneTrainer) -> Iterator[dict[str, Any]]:
    """Return a batch of the first train texts and one of the longest, as the model gets them."""
    loader: Any = trainer.get_train_dataloader()
    rows = loader.dataset
    most = min(ROWS, trainer.args.train_batch_size, len(rows))
    for chosen in (range(most), _largest([len(ids) for ids in rows["input_ids"]])[:most]):
        yield trainer._prepare_inputs(loader.collate_fn([rows[index] for index in chosen]))


def _largest(sizes: list[int]) -> list[int]:
    return sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True)[:ROWS]


def _small_tokenizer(trial: Trial) -> PreTrainedTokenizerBase:
    return trial.tokenizer if trial.vocabulary is None else trial.vocabulary.trimmed.tokenizer
