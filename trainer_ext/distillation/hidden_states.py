"""Hidden states: distil the layers of a teacher into a student of any depth and width.

TinyBERT (Jiao et al. 2020, arXiv 1909.10351, section 3): mean squared error between the hidden states of paired layers,
after a learned linear map of the student's if the widths differ. CoFi (Xia, Zhong and Chen 2022, arXiv 2204.00408,
section 3.2) does the same during pruning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from .losses import mean_over_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def layer_pairs(
    student_depth: int, teacher_depth: int, teacher_layers: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """Return the pairs `(student layer, teacher layer)` to compare. Layer 0 is the output of the embeddings.

    Args:
        student_depth: number S of layers of the student.
        teacher_depth: number T of layers of the teacher.
        teacher_layers: layers of the teacher, each paired with the layer of the student at the same relative depth. By
            default every layer i of the student, 0 included, is paired with layer round(i * T / S) of the teacher.
    """
    if teacher_layers is None:
        return [(i, _rounded(i * teacher_depth, student_depth)) for i in range(student_depth + 1)]
    return [(_rounded(i * student_depth, teacher_depth), i) for i in teacher_layers]


def _rounded(numerator: int, denominator: int) -> int:
    """Return a fraction rounded half up; `round` would skip layers, because it rounds half to even."""
    return (2 * numerator + denominator) // (2 * denominator)


def hidden_state_mse(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the squared difference of hidden states: mean over the width, then the tokens of a text, then texts.

    Args:
        student: hidden states `[batch, tokens, width]`; computed in fp32 whatever their dtype.
        teacher: hidden states of the same shape.
        mask: bool `[batch, tokens]`, False for padding; None counts all tokens.
        weights: `[batch]`, how often each text counts; None counts each once.

    Raises:
        ValueError: If the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"Hidden states of the student {list(student.shape)} and of the teacher {list(teacher.shape)} differ in "
            "shape: attach a projection to the student (hidden_states.attach)."
        )
    # Not mse_loss: autograd cannot save the teacher's tensors, which are made in inference mode.
    return mean_over_rows((student.float() - teacher.float()).pow(2).mean(-1), mask=mask, weights=weights)


def projection(student_width: int, teacher_width: int) -> nn.Linear:
    """Return a linear map `[teacher width, student width]` without bias, orthogonal and the same at each call.

    Args:
        student_width: width of the student's hidden states.
        teacher_width: width of the teacher's hidden states.
    """
    linear = nn.utils.skip_init(nn.Linear, student_width, teacher_width, bias=False)
    nn.init.orthogonal_(linear.weight, generator=torch.Generator().manual_seed(0))
    return linear


def attach(model: PreTrainedModel, linear: nn.Linear) -> None:
    """Apply a linear map to the hidden states that a model returns in training. Idempotent.

    The map becomes `model.distillation`, so that it is optimized, saved in checkpoints and restored with the model. It
    acts inside `forward`, because DistributedDataParallel must see every use of a parameter there.

    Args:
        model: the student; changed in place.
        linear: the map, from `projection`.
    """
    if not hasattr(model, "distillation"):
        model.distillation = linear.to(device=model.device, dtype=model.dtype)
        model.register_forward_hook(_project)


def detach(model: PreTrainedModel) -> None:
    """Remove the map that `attach` added, if there is one."""
    if hasattr(model, "distillation"):
        del model.distillation
        for key in [key for key, hook in model._forward_hooks.items() if hook is _project]:
            del model._forward_hooks[key]


def _project(model, args, output) -> None:
    if model.training and output.hidden_states is not None:
        output.hidden_states = tuple(model.distillation(states) for states in output.hidden_states)
