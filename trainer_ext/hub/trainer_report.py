"""Make the compression report of a model that a script trained, from which its card is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass, fields
from typing import Any

from .. import report
from ..benchmark.size import count_parameters
from ..models.architectures import layers_of, prunable_weights, stock_type
from ..models.loading import head_of
from . import sanitize

NOT_QUALITY = ("loss", "runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
TRAINING_FIELDS = (
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
)
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
}


@dataclass(frozen=True)
class Before:
    """What the report needs from a model before it is compressed.

    Attributes:
        name: Its Hub id or the last part of its path.
        parameters: Its number of parameters.
        weights: Its number of prunable weights, None if the architecture cannot be pruned.
    """

    name: str | None
    parameters: report.Parameters
    weights: int | None

    @property
    def hub_id(self) -> str | None:
        """The name, if it is a Hub id."""
        return sanitize.hub_id(self.name)


def before(model) -> Before:
    """Return what the report needs from a model that is about to be compressed."""
    name = getattr(getattr(model, "config", None), "_name_or_path", None) or None  # a plain module has no config
    return Before(name and sanitize.last_part(name), count_parameters(model), _prunable(model))


def trainer_report(trainer, found: Before, *, repo_id: str, created: str | None = None) -> report.CompressionReport:
    """Return the report of a model that was trained by a script.

    Args:
        trainer: The trainer after training, with the small model.
        found: The model that the trainer was given.
        repo_id: The name of the small model.
        created: Time at which it was made; None for now.
    """
    model, args = trainer.model, trainer.args
    config, proof = model.config, trainer.compression
    family = stock_type(config.model_type)
    kind = config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")
    task = TASKS.get(head_of(config) or "")
    return report.CompressionReport(
        created=created or report.utc_now(),
        model=report.Model(
            baseline=found.name,
            compressed=repo_id,
            family=family,
            task=task,
            problem_type=kind if task == "text-classification" else None,
            labels=[config.id2label[index] for index in range(config.num_labels)],
        ),
        recipe=sanitize.fields(_recipe(trainer)),
        versions=sanitize.versions(),
        seed=args.seed,
        sparsity=_sparsity(trainer, found, compact=family != config.model_type),
        parameters=report.Pair(found.parameters, count_parameters(model)),
        quality=_quality(trainer),
        equivalence=proof and report.Equivalence(masked_vs_shrunk=proof.masked_vs_shrunk, rows=proof.rows),
    )


def _recipe(trainer) -> dict[str, Any]:
    """Return our arguments that are not at their default, and the main arguments of the training."""
    args = trainer.args
    ours = {field.name: field for field in fields(args) if field.name.startswith(("prune_", "distill_", "dense_"))}
    changed = {name: getattr(args, name) for name, field in ours.items() if getattr(args, name) != field.default}
    if trainer.distillation and not {"distill_teacher", "distill_teachers"} & changed.keys():
        changed["distill_teacher"] = "a model given by the script"
    return changed | {name: getattr(args, name) for name in TRAINING_FIELDS}


def _prunable(model) -> int | None:
    try:
        return prunable_weights(layers_of(model))
    except ValueError:  # an architecture that cannot be pruned; distillation alone needs no pruning
        return None


def _sparsity(trainer, found: Before, *, compact: bool) -> report.Sparsity | None:
    """Return the sparsity, counted in the two models; None if no weights were removed."""
    args, left = trainer.args, _prunable(trainer.model)
    if left is None or found.weights is None or left == found.weights:
        return None
    layers = layers_of(trainer.model)
    proof, by_sparsity = trainer.compression, args.pruning_spec is not None and args.prune_speedup is None
    return report.Sparsity(
        requested=args.prune_sparsity if by_sparsity else None,
        requested_speedup=args.prune_speedup,
        achieved=1 - left / found.weights,
        method=args.prune_method,
        structure="compact" if compact else "plain",
        heads=proof.heads if proof else [list(range(layer.heads)) for layer in layers],
        ffn_width=[layer.neurons for layer in layers],
        layers=len(layers),
        vocabulary=trainer.model.get_input_embeddings().num_embeddings,
    )


def _quality(trainer) -> report.Quality | None:
    """Return the last evaluations of the two models that the script made; the baseline's, if it was trained here."""
    if not isinstance(trainer.eval_dataset, Sized) or isinstance(trainer.eval_dataset, Mapping):
        return None
    dense, state, best = trainer._dense_state, trainer.state, trainer.args.load_best_model_at_end
    compressed = _scores(state.log_history[len(dense.log_history) :], state, best=best)
    if compressed is None:
        return None
    baseline = _scores(dense.log_history, dense, best=best)
    rows, main = len(trainer.eval_dataset), next(iter(compressed.by_name))
    return report.Quality(split="evaluation", rows=rows, baseline=baseline, compressed=compressed, metric=main)


def _scores(log: list[dict[str, Any]], state, *, best: bool) -> report.Scores | None:
    """Return the scores of the model that a training ended with, or None if it was not evaluated."""
    step = (state.best_global_step if best else None) or state.global_step
    logs = [entry for entry in log if "eval_loss" in entry and entry["step"] == step] or [{}]
    named = {name.removeprefix("eval_"): value for name, value in logs[-1].items() if name.startswith("eval_")}
    values = {
        name: float(value)
        for name, value in named.items()
        if name not in NOT_QUALITY and isinstance(value, int | float) and math.isfinite(value)
    }
    if not values:
        return None
    known = {name: values.pop(name) for name in ("accuracy", "macro_f1") if 0 <= values.get(name, -1) <= 1}
    return report.Scores(known.get("accuracy"), known.get("macro_f1"), values)
