"""Compress: a recipe becomes a run, stage by stage, each stage skipped where an earlier start finished it."""

from __future__ import annotations

import copy
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer

from . import masks, report
from ._version import __version__
from .assess import predict, quality
from .baseline import open_baseline
from .check import TOLERANCE, as_equivalence, check
from .data import Data, tokenize
from .errors import InputError
from .families import stock_type
from .latency import compare_latency
from .measure import count_parameters, weight_bytes
from .recipe import Recipe
from .run_directory import RunDirectory, last_checkpoint, open_run, whole_folder, write_json
from .shrink import shrink
from .teachers import check_teacher, load_teacher
from .trainer import DistillPruneTrainer

LATENCY_REPEATS, LATENCY_WARMUP = 30, 5
# Fields whose values are paths of this machine: a report is published, so of these it holds the last part only.
PATH_FIELDS = ("data_dir", "model_name_or_path", "distill_teacher")


class CheckFailed(RuntimeError):
    """The forms of the compressed model do not compute the same function."""


def compress(recipe: Recipe, *, resume: bool = False, command: str | None = None, console: Console | None = None):
    """Run a recipe: baseline, compression, check, measurement.

    Args:
        recipe: what to do; its `output_dir` is the folder of the run.
        resume: continue an interrupted run there.
        command: the command line, written into the report.
        console: where headings and progress go; standard error by default.

    Returns:
        `(report, run)`: the numbers and the folder that holds everything.

    Raises:
        InputError: something given cannot work; found before training starts.
        CheckFailed: the shrunk model is not the masked one.
    """
    console = console or Console(stderr=True)
    _check_strategy(recipe)
    model, tokenizer, data, epochs = open_baseline(recipe)
    encoded = tokenize(data, tokenizer, max_length=recipe.data.max_length)
    teacher = _check_before_training(recipe, model)
    run = open_run(recipe.training.output_dir, recipe.resolved, resume=resume)
    if not run.report.exists():
        _train_baseline(run, recipe, model, tokenizer, encoded, epochs, console)
        _train_compressed(run, recipe, encoded, teacher, console)
        numbers = _measure(run, recipe, data, encoded, command, console)
        report.save(numbers, run.root)
        shutil.rmtree(run.root / "checkpoints", ignore_errors=True)
    return report.load(run.root), run


def _check_strategy(recipe: Recipe) -> None:
    args = recipe.training
    if args.pruning_spec is None and args.distill_teacher is None:
        raise InputError("Nothing to do: give prune_method (movement or magnitude) or distill_teacher.")
    if args.save_strategy == "no" or args.save_only_model:
        raise InputError("save_strategy=no and save_only_model leave nothing to resume from; use 'steps' or 'epoch'.")


def _check_before_training(recipe: Recipe, model):
    """Refuse now what would fail after hours: layout, target and teacher. Returns the teacher, if it is a model."""
    args = recipe.training
    if args.n_gpu > 1:
        raise InputError(
            f"{args.n_gpu} devices in one process (DataParallel) cannot work; set CUDA_VISIBLE_DEVICES to one."
        )
    if args.pruning_spec:
        with torch.device("meta"):
            outline = type(model)(copy.deepcopy(model.config))
        try:
            masks.attach(outline, args.pruning_spec)
        except ValueError as error:
            raise InputError(str(error)) from error
    if args.distill_teacher in (None, "self"):
        return None
    teacher = load_teacher(args.distill_teacher)
    check_teacher(teacher, model)
    return teacher


def _train_baseline(
    run: RunDirectory, recipe: Recipe, model, tokenizer, encoded: Data, epochs: float, console: Console
):
    if run.baseline.is_dir():
        return
    seconds = None
    if epochs:
        console.rule(f"Baseline: {epochs:g} epochs on {len(encoded.train):,} texts")
        args = _arguments(
            recipe,
            run,
            "baseline",
            num_train_epochs=epochs,
            max_steps=-1,
            prune_method="none",
            distill_teacher=None,
        )
        trainer = Trainer(model, args, train_dataset=encoded.train, processing_class=tokenizer)
        seconds = _train(trainer, run, "baseline")
    with whole_folder(run.baseline) as folder:
        model.to("cpu").save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    shutil.rmtree(run.checkpoints("baseline"), ignore_errors=True)
    if seconds is None:
        write_json(run.log("baseline"), {"seconds": None, "log_history": []})


def _train_compressed(run: RunDirectory, recipe: Recipe, encoded: Data, teacher, console: Console) -> None:
    if run.compressed.is_dir():
        return
    model, tokenizer = _open(run.baseline), AutoTokenizer.from_pretrained(run.baseline)
    # A teacher that is a model already is handed over as one.
    args = _arguments(recipe, run, "compressed", **({"distill_teacher": None} if teacher is not None else {}))
    asked = f"{args.prune_sparsity:.0%} of the encoder" if args.pruning_spec else "no pruning"
    console.rule(f"Compression: {args.prune_method}, {asked}, teacher {recipe.training.distill_teacher or 'none'}")
    trainer = DistillPruneTrainer(
        model, args, train_dataset=encoded.train, processing_class=tokenizer, teacher=teacher
    )
    _train(trainer, run, "compressed")
    if trainer.compression is not None:
        checkpoint = trainer.state.best_model_checkpoint if args.load_best_model_at_end else None
        checkpoint = Path(checkpoint) if checkpoint else last_checkpoint(run.checkpoints("compressed"))
        with whole_folder(run.masked) as folder:
            for name in ("config.json", "model.safetensors"):
                shutil.copy2(checkpoint / name, folder)
    with whole_folder(run.compressed) as folder:
        trainer.model.to("cpu").save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _arguments(recipe: Recipe, run: RunDirectory, stage: str, **changes: Any):
    """The training arguments of a stage; pinned memory only where there is a device to copy to."""
    pin = recipe.training.dataloader_pin_memory and torch.accelerator.is_available()
    return recipe.training_arguments(
        output_dir=str(run.checkpoints(stage)), dataloader_pin_memory=pin, report_to="none", **changes
    )


