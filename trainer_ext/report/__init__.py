"""Report: `compression.json`, its schema and its tables, and the folder of a run."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .io import (
        from_dict as from_dict,
        from_json as from_json,
        json_schema as json_schema,
        load as load,
        save as save,
        to_dict as to_dict,
        to_json as to_json,
        utc_now as utc_now,
    )
    from .run_directory import FILE_NAME as FILE_NAME
    from .schema import (
        ClassPair as ClassPair,
        ClassScores as ClassScores,
        CompressionReport as CompressionReport,
        Data as Data,
        Difference as Difference,
        Equivalence as Equivalence,
        Export as Export,
        Inference as Inference,
        Int8Repair as Int8Repair,
        Latency as Latency,
        Model as Model,
        Pair as Pair,
        Parameters as Parameters,
        Quality as Quality,
        Scores as Scores,
        Sparsity as Sparsity,
        TrainingCost as TrainingCost,
        Vocabulary as Vocabulary,
    )

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "io": ["from_dict", "from_json", "json_schema", "load", "save", "to_dict", "to_json", "utc_now"],
        "run_directory": ["FILE_NAME"],
        "schema": [
            "ClassPair",
            "ClassScores",
            "CompressionReport",
            "Data",
            "Difference",
            "Equivalence",
            "Export",
            "Inference",
            "Int8Repair",
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
