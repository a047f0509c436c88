"""Compress: a recipe becomes a run, stage by stage, each stage skipped where an earlier start finished it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoTokenizer, Trainer

from .. import report
from ..callbacks import EmissionsCallback
from ..distillation.collator import TeacherCollator, put_beside
from ..distillation.teacher_cache import check_folder
from ..distillation.teachers import check_teacher, check_tokenizer, load_teacher
from ..errors import InputError
from ..hub.staging import card_of, write_card
from ..models.loading import auto_class
from ..pruning.prepare import prepare_model
from ..report.run_directory import RunDirectory, find_run, start_run
from ..tasks.dataset import Data, tokenize
from ..tasks.registry import task_of
from ..trainer import DistillPruneTrainer
from ..utils.checkpoints import last_checkpoint
from ..utils.files import room_in, whole_folder, write_json, writing_to
from ..utils.finite import check_trained
from ..vocabulary.trim import trim_model
from .baseline import BaselineTrainer, open_baseline
from .measure_run import run_report
from .recipe import Recipe, check_strategy
from .run_vocabulary import RunVocabulary, keep_vocabulary, open_vocabulary, reads_trimmed


def compress(
    recipe: Recipe,
    *,
    resume: bool = False,
    command: str | None = None,
    inference_energy: bool = True,
    console: Console | None = None,
):
    """Run a recipe: baseline, compression (of its vocabulary first), check, measurement.

    Args:
        recipe: what to do; its `output_dir` is the folder of the run.
        resume: continue an interrupted run there.
        command: the command line, written into the report.
        inference_energy: whether `measure_energy` includes the predictions; a sweep measures those of all its models
            in one go, when nothing else runs.
        console: where headings and progress go; standard error by default.

    Returns:
        `(report, run)`: the numbers and the folder that holds everything.

    Raises:
        InputError: something given cannot work; found before training starts.
        CheckFailed: the shrunk model is not the masked one.
        Diverged: a training left NaN or infinite numbers.
    """
    console = console or Console(stderr=True)
    check_strategy(recipe)
    run = find_run(recipe.training.output_dir, recipe.resolved, resume=resume)
    if run.report.exists():
        shutil.rmtree(run.root / "checkpoints", ignore_errors=True)  # where the start that finished it was cut off
        return report.load(run.root), run
    model, tokenizer, data, epochs = open_baseline(recipe)
    encoded = tokenize(data, tokenizer, recipe.data)
    vocabulary = open_vocabulary(run, recipe.vocabulary, data, tokenizer)
    trimmed = encoded if vocabulary is None else tokenize(data, vocabulary.trimmed.tokenizer, recipe.data)
    encodings = report.Pair(encoded, trimmed)
    _check_before_training(recipe, run, model, tokenizer, encodings, vocabulary)
    start_run(run, recipe.resolved)
    with room_in(run.root):
        vocabulary = keep_vocabulary(run, vocabulary)
        _train_baseline(run, recipe, model, tokenizer, encoded, epochs, console)
        _train_compressed(run, recipe, encodings, vocabulary, console)
        console.rule("Check and measurement")
        numbers = run_report(
            run,
            recipe,
            data,
            encodings,
            vocabulary,
            command=command,
            inference_energy=inference_energy and recipe.model.measure_energy,
            console=console,
        )
        write_card(run.compressed, card_of(numbers, run.compressed.name), None)
        report.save(numbers, run.root)  # last: a run that has it is finished
    shutil.rmtree(run.root / "checkpoints", ignore_errors=True)
    return numbers, run


def train_baseline(recipe: Recipe, run: RunDirectory, *, console: Console) -> None:
    """The first stage of `compress` alone, for runs that share their baseline; what is finished is left as it is.

    Args:
        recipe: of which only the fields about the model, the data and the training count.
        run: where `baseline/` and its log go.
        console: where headings and progress go.

    Raises:
        InputError: data or a model that cannot be used.
    """
    if run.baseline.is_dir():
        return
    model, tokenizer, data, epochs = open_baseline(recipe)
    encoded = tokenize(data, tokenizer, recipe.data)
    start_run(run, recipe.resolved)
    with room_in(run.root):
        _train_baseline(run, recipe, model, tokenizer, encoded, epochs, console)


def _check_before_training(
    recipe: Recipe,
    run: RunDirectory,
    model,
    tokenizer,
    encodings: report.Pair[Data],
    vocabulary: RunVocabulary | None,
) -> None:
    """Refuse now what would fail after hours: vocabulary, layout, target and teachers."""
    args = recipe.training
    if args.n_gpu > 1:
        raise InputError(
            f"{args.n_gpu} devices in one process (DataParallel) cannot work; set CUDA_VISIBLE_DEVICES to one."
        )
    with torch.device("meta"):
        outline = type(model)(copy.deepcopy(model.config))
    if vocabulary is not None:
        trim_model(outline, vocabulary.trimmed)
        reads_trimmed(model, args, encodings, vocabulary.trimmed)
    try:
        prepare_model(outline, _arguments(recipe, run, "compressed"))
    except ValueError as error:
        raise InputError(str(error)) from error
    if args.teacher_names and args.distill_cache_dir:
        check_folder(Path(args.distill_cache_dir))
    for name in args.teacher_names:
        if name != "self":
            teacher = load_teacher(name, model)
            check_teacher(teacher, model)
            check_tokenizer(teacher, model, tokenizer)


def _train_baseline(
    run: RunDirectory, recipe: Recipe, model, tokenizer, encoded: Data, epochs: float, console: Console
) -> None:
    if run.baseline.is_dir():
        return
    if epochs:
        console.rule(f"Baseline: {epochs:g} epochs on {len(encoded.train):,} texts")
        args = _arguments(
            recipe,
            run,
            "baseline",
            num_train_epochs=epochs,
            **({"learning_rate": recipe.model.scratch_learning_rate} if recipe.from_scratch else {}),
            max_steps=-1,
            prune_method="none",
            prune_speedup=None,
            distill_teacher=None,
            distill_teachers=None,
        )
        collator = task_of(recipe.data).collator(tokenizer)
        trainer = BaselineTrainer(
            model, args, data_collator=collator, train_dataset=encoded.train, processing_class=tokenizer
        )
        _train(trainer, run, "baseline", recipe)
    else:
        write_json(run.log("baseline"), {"seconds": None, "log_history": []})
    with whole_folder(run.baseline) as folder, writing_to(run.root):
        model.to("cpu").save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    shutil.rmtree(run.checkpoints("baseline"), ignore_errors=True)


def _train_compressed(
    run: RunDirectory, recipe: Recipe, encodings: report.Pair[Data], vocabulary: RunVocabulary | None, console: Console
) -> None:
    if run.compressed.is_dir():
        return
    task = task_of(recipe.data)
    model = auto_class(task.head).from_pretrained(run.baseline)
    tokenizer = AutoTokenizer.from_pretrained(run.baseline)
    train, collator = encodings.compressed.train, task.collator(tokenizer)
    names = recipe.training.teacher_names
    changes: dict[str, Any] = {}
    if vocabulary is not None:
        trim_model(model, vocabulary.trimmed)
        theirs, tokenizer = collator, vocabulary.trimmed.tokenizer
        collator = task.collator(tokenizer)
        if names and not reads_trimmed(model, recipe.training, encodings, vocabulary.trimmed):
            # They read the baseline's tokens, and 'self' is the baseline.
            train = put_beside(train, encodings.baseline.train, theirs.tokenizer)
            collator = TeacherCollator(collator, theirs)
            folders = [str(run.baseline) if name == "self" else name for name in names]
            changes = {"remove_unused_columns": False, "distill_teacher": None, "distill_teachers": folders}
    if recipe.from_scratch and recipe.model.scratch_compression_rate is not None:
        changes["learning_rate"] = recipe.model.scratch_compression_rate
    args = _arguments(recipe, run, "compressed", **changes)
    console.rule(f"Compression: {_asked(args, vocabulary)}, teacher {' and '.join(names) or 'none'}")
    trainer = DistillPruneTrainer(model, args, data_collator=collator, train_dataset=train, processing_class=tokenizer)
    _train(trainer, run, "compressed", recipe)
    if trainer.compression is not None:
        checkpoint = trainer.state.best_model_checkpoint if args.load_best_model_at_end else None
        checkpoint = Path(checkpoint) if checkpoint else last_checkpoint(run.checkpoints("compressed"))
        shutil.rmtree(run.masked, ignore_errors=True)  # of a start that was cut off between this folder and the next
        with whole_folder(run.masked) as folder:
            for name in ("config.json", "model.safetensors"):
                shutil.copy2(checkpoint / name, folder)
    with whole_folder(run.compressed) as folder, writing_to(run.root):
        trainer.model.to("cpu").save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _asked(args, vocabulary: RunVocabulary | None) -> str:
    """What is to be removed, in words."""
    parts = []
    if vocabulary is not None:
        tokens = vocabulary.numbers.tokens
        parts.append(f"{tokens.compressed:,} of {tokens.baseline:,} tokens kept")
    if args.prune_layers or args.prune_layer_ids:
        count = int(args.prune_layers) or len(args.prune_layer_ids)
        parts.append(f"{count} layer{'s' if count > 1 else ''} dropped")
    if args.pruning_spec and args.prune_speedup:
        parts.append(f"{args.prune_method} to {args.prune_speedup:g} times the speed")
    elif args.pruning_spec:
        parts.append(f"{args.prune_method}, {args.prune_sparsity:.0%} of the encoder gone")
    return ", ".join(parts) or ("no pruning" if args.teacher_names else "nothing removed (control)")


def _arguments(recipe: Recipe, run: RunDirectory, stage: str, **changes: Any):
    """The training arguments of a stage; pinned memory only where there is a device to copy to."""
    pin = recipe.training.dataloader_pin_memory and torch.accelerator.is_available()
    return recipe.training_arguments(
        output_dir=str(run.checkpoints(stage)), dataloader_pin_memory=pin, report_to="none", **changes
    )


def _train(trainer: Trainer, run: RunDirectory, stage: str, recipe: Recipe) -> None:
    """Train from the last complete checkpoint, if there is one, and write the log."""
    if recipe.model.measure_energy:
        trainer.add_callback(EmissionsCallback(recipe.model.energy_country))
    checkpoint = last_checkpoint(run.checkpoints(stage))
    with writing_to(run.root):
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    check_trained(trainer.model, f"The training of {stage}/")
    # Of an interrupted run only the last part was timed: that is no measurement of the whole.
    seconds = None if checkpoint else result.metrics["train_runtime"]
    write_json(run.log(stage), {"seconds": seconds, "log_history": trainer.state.log_history})
