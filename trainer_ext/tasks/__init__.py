"""Tasks: what a model predicts, how predictions are scored, and how sure the scores are."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .intervals import (
        bootstrap_interval as bootstrap_interval,
        paired_difference_interval as paired_difference_interval,
        wilson_interval as wilson_interval,
    )
    from .metrics import (
        Agreement as Agreement,
        ClassificationQuality as ClassificationQuality,
        accuracy as accuracy,
        agreement as agreement,
        classification_quality as classification_quality,
        macro_f1 as macro_f1,
    )
    from .registry import TASKS as TASKS

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "intervals": ["bootstrap_interval", "paired_difference_interval", "wilson_interval"],
        "metrics": [
            "Agreement",
            "ClassificationQuality",
            "accuracy",
            "agreement",
            "classification_quality",
            "macro_f1",
        ],
        "registry": ["TASKS"],
    },
)
