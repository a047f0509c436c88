"""Check and measure a run: its two models become one report, and the energy of predictions can be added later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from transformers import AutoTokenizer

from .. import report
from ..benchmark.energy import BLOCKS, check_country, check_seconds, compare_inference
from ..benchmark.latency import compare_latency
from ..benchmark.size import count_parameters, weight_bytes
from ..callbacks import training_energy
from ..errors import CheckFailed, InputError
from ..hub import sanitize
from ..models.architectures import layers_of, prunable_weights, stock_type
from ..models.loading import auto_class, load_model
from ..pruning import masks
from ..pruning.verify import as_equivalence, check, smaller_of
from ..report.run_directory import RunDirectory
from ..tasks.dataset import Data
from ..tasks.evaluate import Answers, compare_on, predict_all
from ..tasks.registry import task_of
from ..utils.progress import progress_bar
from .recipe import Recipe
from .run_vocabulary import Encodings, RunVocabulary
from .text_length import TextLengths

LATENCY_REPEATS, LATENCY_WARMUP = 30, 5
FP32 = 4  # bytes of a parameter


def run_report(
    run: RunDirectory,
    recipe: Recipe,
    data: Data,
    encodings: Encodings,
    vocabulary: RunVocabulary | None = None,
    *,
    lengths: TextLengths | None = None,
    command: str | None,
    inference_energy: bool,
    console: Console,
    answers: Answers | None = None,
) -> report.CompressionReport:
    """Check and measure the two models of a run.

    Args:
        run: the folder of the run, with `baseline/` and `compressed/` complete.
        recipe: what was asked for.
        data: the texts, and the counts of dropped rows.
        encodings: the data as inputs of each model.
        vocabulary: the trimmed vocabulary, if tokens were left out.
        lengths: how many texts are cut, if they are counted.
        command: the command line, without private words.
        inference_energy: whether to measure the energy of predictions.
        console: for progress.
        answers: gets those of both models to each test set, unless they are numbers.

    Raises:
        CheckFailed: Masked, shrunk and reloaded model do not compute the same.
    """
    links = check(run.root)
    if broken := [link for link in links if not link.holds]:
        worst = max(broken, key=lambda link: link.difference)
        raise CheckFailed(
            f"{worst.name} does not hold: logits differ by {worst.difference:.1e}, above {worst.allowed:.1e}."
        )
    task = task_of(recipe.data)
    models = {
        name: auto_class(task.head).from_pretrained(folder).eval()
        for name, folder in (("baseline", run.baseline), ("compressed", run.compressed))
    }
    rows = sum(len(split) for encoded in vars(encodings).values() for split in encoded.tests.values())
    options, sizes = recipe.model, recipe.model.latency_batch_sizes
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns, console=console) as progress:
        bar = progress.add_task("answers", total=rows)
        qualities, found = _qualities(run, recipe, models, data, encodings, lambda n: progress.advance(bar, n))
        # In another batch, numbers have other last digits. So the numbers of a file are compared with those that the model
        # gives in the same batches, and only classes, tags and texts are handed on.
        if answers is not None and task.same is not None:
            answers.update(found)
        bar = progress.add_task("latency", total=len(sizes) * (LATENCY_REPEATS + LATENCY_WARMUP))
        latency = compare_latency(
            *models.values(),
            batch_sizes=sizes,
            sequence_length=options.latency_sequence_length,
            repeats=LATENCY_REPEATS,
            warmup=LATENCY_WARMUP,
            on_step=lambda: progress.advance(bar),
        )
        cost = _cost(run, "compressed")
        inference = None
        if inference_energy:
            bar = progress.add_task("energy", total=len(models) * BLOCKS)
            inference = compare_inference(
                *models.values(),
                batch_size=sizes[0],
                sequence_length=options.latency_sequence_length,
                extra_training_kwh=cost.energy_kwh,
                seconds=options.energy_seconds,
                country=options.energy_country,
                on_block=lambda: progress.advance(bar),
            )
    published = sanitize.fields(recipe.resolved)
    parameters = report.Pair(*(count_parameters(model) for model in models.values()))
    whole = vocabulary.whole if vocabulary else None  # of the baseline before its vocabulary was cut
    return report.CompressionReport(
        created=report.utc_now(),
        recipe=published,
        command=command,
        versions=sanitize.versions(),
        seed=recipe.training.seed,
        model=report.Model(
            baseline=published["model_name_or_path"],
            compressed="compressed",
            family=stock_type(models["baseline"].config.model_type),
            task=task.name,
            problem_type=task.problem_type,
            labels=data.labels,
        ),
        data=report.Data(
            train_rows=len(data.train),
            dropped=data.dropped,
            texts=lengths.texts if lengths else None,
            cut=lengths.cut if lengths else None,
        ),
        sparsity=_sparsity(run, recipe, **models),
        vocabulary=vocabulary.numbers if vocabulary else None,
        parameters=replace(parameters, baseline=whole or parameters.baseline),
        bytes=report.Pair(FP32 * whole.total if whole else weight_bytes(run.baseline), weight_bytes(run.compressed)),
        quality=qualities[0],
        other_quality=qualities[1:],
        latency=latency,
        equivalence=as_equivalence(links) if run.masked.is_dir() else None,
        training=report.Pair(_cost(run, "baseline"), cost),
        inference=inference,
    )


def _qualities(
    run: RunDirectory,
    recipe: Recipe,
    models: dict,
    data: Data,
    encodings: Encodings,
    on_rows: Callable[[int], None],
) -> tuple[list[report.Quality], Answers]:
    """Return the quality on each test set, and the answers that it was computed from."""
    task, found, known = task_of(recipe.data), [], Answers()
    folders = (run.baseline, run.compressed)
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in folders]
    both = vars(encodings).values()
    logits = [
        dict(zip(encoded.tests, predict_all(model, encoded.tests, tokenizer, on_rows=on_rows), strict=True))
        for model, tokenizer, encoded in zip(models.values(), tokenizers, both, strict=True)
    ]
    for name, rows in data.tests.items():
        answers = [
            task.answer(given[name], encoded.tests[name], rows, data.labels, recipe.data)
            for given, encoded in zip(logits, both, strict=True)
        ]
        known |= {(folder.name, name): each for folder, each in zip(folders, answers, strict=True)}
        found.append(
            compare_on(
                name,
                rows,
                answers[0],
                answers[1],
                task=task,
                args=recipe.data,
                labels=data.labels,
                metrics=recipe.model.metrics,
            )
        )
    return found, known


def _sparsity(run: RunDirectory, recipe: Recipe, baseline, compressed) -> report.Sparsity | None:
    """Return the requested and the achieved sparsity, counted in the two models and not taken from the training."""
    args = recipe.training
    layers, dense = layers_of(compressed), layers_of(baseline)
    achieved = 1.0 - prunable_weights(layers) / prunable_weights(dense)
    if args.pruning_spec is None and not achieved and recipe.vocabulary.vocab_size is None:
        return None
    heads = smaller_of(masks.load_masked(run.masked))[1] if run.masked.is_dir() else None
    by_sparsity = args.pruning_spec is not None and args.prune_speedup is None
    return report.Sparsity(
        requested=args.prune_sparsity if by_sparsity else None,
        requested_speedup=args.prune_speedup,
        achieved=achieved,
        method=args.prune_method,
        structure="plain" if stock_type(compressed.config.model_type) == compressed.config.model_type else "compact",
        heads=heads if heads is not None else [list(range(layer.heads)) for layer in layers],
        ffn_width=[layer.neurons for layer in layers],
        layers=compressed.config.num_hidden_layers,
        vocabulary=compressed.config.vocab_size,
    )


def _cost(run: RunDirectory, stage: str) -> report.TrainingCost:
    log = json.loads(run.log(stage).read_text(encoding="utf-8"))
    return report.TrainingCost(log["seconds"], *training_energy(log["log_history"]))


def measure_run(
    path: str | Path, *, country: str | None, seconds: float, console: Console
) -> report.CompressionReport:
    """Measure the energy of predictions of both models, in batches of the size of the first latency row.

    Args:
        path: a finished run; its compression.json is written again, with `inference`.
        country: ISO 3166 alpha-3 code for grams of CO2; None measures kWh alone.
        seconds: per model.
        console: for progress.

    Returns:
        The report with the energy.

    Raises:
        InputError: There is no finished run, too few seconds, an unknown country, or codecarbon is not installed.
    """
    check_country(country)
    check_seconds(seconds)
    run = RunDirectory(Path(path).expanduser())
    if not (run.report.is_file() and run.baseline.is_dir() and run.compressed.is_dir()):
        raise InputError(f"{path} holds no finished run; name the output_dir of trainer-ext compress.")
    numbers = report.load(run.root)
    if not numbers.latency:
        raise InputError(f"{run.report} has no latency row to take the batch size from; run it again.")
    models = [
        load_model(folder, option="The model", way_out="name a finished run").eval()
        for folder in (run.baseline, run.compressed)
    ]
    cost = (numbers.training or report.Pair()).compressed or report.TrainingCost()
    with progress_bar(console=console) as progress:
        bar = progress.add_task("energy", total=len(models) * BLOCKS)
        found = compare_inference(
            *models,
            batch_size=numbers.latency[0].batch_size,
            sequence_length=numbers.latency[0].sequence_length,
            extra_training_kwh=cost.energy_kwh,
            seconds=seconds,
            country=country,
            on_block=lambda: progress.advance(bar),
        )
    numbers = replace(numbers, inference=found)
    report.save(numbers, run.root)
    return numbers
