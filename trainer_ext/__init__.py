"""trainer_ext: a drop-in Trainer that makes text classifiers smaller and faster without losing accuracy."""

import importlib

from ._version import __version__
from .compact.registration import register_on_import
from .errors import InputError

# Where each public name lives. They load on first use: `import trainer_ext` must not wait for torch.
_HOMES = {
    "Agreement": "metrics",
    "ClassificationQuality": "metrics",
    "DistillPruneMixin": "trainer",
    "DistillPruneTrainer": "trainer",
    "DistillPruneTrainingArguments": "arguments",
    "EmissionsCallback": "emissions_callback",
    "FAMILIES": "families",
    "Family": "families",
    "PruningCallback": "callbacks",
    "PruningSpec": "units",
    "TeacherCollator": "teacher_inputs",
    "attach": "masks",
    "encode_for_teacher": "teacher_inputs",
    "load_masked": "masks",
    "merge": "masks",
}

__all__ = [
    "FAMILIES",
    "Agreement",
    "ClassificationQuality",
    "DistillPruneMixin",
    "DistillPruneTrainer",
    "DistillPruneTrainingArguments",
    "EmissionsCallback",
    "Family",
    "InputError",
    "PruningCallback",
    "PruningSpec",
    "TeacherCollator",
    "__version__",
    "attach",
    "encode_for_teacher",
    "load_masked",
    "merge",
]

register_on_import()


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
