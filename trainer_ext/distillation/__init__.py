"""Distillation: what a student learns from a teacher, as pure losses, and where the teacher's outputs come from."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .collator import TeacherCollator as TeacherCollator, encode_for_teacher as encode_for_teacher
    from .hidden_states import hidden_state_mse as hidden_state_mse
    from .losses import (
        soft_target_binary_kl as soft_target_binary_kl,
        soft_target_kl as soft_target_kl,
        soft_target_mse as soft_target_mse,
        soft_target_span_kl as soft_target_span_kl,
    )
    from .relations import relation_kl as relation_kl

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "collator": ["TeacherCollator", "encode_for_teacher"],
        "hidden_states": ["hidden_state_mse"],
        "losses": ["soft_target_binary_kl", "soft_target_kl", "soft_target_mse", "soft_target_span_kl"],
        "relations": ["relation_kl"],
    },
)