def _train(trainer: Trainer, run: RunDirectory, stage: str) -> float | None:
    """Train from the last complete checkpoint, if there is one; write the log; return the seconds it took."""
    checkpoint = last_checkpoint(run.checkpoints(stage))
    result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    # Of an interrupted run only the last part was timed: that is no measurement of the whole.
    seconds = None if checkpoint else result.metrics["train_runtime"]
    write_json(run.log(stage), {"seconds": seconds, "log_history": trainer.state.log_history})
    return seconds


def _measure(run: RunDirectory, recipe: Recipe, data: Data, encoded: Data, command: str | None, console: Console):
    console.rule("Check and measurement")
    links = check(run.root)
    if not all(link.holds for link in links):
        worst = max(links, key=lambda link: link.difference)
        raise CheckFailed(
            f"{worst.name} does not hold: logits differ by {worst.difference:.1e}, above {TOLERANCE:.0e}."
        )
    models = {"baseline": _open(run.baseline), "compressed": _open(run.compressed)}
    rows = sum(len(split) for split in encoded.tests.values())
    options, sizes = recipe.model, recipe.model.latency_batch_sizes
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("answers", total=2 * rows)
        qualities = _qualities(run, models, encoded, options.metrics, lambda n: progress.advance(task, n))
        task = progress.add_task("latency", total=len(sizes) * (LATENCY_REPEATS + LATENCY_WARMUP))
        latency = compare_latency(
            models["baseline"],
            models["compressed"],
            batch_sizes=sizes,
            sequence_length=options.latency_sequence_length,
            repeats=LATENCY_REPEATS,
            warmup=LATENCY_WARMUP,
            on_step=lambda: progress.advance(task),
        )
    return report.CompressionReport(
        created=report.utc_now(),
        recipe=_publishable(recipe.resolved),
        command=command,
        versions=_versions(),
        seed=recipe.training.seed,
        model=report.Model(
            baseline=Path(options.model_name_or_path).name
            if Path(options.model_name_or_path).exists()
            else options.model_name_or_path,
            compressed="compressed",
            family=stock_type(models["baseline"].config.model_type),
            task="text-classification",
            problem_type="single_label_classification",
            labels=encoded.labels,
        ),
        data=report.Data(train_rows=len(encoded.train), dropped=data.dropped),
        sparsity=_sparsity(run, recipe, models["compressed"]),
        parameters=report.Pair(*(count_parameters(model) for model in models.values())),
        bytes=report.Pair(weight_bytes(run.baseline), weight_bytes(run.compressed)),
        quality=qualities[0],
        other_quality=qualities[1:],
        latency=latency,
        equivalence=as_equivalence(links) if run.masked.is_dir() else None,
        training=report.Pair(_cost(run, "baseline"), _cost(run, "compressed")),
    )


def _qualities(
    run: RunDirectory, models: dict, encoded: Data, metrics: Sequence[str], on_rows
) -> list[report.Quality]:
    collator = DataCollatorWithPadding(AutoTokenizer.from_pretrained(run.baseline))
    found = []
    for name, split in encoded.tests.items():
        answers = [predict(model, split, collator=collator, on_rows=on_rows) for model in models.values()]
        found.append(quality(name, *answers, split["labels"], labels=encoded.labels, metrics=metrics))
    return found


def _sparsity(run: RunDirectory, recipe: Recipe, compressed) -> report.Sparsity | None:
    if not run.masked.is_dir():
        return None
    masked = masks.load_masked(run.masked)
    achieved = masks.current_sparsity(masked)
    _, heads, neurons = shrink(masks.merge(masked))
    return report.Sparsity(
        requested=recipe.training.prune_sparsity,
        achieved=achieved,
        method=recipe.training.prune_method,
        structure="compact",
        heads=heads,
        ffn_width=[len(ids) for ids in neurons],
        layers=len(heads),
        vocabulary=compressed.config.vocab_size,
    )


def _cost(run: RunDirectory, stage: str) -> report.TrainingCost:
    import json

    return report.TrainingCost(seconds=json.loads(run.log(stage).read_text(encoding="utf-8"))["seconds"])


def _open(folder: Path):
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


def _publishable(resolved: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in resolved.items() if "token" not in name and name != "output_dir"}
    for name in PATH_FIELDS:
        value = shown.get(name)
        if value and Path(value).expanduser().exists():
            shown[name] = Path(value).name
    return shown


def _versions() -> dict[str, str]:
    import accelerate
    import datasets
    import transformers

    packages = {module.__name__: str(module.__version__) for module in (accelerate, datasets, torch, transformers)}
    return {"python": platform.python_version(), "trainer_ext": __version__, **packages}
