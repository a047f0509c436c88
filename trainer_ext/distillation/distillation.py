"""`Distillation`: the loss terms that a student learns from its teachers, and the weight of each.

The loss of a step is

    (1 - distill_alpha) * task + distill_alpha * distill + distill_hidden * hidden + distill_relations * relations

where `distill` compares logits (Hinton, Vinyals and Dean 2015, arXiv 1503.02531), `hidden` compares hidden states, and
`relations` compares the relations between tokens. The distributions of several teachers are averaged; hidden states and
relations are those of the first teacher.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from ..errors import InputError, one_line
from ..models.architectures import config_of
from . import hidden_states
from .collator import check_comparable
from .hidden_states import hidden_state_mse, layer_pairs
from .losses import labels_per_row, named_outputs, not_padding, soft_target_for
from .relations import Projections, heads_of, projection_outputs, relation_heads, relation_kl
from .teacher_cache import CachedTeacher
from .teachers import ChanceCheck, LiveTeacher, Precision, check_teacher, check_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..training_args import DistillPruneTrainingArguments


class Seen(NamedTuple):
    """What a student computed while its loss was computed.

    Attributes:
        outputs: the outputs of each forward pass with gradients.
        projections: queries, keys and values of the layers that are compared.
    """

    outputs: list[Any]
    projections: Projections


class Distillation:
    """The teachers of a student, and the loss terms that come from them.

    Every method takes `options`, an object with the `distill_*` fields. They are read at each call, so that they may
    change between runs.

    Args:
        student: the model that learns.
        teachers: models for the same task; frozen here.
        options: see above.
        tokenizer: the tokenizer of the rows, or None. Teachers must use the same one; it is part of the cache's key.
        own_tokens: whether the teachers use a tokenizer other than the student's: then `tokenizer` is theirs, and rows hold both
            encodings.

    Raises:
        InputError: If a teacher has other labels or another tokenizer than the student, or lacks the layers asked for.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        teachers: Sequence[PreTrainedModel],
        options: DistillPruneTrainingArguments,
        tokenizer: Any = None,
        *,
        own_tokens: bool = False,
    ):
        if own_tokens:
            check_comparable(student, options)
        _check_names(student, options)
        for teacher in teachers:
            check_teacher(teacher, student, own_tokens=own_tokens)
            check_tokenizer(teacher, None if own_tokens else student, tokenizer)
        folder = options.distill_cache_dir
        self.teachers = [
            LiveTeacher(model, own_tokens=own_tokens)
            if folder is None
            else CachedTeacher(model, folder, tokenizer, own_tokens=own_tokens)
            for model in teachers
        ]
        self._config = getattr(student, "config", None)
        self._checks = [ChanceCheck() for _ in teachers]
        self._projection: torch.nn.Linear | None = None
        layers = options.distill_layers
        if layers and max(layers) > (depth := config_of(teachers[0]).num_hidden_layers):
            raise InputError(
                f"distill_layers={layers}, but the teacher has {depth} layers: name layers in [0, {depth}], "
                "0 for the output of the embeddings."
            )
        self._related: list[tuple[int, int]] = []
        if options.distill_relations:
            _check_relations(options)
            self._related = _related_layers(student, teachers[0], options)
            self._heads = config_of(teachers[0]).num_attention_heads

    def attach(self, student: PreTrainedModel, options: DistillPruneTrainingArguments) -> None:
        """Add the learned map to the teacher's width to the student, if the widths differ. Idempotent."""
        if not options.distill_hidden:
            return
        ours, theirs = (config_of(model).hidden_size for model in (student, self.teachers[0].model))
        if ours != theirs:
            # Kept: a second train() goes on with what it learned, and so does the optimizer.
            self._projection = self._projection or hidden_states.projection(ours, theirs)
            hidden_states.attach(student, self._projection)

    @property
    def parameters(self) -> dict[int, torch.nn.Parameter]:
        """The parameters that are learned beside the student, by identity: those of the map to the teacher's width."""
        return {} if self._projection is None else {id(p): p for p in self._projection.parameters()}

    def detach(self, student: PreTrainedModel) -> None:
        """Remove the learned map, which only training needs."""
        hidden_states.detach(student)

    @contextlib.contextmanager
    def watch(
        self, model: torch.nn.Module, student: PreTrainedModel, options: DistillPruneTrainingArguments
    ) -> Iterator[Seen]:
        """Record what a student computes while its loss is computed; pass the result to `terms`.

        By hooks, since the `compute_loss` of a script chooses the inputs itself and need not return the outputs.

        Args:
            model: the student, possibly wrapped, as `compute_loss` calls it.
            student: the student itself.
            options: see the class.
        """
        outputs: list[Any] = []

        def ask(module: Any, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return args, inputs | _inner_outputs(options)

        def record(module: Any, args: Any, output: Any) -> None:
            if torch.is_grad_enabled():
                outputs.append(named_outputs(output))

        handles = [model.register_forward_pre_hook(ask, with_kwargs=True), model.register_forward_hook(record)]
        try:
            with projection_outputs(student, [number for number, _ in self._related]) as projections:
                yield Seen(outputs, projections)
        finally:
            for handle in handles:
                handle.remove()

    def terms(
        self, seen: Seen, batch: Mapping[str, Any], options: DistillPruneTrainingArguments, precision: Precision
    ) -> dict[str, torch.Tensor]:
        """Return the loss terms of a batch by name, scalars; each is 0 if student and teacher agree.

        Each forward pass of this batch counts the same: R-Drop, for instance, makes two for one loss.

        Args:
            seen: the result of `watch`.
            batch: the inputs, with labels.
            options: see the class.
            precision: function that returns the autocast context of the student.

        Raises:
            ValueError: If the student was not called, or not with this batch.
        """
        if not seen.outputs:
            raise ValueError(
                "compute_loss did not call model(...), only parts of it or under no_grad, so that the student has no "
                "outputs to compare with the teacher's: call model(**inputs) in it, or leave the teacher out."
            )
        first, *others = self.teachers
        with projection_outputs(first.model, [number for _, number in self._related]) as taught:
            answers = [first.answer(batch, precision, **_inner_outputs(options))]
        answers += [teacher.answer(batch, precision) for teacher in others]
        for check, answer in zip(self._checks, answers, strict=True):
            check.see(answer, batch)
        target = soft_target_for(seen.outputs[0], self._config, batch.get("labels"))
        passes = seen.outputs
        if len(passes) > 1:  # those of other rows, such as unlabelled ones, are no business of the teacher
            name = target.outputs[0]
            passes = [one for one in passes if name in one and one[name].shape == answers[0][name].shape] or passes
        losses = [target(one, answers, batch, temperature=options.distill_temperature) for one in passes]
        terms = {"loss_distill": _mean(losses)}
        if options.distill_hidden:
            terms["loss_hidden"] = _mean([_hidden_term(one, answers[0], batch, options) for one in passes])
        if self._related:
            terms["loss_relations"] = self._relations_term(seen.projections, taught, batch)
        return terms

    def try_terms(
        self,
        student: PreTrainedModel,
        inputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        options: DistillPruneTrainingArguments,
    ) -> None:
        """Compute the loss terms of a batch before the training, to see whether student and teachers fit together.

        Args:
            student: the model that learns.
            inputs: those of the student, with labels.
            batch: the same, with the columns of teachers that have their own tokenizer.
            options: see the class.

        Raises:
            ValueError: If they do not.
        """
        self.attach(student, options)
        was_training = student.training
        try:
            with self.watch(student, student, options) as seen:
                student.eval()(**inputs)
            self.terms(seen, batch, options, contextlib.nullcontext)
        except Exception as error:  # the code of users can raise anything
            raise ValueError(
                f"Before the training: the teacher cannot be compared with this {type(student).__name__} "
                f"({type(error).__name__}: {one_line(error)}). See distill_teacher, distill_hidden and distill_relations."
            ) from error
        finally:
            student.train(was_training)

    def skip_chance_check(self) -> None:
        """Do not judge the answers of the teachers: they are no better than chance before a training of theirs."""
        for check in self._checks:
            check.skip()

    def weights(self, options: DistillPruneTrainingArguments) -> dict[str, float]:
        """Return the weight of every term, including that of the task."""
        return {
            "loss_task": 1 - options.distill_alpha,
            "loss_distill": options.distill_alpha,
            "loss_hidden": cast(float, options.distill_hidden),
            "loss_relations": options.distill_relations,
        }

    def _relations_term(self, student: Projections, teacher: Projections, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the sum over queries, keys and values, mean over the layers of the student that have heads."""
        mask, weights = not_padding(batch), labels_per_row(batch)
        terms = []
        for student_layer, teacher_layer in self._related:
            # A layer of the student may have lost all its heads to pruning; those of the teacher have some.
            for ours, theirs in zip(student(student_layer) or (), teacher(teacher_layer) or (), strict=False):
                heads = relation_heads(ours.shape[-1], theirs.shape[-1], self._heads)
                terms.append(relation_kl(ours, theirs, heads=heads, mask=mask, weights=weights))
        return 3 * torch.stack(terms).mean() if terms else batch["input_ids"].new_zeros((), dtype=torch.float32)


def _check_names(student: PreTrainedModel, options: DistillPruneTrainingArguments) -> None:
    answers = type(student).__name__.endswith("QuestionAnswering")
    if getattr(getattr(student, "config", None), "return_dict", True) or not (options.distill_hidden or answers):
        return
    raise InputError(
        "The model has return_dict=False in its config, so its outputs have no names, and those to compare with the teacher's "
        "cannot be told apart: set model.config.return_dict = True, or open the model with return_dict=True."
    )


def _check_relations(options: DistillPruneTrainingArguments) -> None:
    if options.torch_compile:
        raise InputError(
            f"distill_relations={options.distill_relations} reads the projections inside layers, which torch_compile "
            "hides; leave one of the two out."
        )
    if (cast(dict, options.gradient_checkpointing_kwargs) or {}).get("use_reentrant"):
        raise InputError(
            f"distill_relations={options.distill_relations} needs gradients inside layers, which reentrant gradient "
            "checkpointing hides; set use_reentrant to false in gradient_checkpointing_kwargs."
        )


def _related_layers(
    student: PreTrainedModel, teacher: PreTrainedModel, options: DistillPruneTrainingArguments
) -> list[tuple[int, int]]:
    """Return `(student layer, teacher layer)` whose relations are compared, from 1 on; by default the last of each.

    Relations to a teacher layer without heads would all be alike, and pull the student to uniform attention.
    """
    heads, layers = heads_of(teacher), options.distill_layers
    inner = [number for number in layers or [len(heads)] if number > 0]
    if not inner:
        raise InputError(f"distill_layers={layers} names the embeddings only, which have no relations; name a layer.")
    if not any(heads):
        raise InputError(
            f"distill_relations={options.distill_relations}, but the teacher has no attention heads in any layer; set "
            "distill_relations to 0."
        )
    if empty := [number for number in inner if not heads[number - 1]]:
        with_heads = [number for number, count in enumerate(heads, start=1) if count]
        raise InputError(
            f"distill_relations={options.distill_relations}, but layer {empty[0]} of the teacher has no attention heads; "
            f"set distill_layers to layers that have some: {with_heads}."
        )
    return [(max(ours, 1), theirs) for ours, theirs in layer_pairs(len(heads_of(student)), len(heads), inner)]


def _inner_outputs(options: DistillPruneTrainingArguments) -> dict[str, bool]:
    """Return the keyword arguments that make a model return more than its logits."""
    return {"output_hidden_states": True} if options.distill_hidden else {}


def _mean(losses: list[torch.Tensor]) -> torch.Tensor:
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def _hidden_term(
    outputs: Mapping[str, Any],
    answer: Mapping[str, Any],
    batch: Mapping[str, Any],
    options: DistillPruneTrainingArguments,
) -> torch.Tensor:
    student, teacher = outputs["hidden_states"], answer["hidden_states"]
    mask, weights = not_padding(batch), labels_per_row(batch)
    pairs = layer_pairs(len(student) - 1, len(teacher) - 1, options.distill_layers)
    return torch.stack([hidden_state_mse(student[i], teacher[j], mask=mask, weights=weights) for i, j in pairs]).mean()
