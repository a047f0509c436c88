"""Pruning: learned scores become masks, masks become a smaller model, and the two are shown to compute the same.

In the order of a run:

- `config`: `PruningSpec`, what to prune and when; `prepare` drops layers and attaches masks as the arguments say.
- `scores`: where units are scored, with the table of pruning methods, `METHODS`; `units` says where units lie.
- `schedules`: the sparsity at each training step.
- `masks`: attach the masks, close units step by step, freeze the structure, merge the masks into the weights.
- `selection`, `structure`: which heads and neurons stay, given scores and a sparsity. If the target is a speed-up,
  `latency_target` decides with the times that `latency_table` measures.
- `shrinking`: cut the dead heads and neurons out of the matrices.
- `verify`: compare the logits of the masked, the shrunk and the reloaded model.

`obs`, the default method, needs no scores: `one_shot` prunes in a minute with texts that `calibration` reads, by
`second_order` removal within a `budget` over all layers; `closing` lets the units that stay make up for the others, and
`trainer_mixin` does all this before the first step. `preflight` tries before a training what could fail after it. Beside the
run, `layer_dropping` removes whole layers; `import_nn_pruning` converts checkpoints of nn_pruning.
"""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .config import PruningSpec as PruningSpec
    from .latency_table import measure_latency_table as measure_latency_table
    from .layer_dropping import drop_layers as drop_layers
    from .masks import (
        attach as attach,
        freeze_structure as freeze_structure,
        load_masked as load_masked,
        merge as merge,
        merged_copy as merged_copy,
        set_sparsity as set_sparsity,
    )
    from .one_shot import prune as prune
    from .shrinking import shrink as shrink, shrink_plain as shrink_plain
    from .verify import (
        CompressionResult as CompressionResult,
        check as check,
        shrink_and_verify as shrink_and_verify,
    )

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "config": ["PruningSpec"],
        "latency_table": ["measure_latency_table"],
        "layer_dropping": ["drop_layers"],
        "masks": ["attach", "freeze_structure", "load_masked", "merge", "merged_copy", "set_sparsity"],
        "one_shot": ["prune"],
        "shrinking": ["shrink", "shrink_plain"],
        "verify": ["CompressionResult", "check", "shrink_and_verify"],
    },
)
