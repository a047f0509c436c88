"""trainer_ext: a drop-in Trainer that makes text classifiers smaller and faster without losing accuracy."""

from typing import TYPE_CHECKING

from ._version import __version__ as __version__
from .errors import InputError as InputError
from .models.compact.registration import register_on_import
from .utils.imports import lazy_names

if TYPE_CHECKING:
    from .benchmark import measure_latency as measure_latency
    from .callbacks import EmissionsCallback as EmissionsCallback, PruningCallback as PruningCallback
    from .distillation import TeacherCollator as TeacherCollator, encode_for_teacher as encode_for_teacher
    from .models import (
        ARCHITECTURES as ARCHITECTURES,
        FAMILIES as FAMILIES,
        ArchitectureSpec as ArchitectureSpec,
        Family as Family,
        load_compact as load_compact,
    )
    from .pruning import (
        PruningSpec as PruningSpec,
        attach as attach,
        drop_layers as drop_layers,
        load_masked as load_masked,
        merge as merge,
        merged_copy as merged_copy,
        prune as prune,
        shrink as shrink,
    )
    from .report import CompressionReport as CompressionReport
    from .tasks import Agreement as Agreement, ClassificationQuality as ClassificationQuality
    from .trainer import DistillPruneMixin as DistillPruneMixin, DistillPruneTrainer as DistillPruneTrainer
    from .training_args import DistillPruneTrainingArguments as DistillPruneTrainingArguments
    from .vocabulary import trim_model as trim_model

register_on_import()

__getattr__, __dir__, _lazy = lazy_names(
    __name__,
    {
        "callbacks": ["EmissionsCallback", "PruningCallback"],
        "distillation": ["TeacherCollator", "encode_for_teacher"],
        "models": ["ARCHITECTURES", "FAMILIES", "ArchitectureSpec", "Family", "load_compact"],
        "benchmark": ["measure_latency"],
        "pruning": ["PruningSpec", "attach", "drop_layers", "load_masked", "merge", "merged_copy", "prune", "shrink"],
        "report": ["CompressionReport"],
        "tasks": ["Agreement", "ClassificationQuality"],
        "trainer": ["DistillPruneMixin", "DistillPruneTrainer"],
        "training_args": ["DistillPruneTrainingArguments"],
        "vocabulary": ["trim_model"],
    },
)
__all__ = ["InputError", "__version__", *_lazy]  # noqa: PLE0604
