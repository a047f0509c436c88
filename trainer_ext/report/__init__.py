"""Report: `compression.json`, its schema and its tables, and the folder of a run."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .io import FILE_NAME as FILE_NAME
    from .io import from_dict as from_dict
    from .io import from_json as from_json
    from .io import load as load
    from .io import save as save
    from .io import to_dict as to_dict
    from .io import to_json as to_json
    from .io import utc_now as utc_now
    from .schema import ClassPair as ClassPair
    from .schema import ClassScores as ClassScores
    from .schema import CompressionReport as CompressionReport
    from .schema import Data as Data
    from .schema import Difference as Difference
    from .schema import Equivalence as Equivalence
    from .schema import Export as Export
    from .schema import Inference as Inference
    from .schema import Latency as Latency
    from .schema import Model as Model
    from .schema import Pair as Pair
    from .schema import Parameters as Parameters
    from .schema import Quality as Quality
    from .schema import Scores as Scores
    from .schema import Sparsity as Sparsity
    from .schema import TrainingCost as TrainingCost
    from .schema import Vocabulary as Vocabulary

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "io": ["FILE_NAME", "from_dict", "from_json", "load", "save", "to_dict", "to_json", "utc_now"],
        "schema": [
            "ClassPair",
            "ClassScores",
            "CompressionReport",
            "Data",
            "Difference",
            "Equivalence",
            "Export",
            "Inference",
            "Latency",
            "Model",
            "Pair",
            "Parameters",
            "Quality",
            "Scores",
            "Sparsity",
            "TrainingCost",
            "Vocabulary",
        ],
    },
)
