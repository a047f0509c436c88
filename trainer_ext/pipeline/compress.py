"""Run a recipe: baseline, compression, check and measurement. A stage that an earlier start finished is skipped."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.text import Text
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PrinterCallback, ProgressCallback, Trainer

from .. import report
from ..callbacks import EmissionsCallback
from ..distillation.collator import TeacherCollator, put_beside
from ..hub.staging import card_of, write_card
from ..models.loading import auto_class, longest_input, save_tokenizer
from ..pruning.prepare import TABLE_NAME
from ..pruning.verify import CompressionResult
from ..report.run_directory import RunDirectory, check_apart, find_run, start_run
from ..report.schema import AGREEMENT, LEAST_AGREEMENT
from ..tasks.dataset import Data, tokenize
from ..tasks.evaluate import Answers
from ..tasks.registry import task_of
from ..trainer import DistillPruneTrainer
from ..training_args import DistillPruneTrainingArguments
from ..utils.checkpoints import last_checkpoint
from ..utils.files import room_in, whole_folder, write_bytes, write_json, writing_to
from ..utils.finite import check_trained
from ..utils.progress import lines_instead_of_bars
from ..vocabulary.trim import trim_model
from .baseline import BaselineTrainer, open_baseline
from .gate import pass_gate
from .measure_run import run_report
from .recipe import Recipe, check_strategy, defaults_of, recipe_fields
from .run_vocabulary import Encodings, RunVocabulary, cut_before, keep_vocabulary, open_vocabulary, reads_trimmed
from .text_length import as_started, text_lengths, with_length

logger = logging.getLogger(__name__)


def compress(
    recipe: Recipe,
    *,
    resume: bool = False,
    command: str | None = None,
    inference_energy: bool = True,
    force: bool = False,
    console: Console | None = None,
    answers: Answers | None = None,
) -> tuple[report.CompressionReport, RunDirectory]:
    """Run a recipe.

    Args:
        recipe: what to do; its `output_dir` is the folder of the run.
        resume: continue an interrupted run in that folder.
        command: the command line, written into the report.
        inference_energy: whether `measure_energy` includes predictions. A sweep measures those of all its models later,
            when nothing else runs.
        force: whether `prune_speedup` may build on times that other programs disturbed. Else that is refused before
            anything is trained, unless the recipe says `prune_latency_busy`.
        console: for headings and progress; standard error by default.
        answers: a dict that gets the answers of both models to the test sets, for `export`. It gets none of a run that was
            finished before, and no numbers (regression).

    Returns:
        `(report, run)`: the numbers, and the folder of the run.

    Raises:
        InputError: Something in the recipe cannot work; most of it is found before training starts.
        CheckFailed: The shrunk model does not compute what the masked one does.
        Diverged: Training left NaN or infinite numbers.
    """
    console = console or Console(stderr=True)
    check_strategy(recipe)
    check_apart(str(recipe.training.output_dir), recipe.models)
    if resume:
        recipe = as_started(recipe, RunDirectory(Path(str(recipe.training.output_dir)).expanduser()))
    defaults = defaults_of(recipe_fields().values())
    run = find_run(str(recipe.training.output_dir), recipe.resolved, resume=resume, defaults=defaults)
    if run.report.exists():
        shutil.rmtree(run.root / "checkpoints", ignore_errors=True)  # left if the process was killed after the report
        return report.load(run.root), run
    model, tokenizer, data, epochs = open_baseline(recipe)
    recipe = with_length(recipe, tokenizer)
    vocabulary = open_vocabulary(run, recipe, data, model, tokenizer)
    tokenizer, left = cut_before(vocabulary, model, tokenizer)
    encodings = _encodings(recipe, data, tokenizer, left)
    lengths = text_lengths(data, encodings.compressed, left.trimmed.tokenizer if left else tokenizer, recipe.data)
    if lengths and lengths.cut:
        limit = None if recipe.from_scratch else longest_input(tokenizer, None, default=0)
        logger.warning("%s", lengths.line(recipe.data.max_length, limit))
    _pass_gate(recipe, run, data, model, tokenizer, encodings, left, console, force=force)
    if recipe.training.save_strategy == "no":
        logger.warning("save_strategy=no: no checkpoints are written. --resume starts an interrupted stage again.")
    start_run(run, recipe.resolved)
    with room_in(run.root):
        vocabulary = keep_vocabulary(run, vocabulary)
        _train_baseline(run, recipe, model, tokenizer, encodings.baseline, epochs, console)
        _train_compressed(run, recipe, encodings, left, console)
        console.rule("Check and measurement")
        numbers = run_report(
            run,
            recipe,
            data,
            encodings,
            vocabulary,
            lengths=lengths,
            command=command,
            inference_energy=inference_energy and recipe.model.measure_energy,
            console=console,
            answers=answers,
        )
        write_card(run.compressed, card_of(numbers, run.compressed.name), None)
        report.save(numbers, run.root)  # last: a run with a report is finished
    shutil.rmtree(run.root / "checkpoints", ignore_errors=True)
    _warn_if_far(numbers)
    return numbers, run


def _warn_if_far(numbers: report.CompressionReport) -> None:
    """Say it if the models often disagree on texts without labels, where no accuracy shows what was lost."""
    found = numbers.quality
    if found is not None and found.metric == AGREEMENT and (found.agreement or 0.0) < LEAST_AGREEMENT:
        logger.warning(
            "The small model gives the same answer as before for only %.1f %% of the held-out texts: remove less, train it "
            "(a teacher with distill_alpha=1), or check that these are the texts that the model reads.",
            100 * (found.agreement or 0.0),
        )


def train_baseline(recipe: Recipe, run: RunDirectory, *, console: Console) -> None:
    """Run the first stage of `compress` alone, for runs that share their baseline; a finished one is kept.

    Args:
        recipe: only its fields about the model, the data, the training and a vocabulary that is cut before it count.
        run: where `baseline/`, its log and that vocabulary go.
        console: for headings and progress.

    Raises:
        InputError: The data or the model cannot be used.
    """
    if run.baseline.is_dir():
        return
    recipe = as_started(recipe, run)
    model, tokenizer, data, epochs = open_baseline(recipe)
    recipe = with_length(recipe, tokenizer)
    vocabulary = open_vocabulary(run, recipe, data, model, tokenizer)
    tokenizer, _ = cut_before(vocabulary, model, tokenizer)
    encoded = tokenize(data, tokenizer, recipe.data)
    start_run(run, recipe.resolved)
    with room_in(run.root):
        keep_vocabulary(run, vocabulary)
        _train_baseline(run, recipe, model, tokenizer, encoded, epochs, console)


def try_before_training(recipe: Recipe, run: RunDirectory, *, console: Console) -> None:
    """Pass the gate of a run now, for runs whose baseline is trained elsewhere; `compress` does not repeat it.

    Args:
        recipe: what to do.
        run: the folder of the run.
        console: for the line that says what was tried.

    Raises:
        InputError: Something in the recipe cannot work.
    """
    model, tokenizer, data, _ = open_baseline(recipe)
    recipe = with_length(recipe, tokenizer)
    tokenizer, vocabulary = cut_before(open_vocabulary(run, recipe, data, model, tokenizer), model, tokenizer)
    encodings = _encodings(recipe, data, tokenizer, vocabulary)
    _pass_gate(recipe, run, data, model, tokenizer, encodings, vocabulary, console, force=True)


def _encodings(
    recipe: Recipe, data: Data, tokenizer: PreTrainedTokenizerBase, vocabulary: RunVocabulary | None
) -> Encodings:
    """Return the data as inputs of the baseline and of the compressed model, whose vocabulary may be another."""
    encoded = tokenize(data, tokenizer, recipe.data)
    trimmed = encoded if vocabulary is None else tokenize(data, vocabulary.trimmed.tokenizer, recipe.data)
    return Encodings(encoded, trimmed)


def _pass_gate(
    recipe: Recipe,
    run: RunDirectory,
    data: Data,
    model,
    tokenizer,
    encodings: Encodings,
    vocabulary: RunVocabulary | None,
    console: Console,
    *,
    force: bool,
) -> None:
    """Refuse now what would fail after hours; a run that passed is not tried again when it is resumed."""
    if run.log("gate").exists():
        return

    busy = {} if force or "prune_latency_busy" in recipe.resolved else {"prune_latency_busy": "refuse"}

    def make_trainer(scratch: RunDirectory, dense, **changes: Any) -> DistillPruneTrainer:
        changes |= busy
        return _trainer(scratch, recipe, encodings, vocabulary, dense, tokenizer, **changes)

    passed = pass_gate(recipe, run, data, model, tokenizer, encodings, vocabulary, make_trainer)
    console.print(Text(passed.line))
    start_run(run, recipe.resolved)
    if passed.table is not None:
        write_bytes(run.checkpoints("compressed") / TABLE_NAME, passed.table)
    write_json(run.log("gate"), {"line": passed.line})


def _train_baseline(
    run: RunDirectory, recipe: Recipe, model, tokenizer, encoded: Data, epochs: float, console: Console
) -> None:
    if run.baseline.is_dir():
        return
    if epochs:
        console.rule(f"Baseline: {epochs:g} epochs on {len(encoded.train):,} texts")
        changes: dict[str, Any] = {
            "num_train_epochs": epochs,
            "max_steps": -1,
            "prune_method": "none",
            "prune_speedup": None,
            "distill_teacher": None,
            "distill_teachers": None,
        }
        if recipe.from_scratch:
            changes["learning_rate"] = recipe.model.scratch_learning_rate
        trainer = BaselineTrainer(
            model,
            _arguments(recipe, run, "baseline", **changes),
            data_collator=task_of(recipe.data).collator(tokenizer),
            train_dataset=encoded.train,
            processing_class=tokenizer,
        )
        _train(trainer, run, "baseline", recipe, console)
    else:
        write_json(run.log("baseline"), {"seconds": None, "log_history": []})
    _save(model, tokenizer, run, run.baseline)
    shutil.rmtree(run.checkpoints("baseline"), ignore_errors=True)


def _train_compressed(
    run: RunDirectory, recipe: Recipe, encodings: Encodings, vocabulary: RunVocabulary | None, console: Console
) -> None:
    if run.compressed.is_dir():
        return
    model = auto_class(task_of(recipe.data).head).from_pretrained(run.baseline)
    trainer = _trainer(run, recipe, encodings, vocabulary, model, AutoTokenizer.from_pretrained(run.baseline))
    args, tokenizer = cast(DistillPruneTrainingArguments, trainer.args), trainer.processing_class
    names = recipe.training.teacher_names
    console.rule(f"Compression: {_summary(args, vocabulary)}, teacher {' and '.join(names) or 'none'}")
    _train(trainer, run, "compressed", recipe, console)
    _save(trainer.model, tokenizer, run, run.compressed)


def _trainer(
    run: RunDirectory,
    recipe: Recipe,
    encodings: Encodings,
    vocabulary: RunVocabulary | None,
    model,
    tokenizer: PreTrainedTokenizerBase,
    **changes: Any,
) -> DistillPruneTrainer:
    """Return the trainer of the compression.

    Args:
        run: where its checkpoints go, and where `baseline/` is if a teacher reads its tokens.
        recipe: what to do.
        encodings: the data as inputs of each model.
        vocabulary: the trimmed vocabulary, if tokens are left out.
        model: the baseline; it may be changed.
        tokenizer: its tokenizer.
        **changes: arguments that differ from those of the recipe.
    """
    task = task_of(recipe.data)
    train, collator = encodings.compressed.train, task.collator(tokenizer)
    names = recipe.training.teacher_names
    if vocabulary is not None:
        trim_model(model, vocabulary.trimmed)
        teacher_collator, tokenizer = collator, vocabulary.trimmed.tokenizer
        collator = task.collator(tokenizer)
        if names and not reads_trimmed(model, recipe.training, encodings, vocabulary.trimmed):
            # The teachers read the baseline's tokens, and 'self' is the baseline.
            train = put_beside(train, encodings.baseline.train, teacher_collator.tokenizer)
            collator = TeacherCollator(collator, teacher_collator)
            folders = [str(run.baseline) if name == "self" else name for name in names]
            changes |= {"remove_unused_columns": False, "distill_teacher": None, "distill_teachers": folders}
    if recipe.from_scratch and recipe.model.scratch_compression_rate is not None:
        changes["learning_rate"] = recipe.model.scratch_compression_rate
    args = _arguments(recipe, run, "compressed", **changes)
    trainer = _RunTrainer(model, args, data_collator=collator, train_dataset=train, processing_class=tokenizer)
    trainer.masked = run.masked
    if args.num_train_epochs == 0 and args.max_steps == -1 and not args.prune_recovery_epochs:
        for shows_steps in (ProgressCallback, PrinterCallback):  # and there are none
            trainer.remove_callback(shows_steps)
    return trainer


class _RunTrainer(DistillPruneTrainer):
    """Keeps the full-size model with its masks, which `check` compares with the small one."""

    masked: Path

    def shrink(self) -> CompressionResult:
        """Save the model with its masks, then replace it by the smaller one."""
        if not self.masked.is_dir():  # else an earlier start was killed behind this, and its model has the same bits
            with whole_folder(self.masked) as folder:
                model = self.accelerator.unwrap_model(self.model)
                model.save_pretrained(folder, state_dict=model.state_dict())
        return super().shrink()


def _summary(args: DistillPruneTrainingArguments, vocabulary: RunVocabulary | None) -> str:
    """Return in words what is to be removed."""
    parts = []
    if vocabulary is not None and (tokens := vocabulary.numbers.tokens):
        parts.append(f"{tokens.compressed:,} of {tokens.baseline:,} tokens kept")
    if args.prune_layers or args.prune_layer_ids:
        count = int(args.prune_layers) or len(args.prune_layer_ids or [])
        parts.append(f"{count} layer{'s' if count > 1 else ''} dropped")
    if args.pruning_spec and args.prune_speedup:
        parts.append(f"{args.prune_method} to {args.prune_speedup:g} times the speed")
    elif args.pruning_spec:
        parts.append(f"{args.prune_method}, {args.prune_sparsity:.0%} of the encoder gone")
    return ", ".join(parts) or ("no pruning" if args.teacher_names else "nothing removed (control)")


def _arguments(recipe: Recipe, run: RunDirectory, stage: str, **changes: Any) -> DistillPruneTrainingArguments:
    """Return the training arguments of a stage; memory is pinned only where there is a device to copy to."""
    pin = recipe.training.dataloader_pin_memory and torch.accelerator.is_available()
    return recipe.training_arguments(
        output_dir=str(run.checkpoints(stage)), dataloader_pin_memory=pin, report_to="none", **changes
    )


def _train(trainer: Trainer, run: RunDirectory, stage: str, recipe: Recipe, console: Console) -> None:
    """Train from the last complete checkpoint, if there is one, and write the log."""
    lines_instead_of_bars(trainer, stage, console)
    if recipe.model.measure_energy:
        trainer.add_callback(EmissionsCallback(recipe.model.energy_country))
    checkpoint = last_checkpoint(run.checkpoints(stage))
    start = time.perf_counter()
    with writing_to(run.root):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    check_trained(cast(torch.nn.Module, trainer.model), f"The training of {stage}/")
    # After a resume only the last part was timed, which is not the time of the whole training.
    seconds = None if checkpoint else time.perf_counter() - start
    write_json(run.log(stage), {"seconds": seconds, "log_history": trainer.state.log_history})


def _save(model, tokenizer, run: RunDirectory, target: Path) -> None:
    with whole_folder(target) as folder, writing_to(run.root):
        model.to("cpu").save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
