"""Distillation: what a student learns from its teachers, as named loss terms and the weight of each.

The loss of a step is

    (1 - distill_alpha) * task + distill_alpha * distill + distill_hidden * hidden + distill_relations * relations

where `distill` compares answers (Hinton, Vinyals and Dean 2015, arXiv 1503.02531), `hidden` the hidden states and
`relations` the relations between tokens. Answers of several teachers are averaged; inner states are those of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from ..errors import InputError
from . import hidden_states
from .collator import check_comparable
from .hidden_states import hidden_state_mse, layer_pairs
from .losses import labels_per_row, not_padding, soft_target_for
from .relations import Projections, depth_of, projection_outputs, relation_heads, relation_kl
from .teacher_cache import CachedTeacher
from .teachers import LiveTeacher, Precision, check_teacher, check_tokenizer


class Distillation:
    """A student's teachers, and the loss terms that come from them.

    Every method takes `options`: whatever has the `distill_*` fields. They are read where they are used, so that they
    may change between runs.

    Args:
        student: the model that learns.
        teachers: models that answer the same question; frozen here.
        options: see above.
        tokenizer: the tokenizer of the rows, or None; a teacher must have the same, and a cache is known by it.
        own_tokens: whether that is the teachers' tokenizer and not the student's: the rows bring both encodings.

    Raises:
        InputError: a teacher whose answers cannot be compared with the student's, that has another tokenizer, or that
            lacks the layers asked for.
    """

    def __init__(
        self, student, teachers: Sequence[torch.nn.Module], options, tokenizer=None, *, own_tokens: bool = False
    ):
        if own_tokens:
            check_comparable(student, options)
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
        self._config = student.config
        self._projection: torch.nn.Linear | None = None
        if options.distill_layers:
            _check_depth(options.distill_layers, teachers[0].config.num_hidden_layers)
        self._related: list[tuple[int, int]] = []
        if options.distill_relations:
            _check_relations(options)
            self._related = _related_layers(student, teachers[0], options.distill_layers)
            self._heads = teachers[0].config.num_attention_heads

    def attach(self, student, options) -> None:
        """Give the student what it learns with: a map to the teacher's width, where that is another. Idempotent."""
        if not options.distill_hidden:
            return
        ours, theirs = (model.config.hidden_size for model in (student, self.teachers[0].model))
        if ours != theirs:
            # Kept: a second train() goes on with what it learned, and so does the optimizer.
            self._projection = self._projection or hidden_states.projection(ours, theirs)
            hidden_states.attach(student, self._projection)

    @property
    def parameters(self) -> dict[int, torch.nn.Parameter]:
        """What is learned beside the student, by identity: the map to the teacher's width, where there is one."""
        return {} if self._projection is None else {id(p): p for p in self._projection.parameters()}

    def detach(self, student) -> None:
        """Take away what only training needs."""
        hidden_states.detach(student)

    def inputs(self, options) -> dict[str, bool]:
        """What the student is asked for besides its answer."""
        return {"output_hidden_states": True} if options.distill_hidden else {}

    def watch(self, student) -> AbstractContextManager[Projections]:
        """See the queries, keys and values of the student while it answers a batch; what comes out goes to `terms`."""
        return projection_outputs(student, [number for number, _ in self._related])

    def terms(
        self,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        options,
        precision: Precision,
        seen: Projections,
    ) -> dict[str, torch.Tensor]:
        """The loss terms of a batch by name, scalars; each is 0 where student and teacher agree.

        Args:
            outputs: the student's outputs.
            batch: its inputs, with labels.
            options: see the class.
            precision: gives the autocast context of the student.
            seen: what `watch` gave.
        """
        target = soft_target_for(outputs, self._config, batch.get("labels"))
        first, *others = self.teachers
        with projection_outputs(first.model, [number for _, number in self._related]) as taught:
            answers = [first.answer(batch, precision, **self.inputs(options))]
        answers += [teacher.answer(batch, precision) for teacher in others]
        terms = {"loss_distill": target(outputs, answers, batch, temperature=options.distill_temperature)}
        if options.distill_hidden:
            terms["loss_hidden"] = _hidden_term(outputs, answers[0], batch, options)
        if self._related:
            terms["loss_relations"] = self._relations_term(seen, taught, batch)
        return terms

    def weights(self, options) -> dict[str, float]:
        """The weight of every term, the task's included."""
        return {
            "loss_task": 1 - options.distill_alpha,
            "loss_distill": options.distill_alpha,
            "loss_hidden": options.distill_hidden,
            "loss_relations": options.distill_relations,
        }

    def _relations_term(self, seen: Projections, taught: Projections, batch) -> torch.Tensor:
        """The sum over queries, keys and values, mean over the layers of the student that have any."""
        mask, weights = not_padding(batch), labels_per_row(batch)
        terms = []
        for ours, theirs in self._related:
            for student, teacher in zip(seen(ours) or (), taught(theirs), strict=False):
                heads = relation_heads(student.shape[-1], teacher.shape[-1], self._heads)
                terms.append(relation_kl(student, teacher, heads=heads, mask=mask, weights=weights))
        # A student may have lost all attention of these layers to pruning.
        return 3 * torch.stack(terms).mean() if terms else batch["input_ids"].new_zeros((), dtype=torch.float32)


def _check_depth(layers: list[int], depth: int) -> None:
    if max(layers) > depth:
        raise InputError(
            f"distill_layers={layers}, but the teacher has {depth} layers: name layers in [0, {depth}], "
            "0 for the output of the embeddings."
        )


def _check_relations(options) -> None:
    if options.torch_compile:
        raise InputError(
            f"distill_relations={options.distill_relations} watches the inside of layers, which torch_compile hides; "
            "leave one of the two out."
        )
    if (options.gradient_checkpointing_kwargs or {}).get("use_reentrant"):
        raise InputError(
            f"distill_relations={options.distill_relations} needs gradients inside of layers, which reentrant gradient "
            "checkpointing hides; set use_reentrant to false in gradient_checkpointing_kwargs."
        )


def _related_layers(student, teacher, layers: list[int] | None) -> list[tuple[int, int]]:
    """`(student layer, teacher layer)` whose relations are compared, from 1 on; by default the last of each."""
    depth = depth_of(teacher)
    inner = [number for number in layers or [depth] if number > 0]
    if not inner:
        raise InputError(f"distill_layers={layers} names the embeddings only, which have no relations; name a layer.")
    return [(max(ours, 1), theirs) for ours, theirs in layer_pairs(depth_of(student), depth, inner)]


def _hidden_term(outputs, answer, batch, options) -> torch.Tensor:
    student, teacher = outputs["hidden_states"], answer["hidden_states"]
    mask, weights = not_padding(batch), labels_per_row(batch)
    pairs = layer_pairs(len(student) - 1, len(teacher) - 1, options.distill_layers)
    return torch.stack([hidden_state_mse(student[i], teacher[j], mask=mask, weights=weights) for i, j in pairs]).mean()
