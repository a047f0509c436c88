"""trainer_ext: a drop-in Trainer that makes text classifiers smaller and faster without losing accuracy."""

from typing import TYPE_CHECKING

from ._version import __version__ as __version__
from .errors import InputError as InputError
from .models.compact.registration import register_on_import
from .utils.imports import lazy_names

if TYPE_CHECKING:
    from .callbacks import EmissionsCallback as EmissionsCallback
    from .callbacks import PruningCallback as PruningCallback
    from .distillation import TeacherCollator as TeacherCollator
    from .distillation import encode_for_teacher as encode_for_teacher
    from .models import FAMILIES as FAMILIES
    from .models import Family as Family
    from .pruning import PruningSpec as PruningSpec
    from .pruning import attach as attach
    from .pruning import drop_layers as drop_layers
    from .pruning import load_masked as load_masked
    from .pruning import measure_table as measure_table
    from .pruning import merge as merge
    from .pruning import shrink as shrink
    from .report import CompressionReport as CompressionReport
    from .tasks import Agreement as Agreement
    from .tasks import ClassificationQuality as ClassificationQuality
    from .trainer import DistillPruneMixin as DistillPruneMixin
    from .trainer import DistillPruneTrainer as DistillPruneTrainer
    from .training_args import DistillPruneTrainingArguments as DistillPruneTrainingArguments
    from .vocabulary import trim_model as trim_model

register_on_import()

__getattr__, __dir__, _lazy = lazy_names(
    __name__,
    {
        "callbacks": ["EmissionsCallback", "PruningCallback"],
        "distillation": ["TeacherCollator", "encode_for_teacher"],
        "models": ["FAMILIES", "Family"],
        "pruning": ["PruningSpec", "attach", "drop_layers", "load_masked", "measure_table", "merge", "shrink"],
        "report": ["CompressionReport"],
        "tasks": ["Agreement", "ClassificationQuality"],
        "trainer": ["DistillPruneMixin", "DistillPruneTrainer"],
        "training_args": ["DistillPruneTrainingArguments"],
        "vocabulary": ["trim_model"],
    },
)
__all__ = ["InputError", "__version__", *_lazy]  # noqa: PLE0604
