"""Arms of the benchmark of peers: name, method and how the small model is made, cheap ones first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from recipes.benchmarks.peer_nn_pruning import hybrid
from recipes.benchmarks.peer_small_bert import narrow, shallow
from recipes.benchmarks.peer_torch_pruning import torch_pruning
from recipes.benchmarks.peers_training import Setting, taught

OURS = "trainer_ext"
BASELINE = "baseline"
INT8_ALONE = "int8 alone"


@dataclass(frozen=True)
class Arm:
    """One model of the benchmark.

    Attributes:
        name: as tables and folders call it.
        method: whose frontier it lies on.
        make: gives the small model.
        fields: what `make` is told besides the setting.
    """

    name: str
    method: str
    make: Callable[..., Any]
    fields: dict[str, Any] = field(default_factory=dict)

    def run(self, setting: Setting):
        """Make the small model."""
        return partial(self.make, **self.fields)(setting)


def compressed(setting: Setting, **fields):
    """A model of our own trainer with these fields."""
    return taught(setting, setting.dense(), **fields)


_ours = partial(Arm, method=OURS, make=compressed)
_layers = partial(Arm, method="layers dropped", make=compressed)
_magnitude = partial(Arm, method="magnitude", make=compressed)
_torch_pruning = partial(Arm, method="Torch-Pruning", make=torch_pruning)
_small = partial(Arm, method="small BERT")
_nn_pruning = partial(Arm, method="nn_pruning", make=hybrid)

ARMS = {
    arm.name: arm
    for arm in (
        _small("narrow-4x192", make=narrow, fields={"layers": 4, "width": 192}),
        _layers("layers-4", fields={"prune_layers": 4}),
        _small("spaced-2", make=shallow, fields={"layers": 2}),
        _ours("mixed-4-85", fields={"prune_method": "movement", "prune_layers": 4, "prune_sparsity": 0.85}),
        _torch_pruning("torch-pruning-75", fields={"ratio": 0.75}),
        _ours("mixed-3-75", fields={"prune_method": "movement", "prune_layers": 3, "prune_sparsity": 0.75}),
        _layers("layers-3", fields={"prune_layers": 3}),
        _small("spaced-3", make=shallow, fields={"layers": 3}),
        _ours("mixed-2-60", fields={"prune_method": "movement", "prune_layers": 2, "prune_sparsity": 0.6}),
        _torch_pruning("torch-pruning-50", fields={"ratio": 0.5}),
        _ours("movement-75", fields={"prune_method": "movement", "prune_sparsity": 0.75}),
        _magnitude("magnitude-75", fields={"prune_method": "magnitude", "prune_sparsity": 0.75}),
        _nn_pruning("nn-pruning-60", fields={"penalty": 60.0}),
        _ours("movement-50", fields={"prune_method": "movement", "prune_sparsity": 0.5}),
        _magnitude("magnitude-50", fields={"prune_method": "magnitude", "prune_sparsity": 0.5}),
        _layers("layers-2", fields={"prune_layers": 2}),
        _nn_pruning("nn-pruning-200", fields={"penalty": 200.0}),
        _ours("movement-25", fields={"prune_method": "movement", "prune_sparsity": 0.25}),
    )
}
