"""Recipe checks: ranges of the fields that transformers and the commands take as they come, refused before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .errors import InputError
from .publishable import refusal
from .rows import NO_TEXT

_MOST_SEED = 2**32 - 1  # of NumPy

# Whether a number fits, and what is expected of it. NaN compares false everywhere and fits nowhere.
_WHOLE = (lambda x: x >= 1, "1 or more")
_SHARE = (lambda x: 0 <= x < 1, "in [0, 1)")
_NOT_NEGATIVE = (lambda x: 0 <= x < math.inf, "0 or more, and finite")
_SEED = (lambda x: 0 <= x <= _MOST_SEED, f"in [0, {_MOST_SEED}]")
_STEPS = (lambda x: 0 < x < math.inf, "above 0: steps, or below 1 a share of all steps")
TRAINING = {
    "learning_rate": _NOT_NEGATIVE,
    "num_train_epochs": (lambda x: 0 < x < math.inf, "above 0, and finite"),
    "max_steps": (lambda x: x == -1 or x >= 1, "1 or more, or -1 for num_train_epochs"),
    "per_device_train_batch_size": _WHOLE,
    "per_device_eval_batch_size": _WHOLE,
    "gradient_accumulation_steps": _WHOLE,
    "weight_decay": _NOT_NEGATIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "adam_epsilon": _NOT_NEGATIVE,
    "warmup_steps": _NOT_NEGATIVE,
    "label_smoothing_factor": _SHARE,
    "dataloader_num_workers": _NOT_NEGATIVE,
    "save_total_limit": _WHOLE,
    "seed": _SEED,
    "data_seed": _SEED,
    "logging_steps": _STEPS,
    "save_steps": _STEPS,
    "neftune_noise_alpha": _NOT_NEGATIVE,
}
MODEL = {
    "energy_seconds": _NOT_NEGATIVE,
    "baseline_epochs": _NOT_NEGATIVE,
    "scratch_epochs": (lambda x: 0 < x < math.inf, "above 0, and finite"),
    "scratch_compression_rate": (lambda x: 0 < x < math.inf, "above 0, and finite"),
    "scratch_learning_rate": (lambda x: 0 < x < math.inf, "above 0, and finite"),
}


def check_ranges(args: Any, ranges: dict[str, tuple]) -> None:
    """Refuse numbers that are out of range; a field that is None is left to its default.

    Args:
        args: what has the fields.
        ranges: by field, whether a number fits and what is expected of it; `TRAINING` or `MODEL`.

    Raises:
        InputError: naming the field, what it must be and its value.
    """
    for name, (fits, expected) in ranges.items():
        value = getattr(args, name)
        if value is not None and not fits(value):
            raise InputError(f"{name} must be {expected}, got {value}.")


def check_words(values: Mapping[str, Any]) -> None:
    """Refuse words that no file name, column or model can be: with a zero byte, or half a character.

    Args:
        values: fields by name, as a file and a command line give them.

    Raises:
        InputError: naming the field.
    """
    for name, value in values.items():
        if NO_TEXT.search(str(value)):
            raise InputError(
                f"{name} holds a zero byte or half a character, got {ascii(value)[:200]}; write it again."
            )


def check_card(args: Any) -> None:
    """Refuse what a card could not say after all the work.

    Args:
        args: what has the `card_*` fields.

    Raises:
        InputError: what is to be a Hub id cannot be one.
    """
    for name in ("card_base_model", "card_datasets"):
        value = getattr(args, name)
        for one in value if isinstance(value, list) else filter(None, [value]):
            if why := refusal(one):
                raise InputError(f"{name} {one!r} is no Hub id such as user/name: {why}")
